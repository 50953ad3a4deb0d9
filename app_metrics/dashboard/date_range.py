"""Which stretch of time a chart shows, in which steps, and what stands behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.translation import gettext as _

from ..conf import first_weekday, time_zone
from ..core.periods import (
    DAY,
    FIRST_YEAR,
    HOUR,
    LAST_YEAR,
    MONTH,
    WEEK,
    YEAR,
    hours_in,
    next_start,
    period_start,
    previous_start,
    starts_between,
)  # fmt: skip

# How many points one curve may have: wide enough for a year of days, or two weeks of hours.
MOST_POINTS = 400
# What a split reads at most: points times label sets.
MOST_SPLIT_POINTS = 40_000
# The same where nothing is split, but the database does not add the label sets up.
MOST_ADDED_POINTS = 100_000

# Name → (number of periods, which, and the step that suits them). Those of days are whole weeks, so that each day
# stands before the same weekday.
RANGES: dict[str, tuple[int, str, str]] = {
    "2d": (2, DAY, HOUR),
    "7d": (7, DAY, HOUR),
    "28d": (28, DAY, DAY),
    "91d": (91, DAY, DAY),
    "52w": (52, WEEK, WEEK),
    "24m": (24, MONTH, MONTH),
    "5y": (5, YEAR, YEAR),
}
DEFAULT_RANGE = "28d"

# A date, and an hour of it where the period is one.
Start = tuple[date, int]


@dataclass(frozen=True, slots=True)
class Selection:
    """The periods that touch the dates from `first` to `last`, split by a label where one is named.

    Raises ValueError, with a text for who asked, where there are none, too many, or none that can be stored.
    """

    period: str
    first: date
    last: date
    split: str = ""

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(_("The first date is after the last one."))
        _check_years(self.first, self.last)
        self.check_points(MOST_POINTS)

    def check_points(self, most: int) -> None:
        """Raise ValueError, with a text for who asked, where there are more points."""
        if self._points() > most:
            text = _("At most %(number)s points are shown: choose a longer period or fewer days.")
            raise ValueError(text % {"number": most})

    def _points(self) -> int:
        """Return about how many points there are, without listing them."""
        days = (self.last - self.first).days + 1
        if self.period == HOUR:
            return days * 24
        return days // {DAY: 1, WEEK: 7, MONTH: 31, YEAR: 366}[self.period]

    def span(self) -> tuple[date, date]:
        """Return the first and the last date of the periods, which may begin before `first` and end after `last`."""
        week = first_weekday()
        end = next_start(self.period, period_start(self.period, self.last, week))
        return period_start(self.period, self.first, week), end - timedelta(days=1)

    def starts(self) -> list[Start]:
        return list(_starts(self.period, self.first, self.last))

    def previous(self) -> list[Start]:
        """Return as many periods right before these."""
        if self.period == HOUR:
            # One date more: where clocks change, as many dates may have fewer hours.
            days = (self.last - self.first).days + 2
            before = list(_starts(HOUR, self.first - timedelta(days), self.first - timedelta(1)))
            return before[len(before) - len(self.starts()) :]
        start, found = period_start(self.period, self.first, first_weekday()), []
        for _start in self.starts():
            start = previous_start(self.period, start)
            found.append((start, 0))
        return found[::-1]


def ranged(name: str, today: date, period: str = "", split: str = "") -> Selection:
    """Return the selection of one of RANGES that ends with today; the step is the range's own unless given.

    Raises ValueError as `Selection` does.
    """
    number, unit, step = RANGES[name]
    _check_years(today, today)
    first = period_start(unit, today, first_weekday())
    for _number in range(number - 1):
        first = previous_start(unit, first)
    return Selection(period or step, first, today, split)


def _check_years(first: date, last: date) -> None:
    if first.year <= FIRST_YEAR or last.year > LAST_YEAR:
        years = {"first": FIRST_YEAR + 1, "last": LAST_YEAR}
        raise ValueError(_("Give dates from the years %(first)s to %(last)s.") % years)


def _starts(period: str, first: date, last: date) -> Iterator[Start]:
    for day in starts_between(period, first, last, first_weekday()):
        for hour in range(hours_in(day, time_zone()) if period == HOUR else 1):
            yield day, hour
