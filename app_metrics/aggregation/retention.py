"""`APP_METRICS_RETENTION`: delete old totals of short periods."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ..conf import settings
from ..core.calendar import today
from ..core.periods import DAY, HOUR, MONTH, WEEK
from ..core.setting_rules import SettingError, suggest
from ..models import Metric, Total

SETTING = "APP_METRICS_RETENTION"
# Years stay: all-time totals are made of them.
PERIODS = (HOUR, DAY, WEEK, MONTH)
# Totals that one statement deletes, so that its locks are short.
CHUNK_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Limit:
    """The totals of a period that start before a date are deleted."""

    period: str
    before: date


def compile_retention(value: Any) -> tuple[dict[str, int], list[SettingError]]:
    """Return days by period, and the mistakes."""
    if not isinstance(value, Mapping):
        hint = f'Map periods to days: {SETTING} = {{"hour": 60, "day": 1100}}.'
        return {}, [SettingError("E020", f"{SETTING} is {value!r}, which is no mapping.", hint)]
    days: dict[str, int] = {}
    errors: list[SettingError] = []
    for period, number in value.items():
        if period not in PERIODS:
            errors.append(SettingError("E020", f"{SETTING} names {period!r}.", suggest(period, PERIODS)))
        elif type(number) is not int or number < 1:
            errors.append(SettingError("E020", f"{SETTING}[{period!r}] is {number!r}.", "Give a number of days."))
        else:
            days[period] = number
    return days, errors


def limits() -> list[Limit]:
    """Return what the setting says, as of today. Raises ValueError where it has a mistake."""
    days, errors = compile_retention(settings.APP_METRICS_RETENTION)
    if errors:
        raise ValueError(f"{errors[0]} {errors[0].hint}")
    return [Limit(period, today() - timedelta(days=number)) for period, number in days.items()]


def expired(limit: Limit) -> int:
    """Return how many totals a limit deletes."""
    return Total.objects.filter(period=limit.period, start__lt=limit.before).count()


def prune(limit: Limit, *, on_progress: Callable[[int], None] | None = None) -> int:
    """Delete the totals before a limit, in small transactions; return how many.

    It may run at any time. `on_progress` is called with the number of totals after each statement.
    """
    deleted = 0
    for metric in Metric.objects.order_by("pk"):
        for count in _chunks(metric, limit):
            deleted += count
            if on_progress:
                on_progress(count)
    return deleted


def _chunks(metric: Metric, limit: Limit) -> Iterator[int]:
    totals = Total.objects.filter(metric=metric, period=limit.period, start__lt=limit.before)
    while chunk := list(totals.order_by("start").values_list("pk", flat=True)[:CHUNK_SIZE]):
        yield Total.objects.filter(pk__in=chunk).delete()[0]
