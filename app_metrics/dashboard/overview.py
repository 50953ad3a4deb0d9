"""The numbers of every metric on the dashboard's first page, in a constant number of queries."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.calendar import moment_of, start_of, today
from ..core.comparisons import Comparison, running, whole
from ..core.numbers import Number
from ..core.periods import DAY, MONTH, WEEK, Piece
from ..core.summary import MEASURED, UNIQUE, Summary, headline, percentile
from ..models import Metric
from ..models.queries import QuerySources, fold_together
from .so_far import Cut, compare_so_far, spans_until, week_before

# Days of a sparkline. It ends yesterday: the unfinished number of today would look like a fall.
PICTURED_DAYS = 30

# Metrics that have a card above the table: two rows of four on a wide screen.
CARDS = 8

YESTERDAY = "yesterday"
LATELY = "lately"

# Days of the month that stickiness compares a day with.
MONTH_DAYS = 30

# The numbers of the latest days; None if nothing was recorded.
Picture = Sequence[Number | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A metric's numbers: today so far, yesterday, this week and this month.

    `comparison` compares today so far with the same weekday a week before, up to the same time.
    """

    metric: Metric
    today: Number | None
    yesterday: Number | None
    week: Number | None
    month: Number | None
    comparison: Comparison


def overview(metrics: Iterable[Metric], cut: Cut | None = None) -> list[Row]:
    """Return a row for each metric, compared up to `cut` (default: a week before now); one query."""
    metrics, day, cut = list(metrics), today(), cut or week_before()
    spans: dict[Hashable, list[Piece]] = {
        YESTERDAY: whole(DAY, DAY.previous(day)),
        **{period: whole(period, start_of(period, day)) for period in (DAY, WEEK, MONTH)},
        **spans_until(cut, for_uniques=any(metric.kind == UNIQUE for metric in metrics)),
    }
    found = fold_together(QuerySources.of(metrics), spans)
    return [_row(metric, cut, found) for metric in metrics]


def busiest(metrics: Iterable[Metric], most: int = CARDS) -> list[Metric]:
    """Return the metrics that were recorded most often in this week and the one before; one query."""
    metrics, this_week = list(metrics), running(WEEK, moment_of(None))
    lately = [*whole(WEEK, WEEK.previous(this_week.start)), *this_week.whole]
    found = fold_together(QuerySources.of(metrics), {LATELY: lately})
    events = {slug: summary.count for (slug, _), summary in found.items()}
    return sorted(metrics, key=lambda metric: -events.get(metric.slug, 0))[:most]


def pictures(metrics: Iterable[Metric]) -> dict[str, Picture]:
    """Return the numbers of the latest days that are over by slug, yesterday last; one query."""
    metrics = list(metrics)
    days = DAY.latest(DAY.previous(today()), PICTURED_DAYS)
    found = fold_together(QuerySources.of(metrics), {day: whole(DAY, day) for day in days})
    return {metric.slug: [headline(metric.kind, found.get((metric.slug, day))) for day in days] for metric in metrics}


def yesterdays_p95(metrics: Iterable[Metric]) -> dict[str, Number | None]:
    """Return the 95th percentile of yesterday's numbers of each timer and distribution that has some; one query.

    None if some of the numbers have no histogram. Not today's, because then all of today's pending items, which may be
    many, would be read one by one.
    """
    measured = [metric for metric in metrics if metric.kind in MEASURED]
    if not measured:
        return {}
    spans: dict[Hashable, list[Piece]] = {YESTERDAY: whole(DAY, DAY.previous(today()))}
    found = fold_together(QuerySources.of(measured), spans, sketches=True)
    return {slug: percentile(summary, 95) for (slug, _), summary in found.items()}


def stickiness(metrics: Iterable[Metric]) -> dict[str, tuple[int, int]]:
    """Return yesterday's number and that of the 30 days up to it, of each unique count that has both; one query.

    Their ratio, DAU ÷ MAU, says how much of a month comes on a day. Both are over, so it does not depend on the time of
    the day or the day of the month.
    """
    metrics = [metric for metric in metrics if metric.kind == UNIQUE]
    if not metrics:
        return {}
    days = DAY.latest(DAY.previous(today()), MONTH_DAYS)
    month = [piece for day in days for piece in whole(DAY, day)]
    found = fold_together(QuerySources.of(metrics), {YESTERDAY: whole(DAY, days[-1]), LATELY: month})
    numbers: dict[tuple[str, Hashable], Any] = {key: headline(UNIQUE, summary) for key, summary in found.items()}
    both = {
        slug: (numbers.get((slug, YESTERDAY), 0), numbers[slug, LATELY]) for slug, name in numbers if name == LATELY
    }
    return {slug: pair for slug, pair in both.items() if pair[0] is not None and pair[1]}


def _row(metric: Metric, cut: Cut, found: Mapping[tuple[str, Hashable], Summary]) -> Row:
    def number(name: Hashable) -> Number | None:
        return headline(metric.kind, found.get((metric.slug, name)))

    comparison = compare_so_far(metric, cut, found.get((metric.slug, DAY)), found)
    return Row(metric, number(DAY), number(YESTERDAY), number(WEEK), number(MONTH), comparison)
