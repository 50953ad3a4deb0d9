"""Percentiles of what was recorded, from the histograms of totals and of what is pending."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ..core.calendar import local_day, starts_at, starts_between
from ..core.numbers import Number
from ..core.periods import Period
from ..core.summary import MEASURED, Summary, percentile
from .queries import Point, QuerySources, fold_together, point_of, series, summary

# The percentiles that are read unless a reader chooses, and those for which a table or a chart has room.
PERCENTS = (50, 75, 90, 95, 99)
SHOWN_PERCENTS = (50, 95, 99)
# The percentile of each value of a label.
SPLIT_PERCENT = 95

Percent = int | Decimal
# Percentiles by per cent; None if they are unknown.
Percentiles = dict[Percent, Number | None]


class MeasuredPoint(NamedTuple):
    """A point of a series, and its percentiles; no percentiles if the metric's kind has none."""

    point: Point
    percentiles: Percentiles

    @property
    def start(self) -> date | datetime:
        return self.point.start


def percentiles_of(found: Summary | None, percents: Collection[Percent] = PERCENTS) -> Percentiles:
    return {percent: percentile(found, percent) if found else None for percent in percents}


def of_period(
    sources: QuerySources,
    period: Period,
    day: date | None,
    labels: Mapping[str, str] | None,
    percents: Collection[Percent] = PERCENTS,
) -> Percentiles:
    return percentiles_of(summary(sources, period, day, labels, sketches=True), percents)


def measured_series(
    metric: Any, period: Period, start: date, end: date, labels: Mapping[str, str] | None = None
) -> list[MeasuredPoint]:
    """Return the points of `Metric.series` with their percentiles; one query, as there."""
    sources = QuerySources.of([metric])
    if metric.kind not in MEASURED:
        return [MeasuredPoint(point, {}) for point in series(sources, period, start, end, labels)]
    starts = list(starts_between(period, local_day(start), local_day(end)))
    found = fold_together(sources, {at: [(period, *at)] for at in starts}, labels, sketches=True)
    by_start = {at: each for (_, at), each in found.items()}
    summaries = [(starts_at(period, *at), by_start.get(at)) for at in starts]
    return [MeasuredPoint(point_of(at, each), percentiles_of(each)) for at, each in summaries]
