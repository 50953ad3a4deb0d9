"""Calendar arithmetic: which hour, day, week, month and year a moment falls in.

A bucket is a local date and an hour of that date, counted in elapsed hours from local midnight. A day of
25 hours therefore has the hours 0 to 24, and no bucket depends on how a database stores time zones.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR, DAY, WEEK, MONTH, YEAR = PERIODS = ("hour", "day", "week", "month", "year")

# MariaDB stores dates from the year 1000; the end of the year 9999 has no next day.
FIRST_YEAR, LAST_YEAR = 1000, 9998


@lru_cache(maxsize=2048)
def bucket(second: int, zone: ZoneInfo) -> tuple[date, int]:
    """Return the local date of a Unix time in whole seconds, and the elapsed hour of that date."""
    day = datetime.fromtimestamp(second, zone).date()
    # Where clocks skipped from before midnight to after it, a date began before its midnight.
    return day, max(0, int(second - midnight(day, zone).timestamp()) // 3600)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant of a date in a zone, in UTC.

    Where clocks skip midnight the day begins at the end of the gap; where they show it twice, at the first.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def hour_start(day: date, hour: int, zone: ZoneInfo) -> datetime:
    """Return the aware local time at which an elapsed hour of a date begins."""
    return (midnight(day, zone) + timedelta(hours=hour)).astimezone(zone)


def hours_in(day: date, zone: ZoneInfo) -> int:
    """Return how many hours a date has: 24, or 23 or 25 where clocks change; a part counts as one."""
    # The second time it is 23:59:59: where clocks are put back over midnight, a date comes back after its next one.
    last = datetime.combine(day, time(23, 59, 59, fold=1), zone).astimezone(UTC)
    return int((last - midnight(day, zone)).total_seconds()) // 3600 + 1


def period_start(period: str, day: date, first_weekday: int = 1) -> date:
    """Return the first date of the period that holds a date; `first_weekday` is an ISO number, 1 to 7."""
    if period in (HOUR, DAY):
        return day
    if period == WEEK:
        return day - timedelta(days=(day.isoweekday() - first_weekday) % 7)
    if period == MONTH:
        return day.replace(day=1)
    if period == YEAR:
        return day.replace(month=1, day=1)
    raise ValueError(f"{period!r} is not a period; choose one of {', '.join(PERIODS)}.")


def next_start(period: str, start: date) -> date:
    """Return the first date of the period after the one that begins at `start`."""
    if period == MONTH:
        return (start + timedelta(days=31)).replace(day=1)
    if period == YEAR:
        return start.replace(year=start.year + 1)
    return start + timedelta(days=7 if period == WEEK else 1)


def starts_between(period: str, first: date, last: date, first_weekday: int = 1) -> Iterator[date]:
    """Yield the start of every period that touches the dates from `first` to `last`, both included."""
    start = period_start(period, first, first_weekday)
    while start <= last:
        yield start
        start = next_start(period, start)
