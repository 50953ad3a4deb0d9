"""The numbers of every metric on the dashboard's first page, in a constant number of queries."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..core.calendar import moment_of, today
from ..core.comparisons import WEEK_BEFORE, Comparison, Plan, running, whole
from ..core.numbers import Number
from ..core.periods import DAY, MONTH, WEEK, Piece
from ..core.summary import Summary, headline
from ..models import Metric
from ..models.queries import QuerySources, fold_together
from ..trending import spans_of, trend

# Days of a sparkline. It ends yesterday: the unfinished number of today would look like a fall.
PICTURED_DAYS = 30

# Metrics that have a card above the table: two rows of four on a wide screen.
CARDS = 8

TODAY = "today"
YESTERDAY = "yesterday"
LATELY = "lately"

# The numbers of the latest days; None if nothing was recorded.
Picture = Sequence[Number | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A metric's numbers: today so far, yesterday, this week and this month.

    `comparison` compares today's full hours with the same hours of the same weekday a week before.
    """

    metric: Metric
    today: Number | None
    yesterday: Number | None
    week: Number | None
    month: Number | None
    comparison: Comparison


def overview(metrics: Iterable[Metric]) -> list[Row]:
    """Return a row for each metric; one query."""
    metrics, plan = list(metrics), running(DAY, moment_of(None))
    spans: dict[Hashable, list[Piece]] = {
        YESTERDAY: whole(DAY, DAY.previous(plan.start)),
        **{period: running(period, moment_of(None)).whole for period in (WEEK, MONTH)},
        **spans_of(TODAY, [plan]),
    }
    found = fold_together(QuerySources.of(metrics), spans)
    return [_row(metric, plan, found) for metric in metrics]


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


def _row(metric: Metric, plan: Plan, found: Mapping[tuple[str, Hashable], Summary]) -> Row:
    def number(name: str) -> Number | None:
        return headline(metric.kind, found.get((metric.slug, name)))

    so_far = trend(metric, TODAY, plan, found)
    return Row(
        metric,
        headline(metric.kind, so_far.summary),
        number(YESTERDAY),
        number(WEEK),
        number(MONTH),
        so_far.comparisons[WEEK_BEFORE],
    )
