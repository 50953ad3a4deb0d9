"""The numbers of a metric by weekday and hour of the clock."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from ..conf import first_weekday
from ..core.calendar import moment_of, starts_at, starts_between, today
from ..core.numbers import QUANTUM, ROUNDING, Number, trimmed
from ..core.periods import DAY, HOUR, Piece
from ..core.summary import COUNTER, UNIQUE, Summary, headline
from ..models import Metric
from ..models.queries import QuerySources, fold_together
from ..models.splitting import matching
from .date_range import Selection
from .metric_facts import Facts

WEEK_DAYS, CLOCK_HOURS = 7, range(24)
# More would be read too slowly.
MOST_DAYS = 400

# Pieces by the Place that they belong to, or by one of these names.
Spans = dict[Any, list[Piece]]
DAYS, TODAY = "days", "today"


class Place(NamedTuple):
    """An ISO weekday and an hour of the clock."""

    weekday: int
    hour: int


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A metric's mean number by weekday and hour, without hours that did not occur or in which nothing was measured.

    For a counter, it is the mean of the totals of these hours; for a gauge or timer, that of all that was recorded.
    """

    metric: Metric
    numbers: Mapping[Place, Number]

    @property
    def weekdays(self) -> Sequence[int]:
        """The ISO numbers of the weekdays, in the order of a week."""
        first = first_weekday()
        return [(first + number - 1) % WEEK_DAYS + 1 for number in range(WEEK_DAYS)]

    @property
    def highest(self) -> Place:
        return max(sorted(self.numbers), key=lambda place: self.numbers[place])


def build_heat_map(metric: Metric, selection: Selection, facts: Facts) -> HeatMap | None:
    """Return the heat map of the hours of a selection that are over; at most one query,
    or two with a filter.

    None if it has fewer than seven dates, or too many, or dates whose hours are not stored, or no numbers. It begins
    after the date counting began, on which it may have begun late.
    """
    dates = _dates(selection, facts)
    # No database merges the sketches of unique counts.
    can_read = facts.can_read_histograms if metric.kind == UNIQUE else facts.can_read
    if not (WEEK_DAYS <= len(dates) <= MOST_DAYS and can_read(len(dates) * len(CLOCK_HOURS))):
        return None
    places = _places(dates)
    # The mean of the numbers of several hours is not known from what they have together if the same ones came again.
    hours: Spans = {each: [each] for place in places.values() for each in place}
    read = hours if metric.kind == UNIQUE else places
    sources = matching(QuerySources.of([metric]), selection.where)
    found = fold_together(sources, {**read, **_check(dates)})
    summaries: dict[Hashable, Summary] = {name: summary for (_, name), summary in found.items()}
    if _events(summaries, read) != _events(summaries, (DAYS, TODAY)):
        return None
    means = _means(metric, summaries, places)
    numbers = {place: number for place, number in means.items() if number is not None}
    return HeatMap(metric, numbers) if any(numbers.values()) else None


def _dates(selection: Selection, facts: Facts) -> list[date]:
    """Return the dates of a selection that have begun and were counted throughout."""
    if facts.since is None:
        return []
    first, last = selection.span()
    first, last = max(first, facts.since + timedelta(days=1)), min(last, today())
    return list(DAY.starts_between(first, last))


def _places(dates: Sequence[date]) -> Spans:
    """Return the hours that are over, by their place on the clock.

    If clocks go back, two hours of a date have the same place; if they go forward, one place is missing.
    """
    moment, places = moment_of(None), defaultdict[Place, list[Piece]](list)
    for day, hour in starts_between(HOUR, dates[0], dates[-1]):
        if (day, hour) < (moment.today, moment.hours):
            at: Any = starts_at(HOUR, day, hour)
            places[Place(day.isoweekday(), at.hour)].append((HOUR, day, hour))
    return places


def _check(dates: Sequence[date]) -> Spans:
    """Return spans that together have as many events as all hours, if the hours of all dates are stored."""
    moment = moment_of(None)
    days = [(DAY, day, 0) for day in dates if day < moment.today]
    return {DAYS: days, TODAY: [(HOUR, moment.today, hour) for hour in range(moment.hours) if moment.today in dates]}


def _events(summaries: Mapping[Hashable, Summary], names: Iterable[Hashable]) -> int:
    return sum(summaries[name].count for name in names if name in summaries)


def _means(metric: Metric, summaries: Mapping[Hashable, Summary], places: Spans) -> dict[Place, Number | None]:
    if metric.kind != UNIQUE:
        return {place: _mean(metric, summaries.get(place), len(hours)) for place, hours in places.items()}
    counts = {place: [headline(UNIQUE, summaries.get(hour)) for hour in hours] for place, hours in places.items()}
    return {place: _mean_of_all(each) for place, each in counts.items()}


def _mean_of_all(numbers: Sequence[Number | None]) -> Number | None:
    """Return the mean; None if a number is unknown, because the mean of the others may be far from it."""
    known: list[Any] = [number for number in numbers if number is not None]
    return _rounded(sum(known), len(known)) if len(known) == len(numbers) else None


def _mean(metric: Metric, summary: Summary | None, hours: int) -> Number | None:
    if summary is None:
        return 0 if metric.kind == COUNTER else None
    number = hours if metric.kind == COUNTER else summary.count
    if not number:  # a poisoned item
        return None
    return _rounded(summary.total, number)


def _rounded(total: Number, number: int) -> Number:
    return trimmed(ROUNDING.quantize(ROUNDING.divide(Decimal(total), number), QUANTUM))
