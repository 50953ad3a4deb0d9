"""Which stretches of time a trend compares, as pieces: the totals they consist of."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import NamedTuple

from ..conf import first_weekday
from .calendar import Moment
from .numbers import EXACT, Number
from .periods import (
    DAY,
    WEEK,
    YEAR,
    Piece,
    elapsed_pieces,
    next_start,
    period_start,
    previous_start,
    same_part,
    year_earlier,
)  # fmt: skip
from .summary import Summary, headline

# What a period is compared with: the one before, a day's same weekday a week before, and the same one a year earlier.
BEFORE, WEEK_BEFORE, YEAR_BEFORE = "before", "week_before", "year_before"


class Plan(NamedTuple):
    """What one trend needs: the pieces of all it holds, of the part that is compared, and of each base."""

    period: str
    start: date
    whole: list[Piece]
    compared: list[Piece]
    bases: dict[str, tuple[date | None, list[Piece]]]


def comparable_starts(period: str, start: date) -> dict[str, date | None]:
    """Return the starts of the periods that one is compared with, by name; None where there is no such period."""
    starts: dict[str, date | None] = {BEFORE: previous_start(period, start)}
    if period == DAY:
        starts[WEEK_BEFORE] = start - timedelta(weeks=1)
    if period != YEAR:
        starts[YEAR_BEFORE] = year_earlier(period, start)
    return starts


def closed(period: str, start: date) -> Plan:
    """Plan the trend of a period that is over."""
    bases = {name: (base, whole(period, base)) for name, base in comparable_starts(period, start).items()}
    return Plan(period, start, whole(period, start), whole(period, start), bases)


def latest_closed(period: str, today: date) -> date:
    """Return the start of the period before the one that holds a date."""
    return previous_start(period, period_start(period, today, first_weekday()))


def running(period: str, moment: Moment) -> Plan:
    """Plan the trend of the period that holds a moment's `today`, so far."""
    start = period_start(period, moment.today, first_weekday())
    compared = elapsed(period, start, moment, start)
    everything = whole(period, start) if moment.is_now else compared
    bases = {
        name: (base, elapsed(period, start, moment, base)) for name, base in comparable_starts(period, start).items()
    }
    return Plan(period, start, everything, compared, bases)


def whole(period: str, start: date | None) -> list[Piece]:
    return [(period, start, 0)] if start else []


def elapsed(period: str, start: date, moment: Moment, base: date | None) -> list[Piece]:
    """Return the part of the period begun at `base` that has passed, at a moment, of the one begun at `start`."""
    if base is None or next_start(period, start) <= moment.end:
        return whole(period, base)
    return elapsed_pieces(base, *same_part(period, start, moment.end, moment.hours, base))


def week_of(moment: Moment, weeks_before: int) -> list[Piece]:
    """Return the part of an earlier week that has passed of the one that holds a moment."""
    start = period_start(WEEK, moment.today, first_weekday())
    return elapsed(WEEK, start, moment, start - timedelta(weeks=weeks_before))


# What a comparison comes to.
UP, DOWN, SAME, NEW, NOT_AVAILABLE = "up", "down", "same", "new", "n/a"
_RATIO = Context(prec=28)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric's summary beside an earlier one.

    `start` is the first date of the earlier period; None where there is none, as for a week 53.
    """

    kind: str
    start: date | None
    now: Summary | None
    then: Summary | None

    @property
    def current(self) -> Number | None:
        """A counter's total, a gauge's last value, a timer's mean in seconds; None where nothing was recorded."""
        return headline(self.kind, self.now)

    @property
    def base(self) -> Number | None:
        return None if self.start is None else headline(self.kind, self.then)

    @property
    def change(self) -> Number | None:
        """The absolute change: current − base."""
        if self.current is None or self.base is None:
            return None
        return EXACT.subtract(self.current, self.base)

    @property
    def relative(self) -> Decimal | None:
        """The relative change, (current − base) ÷ |base|: 0.5 is half as much again; None on a base of zero."""
        if self.change is None or not self.base:
            return None
        return _RATIO.divide(Decimal(self.change), Decimal(self.base).copy_abs())

    @property
    def verdict(self) -> str:
        """Return "up", "down" or "same"; "new" where there was nothing before, "n/a" where nothing can be compared."""
        if self.start is None or self.current is None:
            return NOT_AVAILABLE
        if not self.base:
            return NEW if self.current or self.base is None else NOT_AVAILABLE
        return UP if self.current > self.base else DOWN if self.current < self.base else SAME
