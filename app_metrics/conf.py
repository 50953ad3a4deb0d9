"""Every setting in one table: its default, the values it may have, and the hint for a bad one.

A new setting is one entry of `SETTINGS`, and a row of the table in the README.
"""

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from appconf import AppConf
from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver

# `Any`, because the type stubs know only the settings of the project they were generated for.
settings: Any = django_settings

DEFAULT_BACKEND = "app_metrics.backends.db"
MAX_TIMEOUT = 60
MAX_FLUSH_INTERVAL = 3600
MAX_CATCH_UP = 366
MAX_CHUNK_SIZE = 30_000
# MariaDB stores dates from the year 1000; Python's calendar ends with 9999. A year between leaves room for time zones.
MIN_YEAR, MAX_YEAR = 1001, 9997


class Setting(NamedTuple):
    """The default of a setting, the values it may have, and the hint that `manage.py check` gives for any other value.

    By default `is_valid` accepts any value, because the code that reads the setting checks it. A number above `largest`
    counts as `largest`.
    """

    default: Any
    is_valid: Callable[[Any], bool] = lambda value: True
    hint: str = ""
    largest: float | None = None


def _switch(default: bool) -> Setting:
    return Setting(default, lambda value: isinstance(value, bool), "Give True or False.")


def _count(default: int, largest: int | None = None) -> Setting:
    hint = f"Give a number from 1 to {largest}." if largest else "Give a number of at least 1."
    return Setting(default, lambda value: type(value) is int and 1 <= value <= (largest or value), hint, largest)


def _is_seconds(value: Any, largest: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= largest


def _are_years(value: Any) -> bool:
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(year) is int for year in value)
    return is_pair and MIN_YEAR <= value[0] <= value[1] <= MAX_YEAR


def _is_path(value: Any) -> bool:
    try:
        return isinstance(value, (str, os.PathLike)) and bool(os.fspath(value)) and b"\0" not in os.fsencode(value)
    except (TypeError, UnicodeEncodeError):  # a lone surrogate
        return False


def _zone(name: Any) -> ZoneInfo | None:
    """Return a time zone; None if there is none of that name, or if the machine has no data about it."""
    try:
        return ZoneInfo(name)
    except Exception:  # of many types: a missing package, a path that is a directory
        return None


def _is_zone(value: Any) -> bool:
    # Without any data nobody can tell; another check reports that.
    return value is None or bool(_zone(value)) or (isinstance(value, str) and not _zone("UTC"))


def _is_prefix(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\w.-]*", value, re.ASCII))


