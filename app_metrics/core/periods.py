"""Calendar arithmetic: which hour, day, week, month and year a moment falls in.

A bucket is a local date and an hour of that date, counted in elapsed hours from local midnight. A day of
25 hours therefore has the hours 0 to 24, and no bucket depends on how a database stores time zones.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR, DAY, WEEK, MONTH, YEAR = PERIODS = ("hour", "day", "week", "month", "year")

# The total of one period: which, the date it starts, and the hour where it is one (else 0).
Piece = tuple[str, date, int]

# MariaDB stores dates from the year 1000; the end of the year 9999 has no next day.
FIRST_YEAR, LAST_YEAR = 1000, 9998

# Elapsed hours of the longest day there was, and then some.
HOURS = range(48)


@lru_cache(maxsize=2048)
def bucket(second: int, zone: ZoneInfo) -> tuple[date, int]:
    """Return the local date of a Unix time in whole seconds, and the elapsed hour of that date."""
    day = datetime.fromtimestamp(second, zone).date()
    # Where clocks skipped from before midnight to after it, a date began before its midnight.
    return day, max(0, int(second - midnight(day, zone).timestamp()) // 3600)


def local_date(moment: date, zone: ZoneInfo) -> date:
    """Return the date it is at a datetime in a zone, which a naive one is in already; a date stays itself."""
    if not isinstance(moment, datetime):
        return moment
    return moment.astimezone(zone).date() if moment.tzinfo else moment.date()


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


def previous_start(period: str, start: date) -> date:
    """Return the first date of the period before the one that begins at `start`."""
    return period_start(period, start - timedelta(days=1), start.isoweekday())


def year_earlier(period: str, start: date) -> date | None:
    """Return the start of the same period a year earlier.

    A week is the one with the same ISO number, None where that year had no week 53; weeks that begin on Sunday take the
    number of their Monday. A day is the same weekday, 52 weeks earlier.
    """
    if period == DAY:
        return start - timedelta(weeks=52)
    if period != WEEK:
        return start.replace(year=start.year - 1)
    monday = start + timedelta(days=(8 - start.isoweekday()) % 7)
    year, week, _ = monday.isocalendar()
    try:
        return date.fromisocalendar(year - 1, week, 1) - (monday - start)
    except ValueError:
        return None


def elapsed_pieces(start: date, end: date, hours: int) -> list[Piece]:
    """Cut the time from a date up to the first `hours` of another one into months, days and hours."""
    pieces: list[Piece] = []
    while start < end:
        period = MONTH if start.day == 1 and next_start(MONTH, start) <= end else DAY
        pieces.append((period, start, 0))
        start = next_start(period, start)
    return pieces + [(HOUR, end, hour) for hour in range(hours)]


def same_part(period: str, start: date, end: date, hours: int, base: date) -> tuple[date, int]:
    """Return the date and hours up to which another period, begun at `base`, has elapsed as far as this one.

    A month or year that is shorter counts as a whole: on 31 March all of February has passed.
    """
    if period == YEAR:
        try:
            return end.replace(year=base.year), hours
        except ValueError:  # 29 February
            return date(base.year, 3, 1), 0
    limit = next_start(period, base)
    end = base + (end - start)
    return (end, hours) if end < limit else (limit, 0)
