"""Load the configured backend once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from ..conf import backend_path
from .base import MetricsBackend
from .retrying import RetryingBackend

CLASS_NAME = "MetricsBackend"
PREFIX = "app_metrics.backends."

_replacement: RetryingBackend | None = None


def get_backend() -> RetryingBackend:
    """Return the backend that batches go to, shielded. Raises ImproperlyConfigured when the settings name none."""
    return _replacement or configured_backend()


def configured_backend() -> RetryingBackend:
    """Return the backend that `APP_METRICS_BACKEND` names, shielded, also where another takes its place."""
    return _load(_checked(backend_path()))


def is_replaced() -> bool:
    return _replacement is not None


@contextmanager
def replaced_backend(backend: MetricsBackend) -> Iterator[None]:
    """Let a backend take the place of the configured one, in all threads of this process."""
    global _replacement
    outer, _replacement = _replacement, RetryingBackend(backend)
    try:
        yield
    finally:
        _replacement = outer


def load_backend(path: Any) -> MetricsBackend:
    """Return the backend at a path of a module or a class, always the same one for the same path.

    Raises ImproperlyConfigured when there is none.
    """
    return _load(_checked(path)).backend


def _checked(path: Any) -> str:
    if not isinstance(path, str):
        raise ImproperlyConfigured(f"{path!r} is not the path of a metrics backend.")
    return path


@cache
def _load(path: str) -> RetryingBackend:
    try:
        found = _imported(path)
    except ImproperlyConfigured:
        raise
    except Exception as error:
        raise ImproperlyConfigured(
            f"The metrics backend {path!r} cannot be imported: {error}. {_remedy(path, error)}"
        ) from error
    backend = getattr(found, CLASS_NAME, found)
    if not callable(getattr(backend, "write", None)) or not isinstance(backend, type):
        raise ImproperlyConfigured(
            f"The metrics backend {path!r} neither holds a class {CLASS_NAME} nor is a class with write(batch)."
        )
    return RetryingBackend(_made(backend, path))


def _made(backend: type[MetricsBackend], path: str) -> MetricsBackend:
    try:
        return backend()
    except ImproperlyConfigured:
        raise
    except Exception as error:
        raise ImproperlyConfigured(f"The metrics backend {path!r} cannot be made: {error!r}.") from error


def _imported(path: str) -> Any:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:  # something that the module itself needs is missing
            raise
    return import_string(path)


def _remedy(path: str, error: Exception) -> str:
    """Tell what to do; a backend of ours that lacks a package has an extra of its own name."""
    missing = error.name if isinstance(error, ImportError) else None
    if path.startswith(PREFIX) and missing and not missing.startswith(PREFIX):
        extra = path.removeprefix(PREFIX).partition(".")[0]
        return f'Run: pip install "/path/to/the/checkout[{extra}]"'
    return f'Name a module or a class, such as "{PREFIX}db".'


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith("APP_METRIC"):
        _load.cache_clear()
