"""The configuration that is running, without what is nobody's business."""

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from django.db import connections
from django.utils.dates import WEEKDAYS
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import AppMetricsConf, backend_path, first_weekday, settings, time_zone
from ..contrib.url_rules import MIDDLEWARE

MAX_SHOWN = 300
# These hold addresses of people, of which no more than the names of what they are for are shown.
NAMED_ONLY = frozenset({"APP_METRICS_SETS", "APP_METRICS_MILESTONES", "APP_METRICS_ALERTS"})
# These are secrets, or the traces of some.
NUMBERED_ONLY = frozenset({"APP_METRICS_API_TOKENS"})

# Where a user, and perhaps a password, may begin in an address.
_ADDRESS = re.compile(r"//|:(?!//|\s)")
_REPEATED = re.compile(r"(//|:(?!//|\s))\S+")
# A value as in a query, with the quotes around it, but without what closes the text it stands in.
_NAMED_SECRET = re.compile(
    r"((?:password|passwd|token|secret|api[_-]?key)=)(?:(\\?['\"]).*?\2)?[^&\s]*?(?=['\")\]},.]*(?:[&\s]|\Z))",
    re.IGNORECASE | re.DOTALL,
)

PACKAGES: tuple[tuple[str, Promise], ...] = (
    ("css_inline", gettext_lazy("styles in mails")),
    ("prometheus_client", gettext_lazy("the Prometheus endpoint")),
)


class Part(NamedTuple):
    """Something that is configured, or a package that may be installed; `is_there` says whether it is."""

    name: str
    value: str
    is_there: bool = True


def changed_settings() -> list[Part]:
    """Return the settings that differ from their defaults."""
    return [
        Part(name, _shown(name, value))
        for name, default in AppMetricsConf._meta.defaults.items()
        if (value := getattr(settings, name)) != default
    ]


def effective() -> Iterator[Part]:
    """Yield what is at work, whether it was set or not."""
    alias = settings.APP_METRICS_DATABASE
    yield Part(_("Backend"), _cut(masked(str(backend_path()))))
    yield Part(_("Database"), f"{alias} ({connections[alias].display_name})")
    yield Part(_("Metrics time zone"), str(time_zone()))
    yield Part(_("First day of the week"), str(WEEKDAYS[first_weekday() - 1]))
    yield Part(_("Middleware"), MIDDLEWARE, MIDDLEWARE in settings.MIDDLEWARE)


def packages() -> list[Part]:
    """Return the optional packages, and what each is for."""
    return [Part(name, str(use), find_spec(name) is not None) for name, use in PACKAGES]


def masked(text: str) -> str:
    """Return a text without the credentials of addresses, "//…@", and the values of what is named like a secret.

    Rather too much is left out than too little: of addresses, all up to the last "@" of the text.
    """
    before, at, after = text.rpartition("@")
    if at and (start := _ADDRESS.search(before)):
        # Errors repeat the first half of what they could not import.
        text = f"{before[: start.end()]}…@{_REPEATED.sub(lambda found: found[1] + '…', after)}"
    return _NAMED_SECRET.sub(r"\1…", text)


def _shown(name: str, value: Any) -> str:
    if name in NUMBERED_ONLY:
        return str(len(value)) if isinstance(value, (list, tuple)) else type(value).__name__
    if name in NAMED_ONLY:
        return _cut(masked(", ".join(map(str, value)))) if isinstance(value, Mapping) else type(value).__name__
    return _cut(masked(repr(value)))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
