"""Every setting in one table: its default, the values it may have, and the hint for a bad one.

A new setting is one entry of `SETTINGS`, and a row of the table in docs/settings.md.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from appconf import AppConf
from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from .setting_values import (
    MAX_YEAR,
    MIN_KEY_LENGTH,
    MIN_YEAR,
    Setting,
    are_aliases,
    are_destinations,
    are_years,
    count,
    gives_release,
    is_key,
    is_path,
    is_prefix,
    is_redis,
    is_seconds,
    is_site,
    is_statsd,
    is_zone,
    seconds,
    switch,
    zone,
)

# `Any`, because the type stubs know only the settings of the project they were generated for.
settings: Any = django_settings

DEFAULT_BACKEND = "app_metrics.backends.db"
MAX_TIMEOUT = 60
MAX_INTERVAL = 3600
MAX_CATCH_UP = 366
MAX_CHUNK_SIZE = 100_000
MAX_SHARDS = 1024

SETTINGS = {
    # Where batches go: the path of a module with a class `MetricsBackend`, or of a class.
    "BACKEND": Setting(DEFAULT_BACKEND),
    # The backends that `app_metrics.backends.composite` gives every batch to.
    "COMPOSITE_BACKENDS": Setting(
        (),
        are_destinations,
        'List the paths of backends other than the composite backend itself, such as ["app_metrics.backends.db"].',
        code="E009",
    ),
    # The statsd server of `app_metrics.backends.statsd`.
    "STATSD_URL": Setting(
        "udp://localhost:8125",
        is_statsd,
        'Give the address of a statsd server, such as "udp://localhost:8125".',
        code="E026",
        is_secret=True,
    ),
    # The prefix of names in statsd, such as "mysite".
    "STATSD_PREFIX": Setting("", is_prefix, 'Give letters, digits, "_", "-" and ".", such as "mysite", or "".'),
    # Whether that server understands DogStatsD tags; labels are left out if it does not.
    "STATSD_TAGS": switch(False),
    # The Redis of `app_metrics.backends.redis`: `rediss://` for TLS, user and password before the host.
    "REDIS_URL": Setting(
        "redis://localhost:6379/0",
        is_redis,
        'Give the address of a Redis server, such as "redis://localhost:6379/0". '
        'Encode "/", "?", "#" and "@" in the user and password: "%2F", "%3F", "%23" and "%40".',
        code="E009",
        is_secret=True,
    ),
    # Instead of the URL: a callable that returns a client of redis-py, such as a RedisCluster, or its dotted path.
    "REDIS_CLIENT": Setting(
        None,
        lambda value: value is None or callable(value) or isinstance(value, str),
        "Give a callable that returns a client of redis-py, or its dotted path, or None.",
        code="E009",
        is_secret=True,
    ),
    # The prefix of keys in Redis; sites that share a Redis database need different ones.
    "REDIS_PREFIX": Setting(
        "app_metrics",
        lambda value: isinstance(value, str) and value != "" and "{" not in value,
        'Give a text without braces, such as "app_metrics".',
        code="E009",
    ),
    # The number of parts that the data in Redis is split into; each part is on one node of a cluster.
    "REDIS_SHARDS": count(1, MAX_SHARDS, code="E009"),
    # The database alias that holds metrics, items and totals.
    "DATABASE": Setting("default"),
    # Turn all recording into a no-op.
    "DISABLED": switch(False),
    # Raise an error for a bad argument (True), or log and drop it (False); None follows DEBUG.
    "STRICT": Setting(
        None, lambda value: value is None or isinstance(value, bool), "Give True, False, or None to follow DEBUG."
    ),
    # The time zone in which days begin at midnight; None follows TIME_ZONE.
    "TIME_ZONE": Setting(None, is_zone, 'Give a time zone such as "Europe/Berlin", or None to follow TIME_ZONE.'),
    # The day on which a week begins: "monday" (ISO weeks) or "sunday".
    "WEEK_START": Setting("monday", lambda value: value in ("monday", "sunday"), 'Give "monday" or "sunday".'),
    # The first and the last year that a date may be in: others are mistakes, such as milliseconds read as a date.
    "YEARS": Setting((1970, 2100), are_years, f"Give two years, such as (1970, 2100), from {MIN_YEAR} to {MAX_YEAR}."),
    # Text that is no slug → slug: what `metric()` and its like count instead, for the code of a site that was adopted.
    "ALIASES": Setting(
        {},
        are_aliases,
        'Map texts that are no slugs to slugs, such as {"api.calls": "api-calls"}; a slug needs no alias.',
    ),
    # URL name → rule: what a response counts.
    "URLS": Setting({}),
    # Model label → event → rule: what saving and deleting counts.
    "MODELS": Setting({}),
    # Dotted path of a signal → rule: what sending it counts.
    "SIGNALS": Setting({}),
    # Path, or a pattern of paths → rule: what a websocket connection counts.
    "WEBSOCKETS": Setting({}),
    # Count signups, logins, failed_logins and logouts: all (True), none, or those that a mapping names.
    "AUTH": Setting(
        False,
        lambda value: isinstance(value, (bool, Mapping)),
        'Give True or False, or a mapping such as {"events": ["signups", "logins"], "exclude": ["staff"]}.',
    ),
    # Count and time Celery tasks, by name.
    "CELERY": switch(False),
    # Label sets that a metric may have; any more are folded into one overflow series.
    "MAX_LABEL_SETS": count(1000),
    # Failed batches that a process keeps for the next try; beyond that, the oldest is dropped.
    "RETRY_LIMIT": count(100),
    # Seconds that a write over the network may take; after that, the batch is kept for the next try.
    "TIMEOUT": Setting(
        0.25,
        lambda value: is_seconds(value, MAX_TIMEOUT) and value > 0,
        f"Give a number of seconds above 0, at most {MAX_TIMEOUT}.",
        MAX_TIMEOUT,
    ),
    # Seconds for which a process merges the batches of many requests before a thread writes them; 0 merges none.
    "FLUSH_INTERVAL": seconds(0, 0, MAX_INTERVAL),
    # The directory where a process keeps failed batches for the next aggregation there; None keeps them in memory.
    "SPOOL_DIR": Setting(
        None,
        lambda value: value is None or is_path(value),
        "Create it on a local disk, and let the user that runs the site and the aggregation write to it.",
        code="E024",
    ),
    # Bring each batch in that directory to the disk at once, so that it survives a power failure, too.
    "SPOOL_SYNC": switch(False),
    # Aggregate, report, watch and prune from a thread of a web process, unless a scheduler does it.
    "AUTOPILOT": switch(True),
    # Seconds between two aggregations of the autopilot.
    "AUTOPILOT_INTERVAL": seconds(60, 1, MAX_INTERVAL),
    # The maximum number of items per transaction of the aggregation.
    "CHUNK_SIZE": count(100_000, MAX_CHUNK_SIZE),
    # Period → days after which `metrics_prune` deletes its totals; by default it deletes none.
    "RETENTION": Setting({}),
    # Name → metric set: what is reported, to whom and how often.
    "SETS": Setting({}),
    # Whether a report is sent when its metrics recorded nothing in the reported period.
    "SEND_ZERO_ACTIVITY": switch(True),
    # Missed reports that are still sent, per metric set and period, when `metrics_send_mail` did not run in time.
    "CATCH_UP": count(3, MAX_CATCH_UP),
    # The address of the site, such as "https://example.com", for links in mails.
    "BASE_URL": Setting(
        None, is_site, 'Give the address of the site, such as "https://example.com", or None.', is_secret=True
    ),
    # Slug → milestones: all-time totals that are announced when they are reached.
    "MILESTONES": Setting({}),
    # Name → rule: the numbers to watch, and when to send an alert.
    "ALERTS": Setting({}),
    # Name → ratio: the quotient of two metrics, computed when it is read.
    "RATIOS": Setting({}),
    # What is deployed, such as a version or a commit: an aggregation annotates each new value.
    "RELEASE": Setting(
        None,
        gives_release,
        'Give a text of 1 to 100 characters, such as "4.2", a callable that returns one, or the path of either, such '
        'as "mysite.version.current"; or None.',
    ),
    # The secret from which the key of the hashes of unique counts is derived; None takes SECRET_KEY.
    "UNIQUE_KEY": Setting(
        None,
        lambda value: value is None or is_key(value),
        f"Give a secret text of at least {MIN_KEY_LENGTH} characters, such as secrets.token_urlsafe() returns, or None "
        "to use SECRET_KEY.",
        is_secret=True,
    ),
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
def is_on_autopilot() -> bool:
    return bool(settings.APP_METRICS_AUTOPILOT)


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
    return zone(settings.APP_METRICS_TIME_ZONE) or zone(settings.TIME_ZONE or "UTC") or UTC


def first_weekday() -> int:
    """Return the ISO number of the day on which a week begins: 1 for Monday, 7 for Sunday."""
    return 7 if settings.APP_METRICS_WEEK_START == "sunday" else 1


@cached
def spool_dir() -> Path | None:
    """Return the directory of the spool; None if there is no spool."""
    path = usable("SPOOL_DIR")
    return None if path is None else Path(os.fsdecode(path))


def usable(name: str) -> Any:
    """Return a setting; a bad value counts as the largest or the default, and `manage.py check` reports it."""
    setting, value = SETTINGS[name], getattr(settings, f"APP_METRICS_{name}")
    if setting.is_valid(value):
        return value
    is_too_large = type(value) in (int, float) and setting.largest is not None and value > setting.largest
    return setting.largest if is_too_large else setting.default


def _reader(name: str) -> Callable[[], Any]:
    return cached(partial(usable, name))


aliases: Callable[[], Mapping[str, str]] = _reader("ALIASES")
autopilot_interval: Callable[[], float] = _reader("AUTOPILOT_INTERVAL")
catch_up: Callable[[], int] = _reader("CATCH_UP")
flush_interval: Callable[[], float] = _reader("FLUSH_INTERVAL")
max_label_sets: Callable[[], int] = _reader("MAX_LABEL_SETS")
retry_limit: Callable[[], int] = _reader("RETRY_LIMIT")
syncs_spool: Callable[[], bool] = _reader("SPOOL_SYNC")
timeout: Callable[[], float] = _reader("TIMEOUT")
years: Callable[[], Sequence[int]] = _reader("YEARS")
