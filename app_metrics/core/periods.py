"""Calendar arithmetic: periods of dates, and the hour and date that a moment falls in.

A bucket is a local date and an hour of that date, counted in elapsed hours from local midnight. A day of 25 hours has
the hours 0 to 24, and no bucket depends on how a database stores time zones.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Any, NoReturn

from django.utils.translation import gettext_lazy as _


class Period(StrEnum):
    """A span of time that totals are stored for; the members run from the shortest to the longest.

    A period equals its text in the database, in settings and in URLs: `Period("day") == "day"`. Any other text raises
    ValueError. To add a period, add a line here; its name needs a translation.

    HOUR steps by whole dates, because the hours of a date depend on the time zone.
    """

    display_name: Any
    days: int
    months: int
    recent: int

    # Text, display name, days or else months, and how many are shown by default (for HOUR: how many dates).
    HOUR = "hour", _("hour"), 1, 0, 2
    DAY = "day", _("day"), 1, 0, 30
    WEEK = "week", _("week"), 7, 0, 12
    MONTH = "month", _("month"), 0, 1, 12
    YEAR = "year", _("year"), 0, 12, 5

    def __new__(cls, text: str, *row: Any) -> "Period":
        period = str.__new__(cls, text)
        period._value_ = text
        period.display_name, period.days, period.months, period.recent = row
        return period

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"{value!r} is not a period; choose one of {', '.join(cls)}.")

    def __repr__(self) -> str:
        return repr(str(self))  # error messages and command-line help quote the text

    def start_of(self, day: date, first_weekday: int = 1) -> date:
        """Return the first date of the period that contains a date; `first_weekday` is an ISO number, 1 to 7."""
        if self.months:
            return day.replace(month=day.month - (day.month - 1) % self.months, day=1)
        return day - timedelta(days=(day.isoweekday() - first_weekday) % self.days)

    def shift(self, start: date, number: int) -> date:
        """Return the start of the period that begins `number` periods after `start`, or before it if negative."""
        if not self.months:
            return start + timedelta(days=number * self.days)
        years, month = divmod(start.month - 1 + number * self.months, 12)
        return date(start.year + years, month + 1, 1)

    def next(self, start: date) -> date:
        """Return the first date of the period after the one that begins at `start`."""
        return self.shift(start, 1)

    def previous(self, start: date) -> date:
        """Return the first date of the period before the one that begins at `start`."""
        return self.shift(start, -1)

    def last_day(self, start: date) -> date:
        """Return the last date of the period that begins at `start`."""
        return self.next(start) - timedelta(days=1)

    def steps(self, start: date, end: date) -> int:
        """Return the number of periods from one start to another, so that `shift(start, number)` returns `end`."""
        if self.months:
            return ((end.year - start.year) * 12 + end.month - start.month) // self.months
        return (end - start).days // self.days

    def starts_between(self, first: date, last: date, first_weekday: int = 1) -> Iterator[date]:
        """Yield the start of every period that touches the dates from `first` to `last`, both included."""
        start = self.start_of(first, first_weekday)
        while start <= last:
            yield start
            start = self.next(start)

    def latest(self, start: date, number: int) -> list[date]:
        """Return the starts of `number` consecutive periods; the last one begins at `start`."""
        return [self.shift(start, -back) for back in reversed(range(number))]

    def year_earlier(self, start: date) -> date | None:
        """Return the start of the same period a year earlier.

        For a week, that is the week with the same ISO number; None if that year had no week 53. A week that begins on
        Sunday has the number of its Monday. For a day, it is the same weekday 52 weeks earlier.
        """
        if self.months:
            return self.shift(start, -12 // self.months)
        if self.days == 1:
            return start - timedelta(weeks=52)
        monday = start + timedelta(days=(8 - start.isoweekday()) % 7)
        year, week, _ = monday.isocalendar()
        try:
            return date.fromisocalendar(year - 1, week, 1) - (monday - start)
        except ValueError:
            return None


HOUR, DAY, WEEK, MONTH, YEAR = Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH, Period.YEAR
PERIODS = tuple(Period)
# The periods that consist of whole days.
WHOLE_DAYS = tuple(period for period in Period if period is not HOUR)
# The totals of this period are never deleted, because all-time totals are sums of them.
LONGEST = PERIODS[-1]

# The first date of a period, and the number of the hour if the period is an hour, else 0.
Start = tuple[date, int]
# What one total covers: the period, and its start.
Piece = tuple[Period, date, int]

# MariaDB stores dates from the year 1000; the end of the year 9999 has no next day.
FIRST_YEAR, LAST_YEAR = 1000, 9998

# The valid numbers of an hour; no day ever had 48 hours.
HOURS = range(48)


@lru_cache(maxsize=2048)
def bucket(second: int, zone: tzinfo) -> Start:
    """Return the local date of a Unix time in whole seconds, and the elapsed hour of that date."""
    day = datetime.fromtimestamp(second, zone).date()
    # If clocks skip from before midnight to after it, a date begins before its computed midnight.
    return day, max(0, int(second - midnight(day, zone).timestamp()) // 3600)


def local_date(moment: date, zone: tzinfo) -> date:
    """Return the date of a datetime in a time zone; a naive datetime is local already, and a date stays as it is."""
    if not isinstance(moment, datetime):
        return moment
    return moment.astimezone(zone).date() if moment.tzinfo else moment.date()


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the first instant of a date in a time zone, in UTC.

    If clocks skip midnight, the day begins at the end of the gap; if midnight occurs twice, at the first one.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def hour_start(day: date, hour: int, zone: tzinfo) -> datetime:
    """Return the aware local time at which an elapsed hour of a date begins."""
    return (midnight(day, zone) + timedelta(hours=hour)).astimezone(zone)


def hours_in(day: date, zone: tzinfo) -> int:
    """Return how many hours a date has: 24, or 23 or 25 if clocks change; a partial hour counts as one."""
    # fold=1 means the second 23:59:59: if clocks go back from after midnight to before it, that time occurs twice.
    last = datetime.combine(day, time(23, 59, 59, fold=1), zone).astimezone(UTC)
    return int((last - midnight(day, zone)).total_seconds()) // 3600 + 1


def elapsed_pieces(start: date, end: date, hours: int) -> list[Piece]:
    """Split the time from the date `start` through `hours` hours of the date `end` into months, days and hours."""
    pieces: list[Piece] = []
    while start < end:
        period = MONTH if start.day == 1 and MONTH.next(start) <= end else DAY
        pieces.append((period, start, 0))
        start = period.next(start)
    return pieces + [(HOUR, end, hour) for hour in range(hours)]


def same_part(period: Period, start: date, end: date, hours: int, base: date) -> Start:
    """Return how far the period at `base` had run when it was as old as the one at `start` is now.

    The end is a date and a number of its hours. The period at `start` has elapsed through `hours` hours of `end`.
    Periods that begin in the same month are compared by calendar date, others by the number of days. A base shorter
    than the elapsed part counts as a whole: on 31 March, all of February.
    """
    if period.months and start.month == base.month:
        try:
            return end.replace(year=base.year), hours
        except ValueError:  # 29 February
            return date(base.year, 3, 1), 0
    end, limit = base + (end - start), period.next(base)
    return (end, hours) if end < limit else (limit, 0)
