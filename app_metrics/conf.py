"""Every setting, its default, and the few answers that follow from several of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from appconf import AppConf
from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver

# Typed as the stubs cannot: they know only the settings of the project they were given.
settings: Any = django_settings

DEFAULT_BACKEND = "app_metrics.backends.db"
DEFAULT_MAX_LABEL_SETS = 1000
DEFAULT_RETRY_LIMIT = 100
DEFAULT_TIMEOUT = 0.25
MAX_TIMEOUT = 60
MAX_FLUSH_INTERVAL = 3600
DEFAULT_CATCH_UP = 3
MAX_CATCH_UP = 366
MAX_CHUNK_SIZE = 30_000


class AppMetricsConf(AppConf):  # type: ignore[misc]  # untyped
    # Where batches go: the path of a module that holds `MetricsBackend`, or of a class.
    BACKEND: str = DEFAULT_BACKEND
    # The backends that `app_metrics.backends.composite` hands every batch to.
    COMPOSITE_BACKENDS: Sequence[str] = ()
    # The statsd server that `app_metrics.backends.statsd` sends to.
    STATSD_URL: str = "udp://localhost:8125"
    # What statsd names begin with, such as "mysite".
    STATSD_PREFIX: str = ""
    # Whether that server understands DogStatsD tags; labels are left out where it does not.
    STATSD_TAGS: bool = False
    # The Redis of `app_metrics.backends.redis`; `rediss://` is TLS, and user and password may stand before the host.
    REDIS_URL: str = "redis://localhost:6379/0"
    # Instead of the URL: a callable that returns a client of redis-py, such as a RedisCluster, or its dotted path.
    REDIS_CLIENT: str | Callable[[], Any] | None = None
    # What the keys in Redis begin with; sites that share a Redis database need different ones.
    REDIS_PREFIX: str = "app_metrics"
    # Parts that what Redis holds is spread over, each on one node of a cluster.
    REDIS_SHARDS: int = 1
    # The database alias that holds metrics, items and totals.
    DATABASE: str = "default"
    # Turn all recording into a no-op.
    DISABLED: bool = False
    # Raise on a bad argument (True) or log and drop it (False); None follows DEBUG.
    STRICT: bool | None = None
    # The time zone whose midnights begin a day; None follows TIME_ZONE.
    TIME_ZONE: str | None = None
    # The day on which a week begins: "monday" (ISO weeks) or "sunday".
    WEEK_START: str = "monday"
    # URL name → rule: what a response counts.
    URLS: Mapping[str, Any] = {}
    # Model label → event → rule: what saving and deleting counts.
    MODELS: Mapping[str, Any] = {}
    # Dotted path of a signal → rule: what sending it counts.
    SIGNALS: Mapping[str, Any] = {}
    # Count signups, logins, failed_logins and logouts.
    AUTH: bool = False
    # Count Celery's tasks, and time them, by name.
    CELERY: bool = False
    # Label sets a metric may have; further ones fold into one overflow series.
    MAX_LABEL_SETS: int = DEFAULT_MAX_LABEL_SETS
    # Failed batches a process keeps for the next try; the oldest is dropped beyond.
    RETRY_LIMIT: int = DEFAULT_RETRY_LIMIT
    # Seconds that a write over the network may take; beyond, the batch waits for the next try.
    TIMEOUT: float = DEFAULT_TIMEOUT
    # Seconds for which a process merges the batches of many requests before a thread writes them; 0 merges none.
    FLUSH_INTERVAL: float = 0
    # The directory where a process keeps failed batches, for the next aggregation there; None keeps them in memory.
    SPOOL_DIR: str | PathLike[str] | None = None
    # Items one aggregation transaction takes at most.
    CHUNK_SIZE: int = 30_000
    # Period → days after which its totals are deleted by `metrics_prune`; nothing is by default.
    RETENTION: Mapping[str, int] = {}
    # Name → metric set: what is reported, to whom and how often, without a click in the admin.
    SETS: Mapping[str, Any] = {}
    # Whether a report goes out when its metrics recorded nothing in the reported period.
    SEND_ZERO_ACTIVITY: bool = True
    # Reports per set and period that are sent late, where `metrics_send_mail` did not run in time.
    CATCH_UP: int = DEFAULT_CATCH_UP
    # The site's address, such as "https://example.com", for the links in mails.
    BASE_URL: str | None = None
    # Slug → milestones: all-time totals that are announced when they are reached.
    MILESTONES: Mapping[str, Any] = {}
    # Name → rule: what is told when a number is not as it should be.
    ALERTS: Mapping[str, Any] = {}
    # SHA-256 of the tokens, as hex digits in lower case, that open the JSON API and the Prometheus endpoint.
    API_TOKENS: Sequence[str] = ()

    class Meta:
        prefix = "APP_METRICS"


# Whether recording is a no-op. A variable, because every call asks: to read an attribute of Django's settings takes as
# long as all the rest of the call.
disabled = bool(settings.APP_METRICS_DISABLED)

Answer = TypeVar("Answer")
_remembered: list[Any] = []


def _remember(ask: Callable[[], Answer]) -> Callable[[], Answer]:
    """Have a question to the settings, which every request asks, answered once until a setting changes."""
    remembered = cache(ask)
    _remembered.append(remembered)
    return remembered


@receiver(setting_changed)
def _ask_again(**kwargs: Any) -> None:
    global disabled
    disabled = bool(settings.APP_METRICS_DISABLED)
    for ask in _remembered:
        ask.cache_clear()


@_remember
def backend_path() -> str:
    """Return the configured backend; `APP_METRIC_BACKEND`, the first README's spelling, works too."""
    path: str = settings.APP_METRICS_BACKEND
    if path == DEFAULT_BACKEND:
        path = getattr(settings, "APP_METRIC_BACKEND", path)
    return path