def _is_site(value: Any) -> bool:
    if value is None:
        return True
    # urlsplit() ignores some white space and line ends; an address has none.
    if not isinstance(value, str) or any(each.isspace() for each in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:  # "http://[half"
        return False
    return bool(parts.scheme in ("http", "https") and parts.netloc and not parts.query and not parts.fragment)


SETTINGS = {
    # Where batches go: the path of a module with a class `MetricsBackend`, or of a class.
    "BACKEND": Setting(DEFAULT_BACKEND),
    # The backends that `app_metrics.backends.composite` gives every batch to.
    "COMPOSITE_BACKENDS": Setting(()),
    # The statsd server of `app_metrics.backends.statsd`.
    "STATSD_URL": Setting("udp://localhost:8125"),
    # The prefix of names in statsd, such as "mysite".
    "STATSD_PREFIX": Setting("", _is_prefix, 'Give letters, digits, "_", "-" and ".", such as "mysite", or "".'),
    # Whether that server understands DogStatsD tags; labels are left out if it does not.
    "STATSD_TAGS": _switch(False),
    # The Redis of `app_metrics.backends.redis`: `rediss://` for TLS, user and password before the host.
    "REDIS_URL": Setting("redis://localhost:6379/0"),
    # Instead of the URL: a callable that returns a client of redis-py, such as a RedisCluster, or its dotted path.
    "REDIS_CLIENT": Setting(None),
    # The prefix of keys in Redis; sites that share a Redis database need different ones.
    "REDIS_PREFIX": Setting("app_metrics"),
    # The number of parts that the data in Redis is split into; each part is on one node of a cluster.
    "REDIS_SHARDS": Setting(1),
    # The database alias that holds metrics, items and totals.
    "DATABASE": Setting("default"),
    # Turn all recording into a no-op.
    "DISABLED": _switch(False),
    # Raise an error for a bad argument (True), or log and drop it (False); None follows DEBUG.
    "STRICT": Setting(
        None, lambda value: value is None or isinstance(value, bool), "Give True, False, or None to follow DEBUG."
    ),
    # The time zone in which days begin at midnight; None follows TIME_ZONE.
    "TIME_ZONE": Setting(None, _is_zone, 'Give a time zone such as "Europe/Berlin", or None to follow TIME_ZONE.'),
    # The day on which a week begins: "monday" (ISO weeks) or "sunday".
    "WEEK_START": Setting("monday", lambda value: value in ("monday", "sunday"), 'Give "monday" or "sunday".'),
    # The first and the last year that a date may be in: others are mistakes, such as milliseconds read as a date.
    "YEARS": Setting(
        (1970, 2100),
        _are_years,
        f"Give the first and the last year, such as (1970, 2100), from {MIN_YEAR} to {MAX_YEAR}.",
    ),
    # URL name → rule: what a response counts.
    "URLS": Setting({}),
    # Model label → event → rule: what saving and deleting counts.
    "MODELS": Setting({}),
    # Dotted path of a signal → rule: what sending it counts.
    "SIGNALS": Setting({}),
    # Count signups, logins, failed_logins and logouts: all (True), none, or those that a mapping names.
    "AUTH": Setting(
        False,
        lambda value: isinstance(value, (bool, Mapping)),
        'Give True or False, or a mapping such as {"events": ["signups", "logins"], "exclude": ["staff"]}.',
    ),
    # Count and time Celery tasks, by name.
    "CELERY": _switch(False),
    # Label sets that a metric may have; any more are folded into one overflow series.
    "MAX_LABEL_SETS": _count(1000),
    # Failed batches that a process keeps for the next try; beyond that, the oldest is dropped.
    "RETRY_LIMIT": _count(100),
    # Seconds that a write over the network may take; after that, the batch is kept for the next try.
    "TIMEOUT": Setting(
        0.25,
        lambda value: _is_seconds(value, MAX_TIMEOUT) and value > 0,
        f"Give a number of seconds above 0, at most {MAX_TIMEOUT}.",
        MAX_TIMEOUT,
    ),
    # Seconds for which a process merges the batches of many requests before a thread writes them; 0 merges none.
    "FLUSH_INTERVAL": Setting(
        0,
        lambda value: _is_seconds(value, MAX_FLUSH_INTERVAL),
        f"Give a number of seconds from 0 to {MAX_FLUSH_INTERVAL}.",
        MAX_FLUSH_INTERVAL,
    ),
    # The directory where a process keeps failed batches for the next aggregation there; None keeps them in memory.
    "SPOOL_DIR": Setting(None),
    # The maximum number of items per transaction of the aggregation.
    "CHUNK_SIZE": _count(30_000, MAX_CHUNK_SIZE),
    # Period → days after which `metrics_prune` deletes its totals; by default it deletes none.
    "RETENTION": Setting({}),
    # Name → metric set: what is reported, to whom and how often.
    "SETS": Setting({}),
    # Whether a report is sent when its metrics recorded nothing in the reported period.
    "SEND_ZERO_ACTIVITY": _switch(True),
    # Missed reports that are still sent, per metric set and period, when `metrics_send_mail` did not run in time.
    "CATCH_UP": _count(3, MAX_CATCH_UP),
    # The address of the site, such as "https://example.com", for links in mails.
    "BASE_URL": Setting(None, _is_site, 'Give the address of the site, such as "https://example.com", or None.'),
    # Slug → milestones: all-time totals that are announced when they are reached.
    "MILESTONES": Setting({}),
    # Name → rule: the numbers to watch, and when to send an alert.
    "ALERTS": Setting({}),
    # SHA-256 hashes, as hex digits in lower case, of the tokens for the JSON API and the Prometheus endpoint.
    "API_TOKENS": Setting(()),
}


class AppMetricsConf(AppConf):  # type: ignore[misc]  # untyped
    class Meta:
        prefix = "APP_METRICS"

    locals().update({name: setting.default for name, setting in SETTINGS.items()})


# Whether recording is a no-op. A variable, because every call needs it: reading an attribute of Django's settings
# takes as long as the rest of the call.
disabled = bool(settings.APP_METRICS_DISABLED)

Answer = TypeVar("Answer")
_cached: list[Any] = []


def cached(read: Callable[[], Answer]) -> Callable[[], Answer]:
    """Cache an answer that requests need, until a setting changes."""
    kept = cache(read)
    _cached.append(kept)
    return kept


@receiver(setting_changed)
def _clear_caches(**kwargs: Any) -> None:
    global disabled
    disabled = bool(settings.APP_METRICS_DISABLED)
    for read in _cached:
        read.cache_clear()


@cached
def backend_path() -> str:
    """Return the configured backend; `APP_METRIC_BACKEND`, the spelling of the first README, works too."""
    path: str = settings.APP_METRICS_BACKEND
    if path == DEFAULT_BACKEND:
        path = getattr(settings, "APP_METRIC_BACKEND", path)
    return path


def is_strict() -> bool:
    return bool(settings.DEBUG if settings.APP_METRICS_STRICT is None else settings.APP_METRICS_STRICT)


@cached
def time_zone() -> tzinfo:
    """Return the metrics time zone: TIME_ZONE, unless APP_METRICS_TIME_ZONE names one that exists.

    It is `datetime.UTC` if the machine has no data about either.
    """
    return _zone(settings.APP_METRICS_TIME_ZONE) or _zone(settings.TIME_ZONE or "UTC") or UTC


def first_weekday() -> int:
    """Return the ISO number of the day on which a week begins: 1 for Monday, 7 for Sunday."""
    return 7 if settings.APP_METRICS_WEEK_START == "sunday" else 1


@cached
def years() -> tuple[int, int]:
    """Return the first and the last year that a date may be in."""
    first, last = _usable("YEARS")
    return first, last


@cached
def max_label_sets() -> int:
    number: int = _usable("MAX_LABEL_SETS")
    return number


@cached
def retry_limit() -> int:
    number: int = _usable("RETRY_LIMIT")
    return number


@cached
def timeout() -> float:
    """Return the seconds that a write over the network may take."""
    seconds: float = _usable("TIMEOUT")
    return seconds


@cached
def flush_interval() -> float:
    """Return the seconds between two writes of merged batches; 0 if batches are not merged."""
    seconds: float = _usable("FLUSH_INTERVAL")
    return seconds


@cached
def spool_dir() -> Path | None:
    """Return the directory of the spool; None if there is no spool."""
    return Path(os.fsdecode(settings.APP_METRICS_SPOOL_DIR)) if _is_path(settings.APP_METRICS_SPOOL_DIR) else None


def catch_up() -> int:
    number: int = _usable("CATCH_UP")
    return number


def _usable(name: str) -> Any:
    """Return a setting; a bad value counts as the largest or the default, and `manage.py check` reports it."""
    setting, value = SETTINGS[name], getattr(settings, f"APP_METRICS_{name}")
    if setting.is_valid(value):
        return value
    is_too_large = type(value) in (int, float) and setting.largest is not None and value > setting.largest
    return setting.largest if is_too_large else setting.default
