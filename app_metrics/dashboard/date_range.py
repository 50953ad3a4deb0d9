"""The dates that a chart covers, the periods it divides them into, and the periods before them to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..core.calendar import span, start_of, starts_between
from ..core.formatting import dates
from ..core.periods import DAY, FIRST_YEAR, HOUR, LAST_YEAR, MONTH, WEEK, YEAR, Period, Start
from ..models.splitting import Where

# Points of one curve: enough for a year of days, or two weeks of hours.
MOST_POINTS = 400
# Points times label sets that a chart split by a label reads at most.
MOST_SPLIT_POINTS = 40_000
# The same for a chart that is not split, on a database that cannot merge label sets.
MOST_ADDED_POINTS = 100_000


class Range(NamedTuple):
    """A named range: the latest `number` periods of `unit`, today's included, shown by `step` by default.

    `previous` is the name of as many periods before them.
    """

    number: int
    unit: Period
    step: Period
    title: Any
    previous: Any


# Days come in whole weeks, so that each day is compared with the same weekday.
RANGES = {
    "2d": Range(2, DAY, HOUR, gettext_lazy("2 days"), gettext_lazy("Previous 2 days")),
    "7d": Range(7, DAY, HOUR, gettext_lazy("7 days"), gettext_lazy("Previous 7 days")),
    "28d": Range(28, DAY, DAY, gettext_lazy("4 weeks"), gettext_lazy("Previous 4 weeks")),
    "91d": Range(91, DAY, DAY, gettext_lazy("13 weeks"), gettext_lazy("Previous 13 weeks")),
    "52w": Range(52, WEEK, WEEK, gettext_lazy("52 weeks"), gettext_lazy("Previous 52 weeks")),
    "24m": Range(24, MONTH, MONTH, gettext_lazy("24 months"), gettext_lazy("Previous 24 months")),
    "5y": Range(5, YEAR, YEAR, gettext_lazy("5 years"), gettext_lazy("Previous 5 years")),
}
DEFAULT_RANGE = "28d"


@dataclass(frozen=True, slots=True)
class Selection:
    """The periods that touch the dates from `first` to `last`, and the name of the label that splits them, if any.

    `name` is that of a named range, or an empty text for dates that were chosen. `where` filters the label sets.

    Raises ValueError, with a text for the user, if there are no periods, too many, or dates that cannot be stored.
    """

    period: Period
    first: date
    last: date
    split: str = ""
    name: str = ""
    where: Where = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(_("The first date is after the last one."))
        _check_years(self.first, self.last)
        self.check_points(MOST_POINTS)

    def check_points(self, most: int) -> None:
        """Raise ValueError, with a text for the user, if there are more than `most` points; a date has 24 hours."""
        if self._steps() * (24 if self.period == HOUR else 1) > most:
            text = _("The chart shows at most %(number)s points: choose a longer period or fewer days.")
            raise ValueError(text % {"number": most})

    def _steps(self) -> int:
        """Return the number of periods, or of dates if the period is an hour, without listing them."""
        first, last = start_of(self.period, self.first), start_of(self.period, self.last)
        return self.period.steps(first, last) + 1

    def span(self) -> tuple[date, date]:
        """Return the first and the last date of the periods, which may begin before `first` and end after `last`."""
        return span(self.period, self.first)[0], span(self.period, self.last)[1]

    def starts(self) -> list[Start]:
        return list(starts_between(self.period, self.first, self.last))

    def previous(self) -> list[Start]:
        """Return the starts of as many periods right before these."""
        first = start_of(self.period, self.first)
        # One more period, because the same number of dates may have fewer hours when clocks change.
        earliest = self.period.shift(first, -self._steps() - 1)
        before = list(starts_between(self.period, earliest, first - timedelta(days=1)))
        return before[len(before) - len(self.starts()) :]

    def previous_title(self, before: Sequence[Start]) -> str:
        """Return the name of the periods `before` these, such as "Previous 4 weeks", or else their dates."""
        named = RANGES.get(self.name)
        # Longer periods reach back beyond the first date of the range.
        if named and self.period in (named.unit, named.step):
            return str(named.previous)
        if not before:
            return _("Previous")
        days = dates(before[0][0], self.period.last_day(before[-1][0]))
        return _("Previous: %(dates)s") % {"dates": days}


def ranged(
    name: str, today: date, period: Period | None = None, split: str = "", where: Where | None = None
) -> Selection:
    """Return the selection of one of RANGES that ends today; `period` replaces the range's own step.

    Raises ValueError as `Selection` does.
    """
    number, unit, step, *_titles = RANGES[name]
    _check_years(today, today)
    first = unit.shift(start_of(unit, today), 1 - number)
    return Selection(period or step, first, today, split, name, where or {})


def _check_years(first: date, last: date) -> None:
    if first.year <= FIRST_YEAR or last.year > LAST_YEAR:
        years = {"first": FIRST_YEAR + 1, "last": LAST_YEAR}
        raise ValueError(_("Enter dates from the years %(first)s to %(last)s.") % years)
