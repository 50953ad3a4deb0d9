"""The configuration of the running process: names, numbers and switches, but no value that may be secret."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.dates import WEEKDAYS
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..conf import AppMetricsConf, first_weekday, settings, time_zone
from ..contrib.url_rules import MIDDLEWARE
from ..transport.loading import get_backend

PACKAGES: tuple[tuple[str, Promise], ...] = (
    ("css_inline", gettext_lazy("styles in mails")),
    ("prometheus_client", gettext_lazy("the Prometheus endpoint")),
)


class Part(NamedTuple):
    """A part of the configuration, or an optional package; `is_there` is whether it is installed."""

    name: str
    value: str
    is_there: bool = True


def changed_settings() -> list[Part]:
    """Return the settings that differ from their defaults, without values that may be secret."""
    return [
        Part(name, _described(value))
        for name, default in AppMetricsConf._meta.defaults.items()
        if (value := getattr(settings, name)) != default
    ]


def effective() -> Iterator[Part]:
    """Yield the parts that are in use, by default or because they were set."""
    alias = settings.APP_METRICS_DATABASE
    yield Part(_("Backend"), _loaded_backend())
    yield Part(_("Database"), f"{alias} ({connections[alias].display_name})")
    yield Part(_("Metrics time zone"), str(time_zone()))
    yield Part(_("First day of the week"), str(WEEKDAYS[first_weekday() - 1]))
    yield Part(_("Middleware"), MIDDLEWARE, MIDDLEWARE in settings.MIDDLEWARE)


def packages() -> list[Part]:
    """Return the optional packages, and what each is for."""
    return [Part(name, str(use), find_spec(name) is not None) for name, use in PACKAGES]


def _described(value: Any) -> str:
    """Return numbers and switches; of any other value, which may be secret, only its length or that it is set."""
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return ngettext("%(number)d entry", "%(number)d entries", len(value)) % {"number": len(value)}
    return _("is set")


def _loaded_backend() -> str:
    """Return the class of the backend, but not a path that could not be loaded: it may be a misplaced secret."""
    try:
        backend = type(get_backend().backend)
    except ImproperlyConfigured:
        return _("The backend cannot be loaded.")
    return f"{backend.__module__}.{backend.__qualname__}"
