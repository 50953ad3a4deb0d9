"""A ratio over a range as a chart: it is drawn as a gauge is, with its two numbers beside it in the table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

from ..core.calendar import moment_of, starts_at, today
from ..core.formatting import have_cents
from ..core.periods import Piece, Start
from ..models import Metric
from ..models.beginnings import first_dates
from ..models.queries import Spans
from ..ratios.changes import Metrics, RatioChange, compared, counted_since, operand_title
from ..ratios.declared import Ratio
from ..ratios.quotients import Quotient, quotients
from .charts import NOW, PART, PREVIOUS, Chart, Column
from .date_range import Selection

# The spans of the range, of its finished periods, and of as many of the range before.
TOTAL, FINISHED, BEFORE = "total", "finished", "before"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioChart(Chart):
    """The chart of a ratio. `metric` is none that is stored: it has the name, the kind and the unit to show.

    `total` is the quotient of the range. `change` compares the finished periods with as many of the previous range; it
    is None until one is finished.
    """

    ratio: Ratio
    metrics: Metrics
    total: Quotient
    change: RatioChange | None

    @property
    def is_empty(self) -> bool:
        return not any(column.is_drawn for column in self.columns)


def build_ratio_chart(ratio: Ratio, selection: Selection, metrics: Metrics) -> RatioChart:
    """Return the chart of a ratio, with the queries of `quotients`, and two for when its metrics began."""
    moment = moment_of(None)
    starts = [start for start in selection.starts() if start <= (moment.today, moment.hours)]
    previous = selection.previous()[: len(starts)]
    over = sum(selection.period.next(start) <= today() for start, _ in starts)
    wholes = {TOTAL: starts, FINISHED: starts[:over], BEFORE: previous[:over]}
    found = quotients(
        [ratio],
        {
            **_spans(selection, NOW, starts),
            **_spans(selection, PREVIOUS, previous),
            **{name: _pieces(selection, each) for name, each in wholes.items()},
        },
    )
    now, then = ([found[ratio.slug, (role, index)] for index in range(len(starts))] for role in (NOW, PREVIOUS))
    columns = [
        Column(NOW, "value", gettext("Ratio"), [each.value for each in now]),
        Column(PART, "numerator", operand_title(ratio.of, metrics), [each.numerator for each in now]),
        Column(PART, "denominator", operand_title(ratio.to, metrics), [each.denominator for each in now]),
        Column(PREVIOUS, "previous", selection.previous_title(previous), [each.value for each in then]),
    ]
    values = [number for column in columns if column.role != PART for number in column.numbers]
    since, before = counted_since(ratio, metrics, first_dates(metrics.values())), _pieces(selection, previous[:over])
    change = compared(ratio, since, before, found[ratio.slug, FINISHED], found[ratio.slug, BEFORE]) if over else None
    return RatioChart(
        Metric(slug=ratio.slug, name=ratio.name, kind=ratio.kind, unit=ratio.unit),
        selection,
        [starts_at(selection.period, *start) for start in starts],
        [starts_at(selection.period, *start) for start in previous],
        columns,
        is_running=over < len(starts),
        whole=None,
        comparison=None,
        since=since,
        has_cents=have_cents(values, ratio.kind, ratio.unit),
        ratio=ratio,
        metrics=metrics,
        total=found[ratio.slug, TOTAL],
        change=change,
    )


def _spans(selection: Selection, role: str, starts: Sequence[Start]) -> Spans:
    return {(role, index): _pieces(selection, [start]) for index, start in enumerate(starts)}


def _pieces(selection: Selection, starts: Iterable[Start]) -> list[Piece]:
    return [(selection.period, *start) for start in starts]
