"""Plan which time spans a trend compares, and represent the result of a comparison."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import NamedTuple

from .calendar import Moment, start_of
from .numbers import EXACT, Number, trimmed
from .periods import DAY, WEEK, YEAR, Period, Piece, elapsed_pieces, same_part
from .summary import Summary, headline, percentile

# The base of a comparison: the period before; for a day also the same weekday a week before; the same period a year
# earlier.
BEFORE, WEEK_BEFORE, YEAR_BEFORE = "before", "week_before", "year_before"


class Plan(NamedTuple):
    """The pieces of one trend: the whole period, the part of it that is compared, and each base with its start."""

    period: Period
    start: date
    whole: list[Piece]
    compared: list[Piece]
    bases: dict[str, tuple[date | None, list[Piece]]]


def comparable_starts(period: Period, start: date) -> dict[str, date | None]:
    """Return the start of each period to compare with, by base; None if there is no such period."""
    starts: dict[str, date | None] = {BEFORE: period.previous(start)}
    if period == DAY:
        starts[WEEK_BEFORE] = start - timedelta(weeks=1)
    if period != YEAR:
        starts[YEAR_BEFORE] = period.year_earlier(start)
    return starts


def closed(period: Period, start: date) -> Plan:
    """Plan the trend of a period that is over."""
    bases = {name: (base, whole(period, base)) for name, base in comparable_starts(period, start).items()}
    return Plan(period, start, whole(period, start), whole(period, start), bases)


def running(period: Period, moment: Moment) -> Plan:
    """Plan the trend, so far, of the period that contains a moment's `today`."""
    start = start_of(period, moment.today)
    compared = elapsed(period, start, moment, start)
    everything = whole(period, start) if moment.is_now else compared
    bases = {
        name: (base, elapsed(period, start, moment, base)) for name, base in comparable_starts(period, start).items()
    }
    return Plan(period, start, everything, compared, bases)


def whole(period: Period, start: date | None) -> list[Piece]:
    """Return a whole period as pieces; an empty list if `start` is None."""
    return [(period, start, 0)] if start else []


def elapsed(period: Period, start: date, moment: Moment, base: date | None) -> list[Piece]:
    """Return the part of the period at `base` that corresponds to the elapsed part of the period at `start`."""
    if base is None or period.next(start) <= moment.end:
        return whole(period, base)
    return elapsed_pieces(base, *same_part(period, start, moment.end, moment.hours, base))


def week_of(moment: Moment, weeks_before: int) -> list[Piece]:
    """Return the part of an earlier week that corresponds to the elapsed part of a moment's week."""
    start = start_of(WEEK, moment.today)
    return elapsed(WEEK, start, moment, WEEK.shift(start, -weeks_before))


# The verdicts of a comparison.
UP, DOWN, SAME, NEW, NOT_AVAILABLE = "up", "down", "same", "new", "n/a"
# Which verdict of a metric is good news; none is if that depends.
NEITHER = "neither"
BETTER = (UP, DOWN, NEITHER)
_RATIO = Context(prec=28)


class Change:
    """A number compared with an earlier one, `base`; both are None if there is no such number.

    `start` is the first date of the earlier period; None if there is no such period, as for week 53.
    """

    __slots__ = ()
    start: date | None

    @property
    def current(self) -> Number | None:
        raise NotImplementedError

    @property
    def base(self) -> Number | None:
        raise NotImplementedError

    @property
    def change(self) -> Number | None:
        """The absolute change, current − base; None if either is missing."""
        if self.current is None or self.base is None:
            return None
        return trimmed(EXACT.subtract(self.current, self.base))

    @property
    def relative(self) -> Decimal | None:
        """The relative change, (current − base) ÷ |base|: 0.5 means 50 % more; None if the base is zero or missing."""
        if self.change is None or not self.base:
            return None
        return _RATIO.divide(Decimal(self.change), Decimal(self.base).copy_abs())

    @property
    def verdict(self) -> str:
        """Return "up", "down" or "same", "new" if there was nothing before, or "n/a" if nothing can be compared."""
        if self.start is None or self.current is None:
            return NOT_AVAILABLE
        if not self.base:
            return NEW if self.current or self.base is None else NOT_AVAILABLE
        return UP if self.current > self.base else DOWN if self.current < self.base else SAME


@dataclass(frozen=True, slots=True)
class Comparison(Change):
    """A metric's summary compared with an earlier one: the headlines of both, or the percentiles of `percent`."""

    kind: str
    start: date | None
    now: Summary | None
    then: Summary | None
    percent: int | Decimal | None = None

    @property
    def current(self) -> Number | None:
        """A counter's total, a gauge's last value or a timer's mean in seconds; None if nothing was recorded."""
        return self._number(self.now)

    @property
    def base(self) -> Number | None:
        """The same number of the earlier summary."""
        return None if self.start is None else self._number(self.then)

    @property
    def verdict(self) -> str:
        if self.then and self.base is None:  # there was something before, but its percentile is unknown
            return NOT_AVAILABLE
        return super(Comparison, self).verdict  # a dataclass with slots is not the class that super() alone means

    def _number(self, summary: Summary | None) -> Number | None:
        if self.percent is None:
            return headline(self.kind, summary)
        return percentile(summary, self.percent) if summary else None
