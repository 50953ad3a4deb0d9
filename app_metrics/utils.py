"""The functions under the import path that they had in the first django-app-metrics, for the calls that it took."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from . import conf
from .conf import is_strict
from .core.dropped import warn_once
from .core.plain_text import brief
from .models.creation import create_metric, create_metric_set, get_or_create_metric
from .recording import metrics
from .recording.collecting import collect
from .recording.metrics import Labels, Timer, timing

__all__ = [
    "Timer", "collect", "collection_disabled", "create_metric", "create_metric_set", "gauge", "get_or_create_metric",
    "metric", "timing",
]  # fmt: skip

# What to write instead of an argument that the first django-app-metrics or one of its forks took.
INSTEAD = {
    "backends": "Name the backends in APP_METRICS_COMPOSITE_BACKENDS",
    "created": "Write at=…",
    "name": "Name the metric once, with create_metric()",
    "properties": 'Write labels={"…": "…"}',
}


def collection_disabled() -> bool:
    """Return whether APP_METRICS_DISABLED turns all recording into a no-op."""
    return conf.disabled


def metric(
    slug: str,
    num: int | Decimal | str = 1,
    *,
    labels: Labels = None,
    at: datetime | None = None,
    on_commit: bool = False,
    using: str | None = None,
    **old: Any,
) -> None:
    """Do what `app_metrics.metric()` does, for calls with arguments of the first django-app-metrics, too.

    Raises TypeError for such an argument if APP_METRICS_STRICT is true, and says what to write instead. Otherwise that
    is logged, and the number counts: at the time `created`, if it is given, and without any other argument.
    """
    if old and not conf.disabled:
        _refuse("metric", slug, old)
        at = old.get("created") if at is None else at
    metrics.metric(slug, num, labels=labels, at=at, on_commit=on_commit, using=using)


def gauge(
    slug: str,
    value: float | Decimal | str | None = None,
    *,
    current_value: float | Decimal | str | None = None,
    labels: Labels = None,
    at: datetime | None = None,
    **old: Any,
) -> None:
    """Do what `app_metrics.gauge()` does, also for `current_value`; see `metric()` for other arguments."""
    if old and not conf.disabled:
        _refuse("gauge", slug, old)
        at = old.get("created") if at is None else at
    number: Any = current_value if value is None else value  # none at all is an error like any bad number
    metrics.gauge(slug, number, labels=labels, at=at)


def _refuse(function: str, slug: str, old: dict[str, Any]) -> None:
    """Raise TypeError for arguments that do not exist if APP_METRICS_STRICT is true; otherwise log them."""
    for name in old:
        cause = f"{function}({brief(slug)}) has no argument {name!r}. {INSTEAD.get(name, 'Remove it')}."
        if is_strict():
            raise TypeError(cause)
        warn_once(cause, source=function)
