"""Every setting, its default, and the few answers that follow from several of them."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from appconf import AppConf
from django.conf import settings as django_settings

# Typed as the stubs cannot: they know only the settings of the project they were given.
settings: Any = django_settings

DEFAULT_BACKEND = "app_metrics.backends.db"
DEFAULT_MAX_LABEL_SETS = 1000
DEFAULT_RETRY_LIMIT = 100
DEFAULT_CATCH_UP = 3
MAX_CATCH_UP = 366


class AppMetricsConf(AppConf):  # type: ignore[misc]  # untyped
    # Where batches go: the path of a module that holds `MetricsBackend`, or of a class.
    BACKEND: str = DEFAULT_BACKEND
    # The backends that `app_metrics.backends.composite` hands every batch to.
    COMPOSITE_BACKENDS: Sequence[str] = ()
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
    # Label sets a metric may have; further ones fold into one overflow series.
    MAX_LABEL_SETS: int = DEFAULT_MAX_LABEL_SETS
    # Failed batches a process keeps for the next try; the oldest is dropped beyond.
    RETRY_LIMIT: int = DEFAULT_RETRY_LIMIT
    # Items one aggregation transaction takes.
    CHUNK_SIZE: int = 10_000
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

    class Meta:
        prefix = "APP_METRICS"


def backend_path() -> str:
    """Return the configured backend; `APP_METRIC_BACKEND`, the first README's spelling, works too."""
    path: str = settings.APP_METRICS_BACKEND
    if path == DEFAULT_BACKEND:
        path = getattr(settings, "APP_METRIC_BACKEND", path)
    return path


def is_strict() -> bool:
    strict = settings.APP_METRICS_STRICT
    return bool(settings.DEBUG if strict is None else strict)


def time_zone() -> ZoneInfo:
    """Return the metrics time zone; TIME_ZONE serves while APP_METRICS_TIME_ZONE names none that exists."""
    try:
        return ZoneInfo(settings.APP_METRICS_TIME_ZONE or settings.TIME_ZONE or "UTC")
    except (ZoneInfoNotFoundError, ValueError, TypeError):
        return ZoneInfo(settings.TIME_ZONE or "UTC")


def first_weekday() -> int:
    """Return the ISO number of the day on which a week begins: 1 for Monday, 7 for Sunday."""
    return 7 if settings.APP_METRICS_WEEK_START == "sunday" else 1


def max_label_sets() -> int:
    return _positive(settings.APP_METRICS_MAX_LABEL_SETS, DEFAULT_MAX_LABEL_SETS)


def retry_limit() -> int:
    return _positive(settings.APP_METRICS_RETRY_LIMIT, DEFAULT_RETRY_LIMIT)


def catch_up() -> int:
    return min(_positive(settings.APP_METRICS_CATCH_UP, DEFAULT_CATCH_UP), MAX_CATCH_UP)


def _positive(value: Any, default: int) -> int:
    """Return a setting, or its default while it is none: `check` tells, and nothing is lost meanwhile."""
    return value if type(value) is int and value > 0 else default
