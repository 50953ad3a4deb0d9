"""Load backends by their paths, each once per process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from ..conf import DEFAULT_BACKEND, backend_path
from ..core.errors import InvalidMetricsBackend
from ..core.plain_text import brief
from .base import MetricsBackend
from .retrying import RetryingBackend

CLASS_NAME = "MetricsBackend"
PREFIX = "app_metrics.backends."
BASE_PATH = PREFIX + CLASS_NAME
# The functions that a backend of the first django-app-metrics was made of.
OLD_FUNCTIONS = ("metric", "timing", "gauge")
# Its backends that are gone.
UNSUPPORTED = {f"{PREFIX}{name}" for name in ("librato", "librato_backend", "mixpanel")}

_replacement: RetryingBackend | None = None


def get_backend() -> RetryingBackend:
    """Return the retrying backend that batches go to. Raises InvalidMetricsBackend if the settings name none."""
    return _replacement or configured_backend()


def configured_backend() -> RetryingBackend:
    """Return the retrying backend that `APP_METRICS_BACKEND` names, even while another one replaces it.

    Raises InvalidMetricsBackend if the setting names none.
    """
    return _load(_checked(backend_path()))


def is_replaced() -> bool:
    return _replacement is not None


@contextmanager
def replaced_backend(backend: MetricsBackend) -> Iterator[None]:
    """Replace the configured backend during the block, in all threads of this process."""
    global _replacement
    outer, _replacement = _replacement, RetryingBackend(backend)
    try:
        yield
    finally:
        _replacement = outer


def load_backend(path: Any) -> MetricsBackend:
    """Return the backend at the path of a module or a class; the same path always gives the same object.

    Raises InvalidMetricsBackend if there is none, and ImproperlyConfigured if its settings are bad.
    """
    return _load(_checked(path)).backend


def other_paths() -> list[str]:
    """Return the paths of other backends that may hold pending batches: SQLite's journal stays with its database."""
    return [] if backend_path() == DEFAULT_BACKEND else [DEFAULT_BACKEND]


def _checked(path: Any) -> str:
    if not isinstance(path, str):
        raise InvalidMetricsBackend(f"{brief(path)} is not the path of a metrics backend.")
    return path


@cache
def _load(path: str) -> RetryingBackend:
    try:
        found = _imported(path)
    except ImproperlyConfigured:
        raise
    except Exception as error:
        reason = brief(error, show=str).removesuffix(".")
        raise InvalidMetricsBackend(
            f"The metrics backend {brief(path)} cannot be imported: {reason}. {_remedy(path, error)}"
        ) from error
    backend = getattr(found, CLASS_NAME, found)
    if not _is_backend(backend):
        raise InvalidMetricsBackend(f"The metrics backend {brief(path)} is {_flaw(backend)}")
    return RetryingBackend(_created(backend, path))


def _is_backend(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, MetricsBackend) and found is not MetricsBackend


def _flaw(found: Any) -> str:
    """Return why something is no backend, and what to do."""
    functions = [name for name in OLD_FUNCTIONS if callable(getattr(found, name, None))]
    if isinstance(found, ModuleType) and functions:
        return (
            "a module of functions, as the first django-app-metrics took. Write a class "
            f"{CLASS_NAME}({BASE_PATH}) in it, with a method write(batch) that does for each key and summary of "
            f"batch.summaries what {' and '.join(f'{name}()' for name in functions)} did for one call."
        )
    return (
        f"neither a class derived from {BASE_PATH} nor a module with such a class named {CLASS_NAME}. "
        f"Derive it from {BASE_PATH}."
    )


def _created(backend: type[MetricsBackend], path: str) -> MetricsBackend:
    try:
        return backend()
    except ImproperlyConfigured:
        raise
    except Exception as error:
        raise InvalidMetricsBackend(f"The metrics backend {brief(path)} cannot be created: {brief(error)}.") from error


def _imported(path: str) -> Any:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:  # a package that the module imports is missing
            raise
    return import_string(path)


def _remedy(path: str, error: Exception) -> str:
    """Return a hint; a backend of this package that lacks a dependency has an extra of the same name."""
    if apps.apps_ready and not apps.is_installed("app_metrics"):
        return 'Add "app_metrics" to INSTALLED_APPS.'
    if path in UNSUPPORTED:
        return f'This service is not supported; name "{PREFIX}db", or write a backend that sends there.'
    missing = error.name if isinstance(error, ImportError) else None
    if path.startswith(PREFIX) and missing and not missing.startswith(PREFIX):
        extra = path.removeprefix(PREFIX).partition(".")[0]
        return f'Run: pip install "django-app-metrics[{extra}]>=1"'
    return f'Name a module or a class, such as "{PREFIX}db".'


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith("APP_METRIC"):
        _load.cache_clear()
