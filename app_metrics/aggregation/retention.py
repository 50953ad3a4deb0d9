"""`APP_METRICS_RETENTION`: delete old totals of short periods."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import connections

from ..conf import settings
from ..core.calendar import today
from ..core.periods import LONGEST, Period
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..models import Metric, Total
from ..models.primary import primary
from ..storage.transactions import between_others
from ..storage.turns import Turns

SETTING = "APP_METRICS_RETENTION"
EXAMPLE = '{"hour": 60, "day": 1100}'
PRUNABLE = tuple(period for period in Period if period is not LONGEST)
# More would reach back before the dates that can be recorded.
MAX_DAYS = 100_000
# Totals deleted per statement, to keep locks short.
CHUNK_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Limit:
    """Totals of a period that start before a date are deleted."""

    period: Period
    before: date


def compile_retention(value: Any) -> tuple[dict[Period, int], list[SettingError]]:
    """Return days by period, and the mistakes in other entries."""
    reader = SettingReader("E020", SETTING)
    days = reader.read_mapping(value, EXAMPLE, _days)
    return {Period(period): number for period, number in days.items()}, reader.errors


def _days(entry: SettingReader, value: Any) -> int:
    if entry.key not in PRUNABLE:
        raise entry.error("is not a period that can be pruned", suggest(entry.key, PRUNABLE))
    if type(value) is not int or not 1 <= value <= MAX_DAYS:
        raise entry.error(f"is {value!r}", f"Give a whole number of days from 1 to {MAX_DAYS}.")
    return value


def limits() -> list[Limit]:
    """Return the limits of the setting, as of today. Raises ValueError for a mistake in it."""
    days, errors = compile_retention(settings.APP_METRICS_RETENTION)
    if errors:
        raise ValueError(f"{errors[0]} {errors[0].hint}")
    return [Limit(period, today() - timedelta(days=number)) for period, number in days.items()]


def expired(limit: Limit) -> int:
    """Return how many totals are older than a limit."""
    count: int = primary(Total.objects).filter(period=limit.period, start__lt=limit.before).count()
    return count


def prune(limit: Limit, *, on_progress: Callable[[int], None] | None = None) -> int:
    """Delete the totals that are older than a limit, in small transactions; return how many.

    It may run at any time. `on_progress` gets the number of deleted totals after each statement.
    """
    deleted, turns = 0, Turns(connections[settings.APP_METRICS_DATABASE])
    for metric in primary(Metric.objects).order_by("pk"):
        for count in _chunks(metric, limit):
            turns.let_others_write()
            deleted += count
            if on_progress:
                on_progress(count)
    return deleted


def _chunks(metric: Metric, limit: Limit) -> Iterator[int]:
    totals = primary(Total.objects).filter(metric=metric, period=limit.period, start__lt=limit.before)
    while chunk := list(totals.order_by("start").values_list("pk", flat=True)[:CHUNK_SIZE]):
        with between_others():
            deleted, _ = Total.objects.filter(pk__in=chunk).delete()
        yield deleted
