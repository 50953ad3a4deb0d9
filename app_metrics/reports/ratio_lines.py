"""The ratios of a report, in a constant number of queries."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ..core.comparisons import Plan, whole
from ..core.periods import Period, Piece
from ..models import MetricSet
from ..models.beginnings import first_dates
from ..ratios.changes import Metrics, RatioChange, compared, counted_since, metrics_of
from ..ratios.declared import Ratio
from ..ratios.quotients import Quotient, Quotients, quotients
from .declared_sets import ratios_of_set
from .points import ReportPoint

REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class RatioLine:
    """The part of a report about one ratio; `comparisons` and `picture` are those of a metric's line."""

    ratio: Ratio
    metrics: Metrics
    period: Period
    quotient: Quotient
    comparisons: Mapping[str, RatioChange]
    picture: Sequence[ReportPoint]


def ratio_lines(metric_set: MetricSet, plan: Plan, pictured: Sequence[date]) -> list[RatioLine]:
    """Return a line for each ratio that the settings give the set; three queries, and those of `quotients`."""
    found = ratios_of_set(metric_set.name) if metric_set.declared else []
    if not found:
        return []
    alias = metric_set._state.db
    metrics = metrics_of(found, alias)
    spans: dict[Hashable, Sequence[Piece]] = {
        REPORTED: plan.whole,
        **{name: pieces for name, (_, pieces) in plan.bases.items()},
        **{start: whole(plan.period, start) for start in pictured},
    }
    values = quotients(found, spans, alias)
    first = first_dates(metrics.values())
    return [_line(each, metrics, plan, pictured, values, counted_since(each, metrics, first)) for each in found]


def _line(
    ratio: Ratio, metrics: Metrics, plan: Plan, pictured: Sequence[date], values: Quotients, since: date | None
) -> RatioLine:
    def value(name: Hashable) -> Quotient:
        return values[ratio.slug, name]

    comparisons = {
        name: compared(ratio, since, pieces, value(REPORTED), value(name)) for name, (_, pieces) in plan.bases.items()
    }
    picture = [ReportPoint(start, value(start).value) for start in pictured]
    return RatioLine(ratio, metrics, plan.period, value(REPORTED), comparisons, picture)
