"""Check the other settings, and what they need of the project."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from ..conf import DEFAULT_BACKEND, SETTINGS, backend_path, flush_interval, settings, time_zone, usable
from ..contrib import asgi
from ..contrib.url_rules import MIDDLEWARE
from ..core.old_settings import OLD_SETTINGS
from ..core.plain_text import brief
from ..core.setting_rules import check_setting, suggest
from ..reports.recipients import UNSUBSCRIBE
from ..setting_values import BAD_VALUE
from ..transport import spool
from ..transport.base import MetricsBackend
from ..transport.buffer import is_journalled
from ..transport.databases import is_per_tenant
from ..transport.loading import configured_backend, get_backend

# What to do if something cannot work with tables in the schema of each tenant.
SHARE = 'list "app_metrics" in SHARED_APPS and not in TENANT_APPS'
# The backends that keep batches outside the database, whatever the tenant.
MIXING = ("app_metrics.backends.redis", "app_metrics.backends.celery")


@register("app_metrics")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    return [
        *_unknown_settings(),
        *_bad_values(),
        *_spelled_twice(),
        *_missing_middleware(),
        *_repeated_middleware(),
        *_missing_auth(),
        *_missing_urls(),
        *_ignored_for_tenants(),
        *_mixed_for_tenants(),
        *_missing_zones(),
        *spool.check(),
    ]


@register("app_metrics", deploy=True)
def check_asgi(**kwargs: Any) -> list[CheckMessage]:
    """Import the ASGI application as a server does; only with --deploy, because commands need not load it."""
    path = getattr(settings, "ASGI_APPLICATION", None)  # a setting of Channels
    if path and (settings.APP_METRICS_WEBSOCKETS or flush_interval()):
        with suppress(Exception):  # the server reports it
            application = import_string(path)
            return [*_missing_counting(path), *_missing_flushing(path, application)]
    return []


@register("app_metrics")
def check_backend(**kwargs: Any) -> Sequence[CheckMessage]:
    try:
        return get_backend().check()
    except ImproperlyConfigured as error:
        hint = f'Fix it, or count in the database alone: APP_METRICS_BACKEND = "{DEFAULT_BACKEND}".'
        return [Error(str(error), hint=hint, id="app_metrics.E009")]


def _unknown_settings() -> Iterator[CheckMessage]:
    known = [*(f"APP_METRICS_{name}" for name in SETTINGS), "APP_METRIC_BACKEND"]
    for name in dir(settings):
        if name.startswith("APP_METRIC") and name not in known:
            hint = OLD_SETTINGS.get(name.removeprefix("APP_METRICS_")) or suggest(name, known)
            yield CheckWarning(f"There is no setting {name}.", hint=hint, id="app_metrics.W001")


def _bad_values() -> Iterator[CheckMessage]:
    for name, setting in SETTINGS.items():
        if setting.code == BAD_VALUE and (mistake := check_setting(name)):
            yield mistake.as_check()


def _spelled_twice() -> Iterator[CheckMessage]:
    old = getattr(settings, "APP_METRIC_BACKEND", None)
    if old is not None and old != backend_path():
        yield CheckWarning(
            f"APP_METRIC_BACKEND is {brief(old)}, but APP_METRICS_BACKEND is {brief(backend_path())}, which is used.",
            hint="Remove one of them.",
            id="app_metrics.W002",
        )


def _missing_middleware() -> Iterator[CheckMessage]:
    if settings.APP_METRICS_URLS and MIDDLEWARE not in settings.MIDDLEWARE:
        yield Error(
            "APP_METRICS_URLS counts nothing without the middleware.",
            hint=f'Put "{MIDDLEWARE}" first in MIDDLEWARE.',
            id="app_metrics.E013",
        )


def _repeated_middleware() -> Iterator[CheckMessage]:
    times = list(settings.MIDDLEWARE).count(MIDDLEWARE)
    if times > 1:
        yield CheckWarning(
            f"MIDDLEWARE lists the middleware of app_metrics {times} times; only the first one counts.",
            hint=f'Keep only the first "{MIDDLEWARE}".',
            id="app_metrics.W022",
        )


def _missing_counting(path: str) -> Iterator[CheckMessage]:
    if settings.APP_METRICS_WEBSOCKETS and not asgi.is_counting:
        yield CheckWarning(
            f"APP_METRICS_WEBSOCKETS counts nothing, because {brief(path)} does not use counting().",
            hint="Wrap what serves websockets in app_metrics.contrib.asgi.counting().",
            id="app_metrics.W017",
        )


def _missing_flushing(path: str, application: Any) -> Iterator[CheckMessage]:
    if flush_interval() and not is_journalled() and not asgi.is_flushing and not isinstance(application, ASGIHandler):
        yield CheckWarning(
            f"With APP_METRICS_FLUSH_INTERVAL, {brief(path)} loses what it counted last when a server such as uvicorn "
            "stops.",
            hint="Wrap the application in app_metrics.contrib.asgi.flushing().",
            id="app_metrics.W024",
        )


def _missing_auth() -> Iterator[CheckMessage]:
    if settings.APP_METRICS_AUTH and not apps.is_installed("django.contrib.auth"):
        yield Error(
            "APP_METRICS_AUTH counts nothing without django.contrib.auth.",
            hint='Add "django.contrib.auth" to INSTALLED_APPS, or set APP_METRICS_AUTH = False.',
            id="app_metrics.E014",
        )


def _missing_urls() -> Iterator[CheckMessage]:
    if usable("BASE_URL") and getattr(settings, "ROOT_URLCONF", None):
        try:
            reverse(UNSUBSCRIBE, args=["token"])
        except NoReverseMatch:
            yield CheckWarning(
                "APP_METRICS_BASE_URL is set, but reports have no link to unsubscribe.",
                hint='Add path("metrics/", include("app_metrics.urls")) to the URLs of the project.',
                id="app_metrics.W004",
            )


def _ignored_for_tenants() -> Iterator[CheckMessage]:
    if settings.APP_METRICS_SPOOL_DIR and is_per_tenant():
        yield CheckWarning(
            "APP_METRICS_SPOOL_DIR has no effect, because each tenant has its own app_metrics tables.",
            hint=f"Remove it, or {SHARE}.",
            id="app_metrics.W016",
        )


def _mixed_for_tenants() -> Iterator[CheckMessage]:
    """Report backends that keep the batches of all tenants in one place, from which one tenant would get them all."""
    for each in _used_backends() if is_per_tenant() else ():
        if any(kind.__module__.startswith(MIXING) for kind in type(each).__mro__):
            yield Error(
                f"{each.__module__} mixes the events of all tenants, but each tenant has its own app_metrics tables.",
                hint=f'Set APP_METRICS_BACKEND = "{DEFAULT_BACKEND}", or {SHARE}.',
                id="app_metrics.E027",
            )


def _used_backends() -> list[MetricsBackend]:
    try:
        backend = configured_backend().backend
    except ImproperlyConfigured:  # `check_backend` reports it
        return []
    return [destination.backend for destination in backend.destinations] or [backend]


def _missing_zones() -> Iterator[CheckMessage]:
    wanted = settings.APP_METRICS_TIME_ZONE or settings.TIME_ZONE
    if time_zone() is UTC and wanted not in (None, "", "UTC"):
        yield CheckWarning(
            f"This machine has no data about the time zone {brief(wanted)}, so days begin at midnight in UTC.",
            hint="Run: pip install tzdata",
            id="app_metrics.W013",
        )