def is_strict() -> bool:
    strict = settings.APP_METRICS_STRICT
    return bool(settings.DEBUG if strict is None else strict)


@_remember
def time_zone() -> ZoneInfo:
    """Return the metrics time zone; TIME_ZONE serves while APP_METRICS_TIME_ZONE names none that exists."""
    try:
        return ZoneInfo(settings.APP_METRICS_TIME_ZONE or settings.TIME_ZONE or "UTC")
    except (ZoneInfoNotFoundError, ValueError, TypeError):
        return ZoneInfo(settings.TIME_ZONE or "UTC")


def first_weekday() -> int:
    """Return the ISO number of the day on which a week begins: 1 for Monday, 7 for Sunday."""
    return 7 if settings.APP_METRICS_WEEK_START == "sunday" else 1


@_remember
def max_label_sets() -> int:
    return _positive(settings.APP_METRICS_MAX_LABEL_SETS, DEFAULT_MAX_LABEL_SETS)


@_remember
def retry_limit() -> int:
    return _positive(settings.APP_METRICS_RETRY_LIMIT, DEFAULT_RETRY_LIMIT)


@_remember
def timeout() -> float:
    """Return the seconds that a write over the network may take."""
    return min(_seconds(settings.APP_METRICS_TIMEOUT), MAX_TIMEOUT) or DEFAULT_TIMEOUT


@_remember
def flush_interval() -> float:
    """Return the seconds between two writes of what a process merges; 0 where it merges nothing."""
    return min(_seconds(settings.APP_METRICS_FLUSH_INTERVAL), MAX_FLUSH_INTERVAL)


@_remember
def spool_dir() -> Path | None:
    """Return the directory of the spool; None where there is none."""
    directory = settings.APP_METRICS_SPOOL_DIR
    return Path(directory) if directory and isinstance(directory, (str, PathLike)) else None


def catch_up() -> int:
    return min(_positive(settings.APP_METRICS_CATCH_UP, DEFAULT_CATCH_UP), MAX_CATCH_UP)


def _positive(value: Any, default: int) -> int:
    """Return a setting, or its default while it is none: `check` tells, and nothing is lost meanwhile."""
    return value if type(value) is int and value > 0 else default


def _seconds(value: Any) -> float:
    return value if type(value) in (int, float) and 0 < value < math.inf else 0
