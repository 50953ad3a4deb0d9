"""The content of a report: the numbers of a metric set for one closed period. Data only; `rendering` formats it."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple

from ..core.calendar import aware, latest_closed, start_of, today
from ..core.comparisons import BEFORE, Comparison, Plan, closed, whole
from ..core.labels import NO_LABELS, readable_labels
from ..core.numbers import Number
from ..core.periods import DAY, Period, Piece
from ..core.summary import MEASURED, Summary, headline, merge_into
from ..models import Annotation, Metric, MetricSet, Milestone
from ..models.beginnings import counted_before
from ..models.primary import beside
from ..models.queries import QuerySources, across_labels, fold
from ..models.reports import SENT_PERIODS
from ..trending import Trend, spans_of, trend
from .points import ReportPoint
from .ratio_lines import RatioLine, ratio_lines

Found = Mapping[tuple[str, str, Hashable], Summary]

# How many values of each label are named.
TOP_VALUES = 5
# The percentile of timers and distributions in a report.
PERCENT = 95


class Reached(NamedTuple):
    """A milestone that a metric reached, and the all-time total and the time at which that was detected."""

    metric: Metric
    value: Number
    total: Number
    moment: datetime


class Share(NamedTuple):
    """A metric's number for one value of a label, for example {"plan": "pro"}."""

    label: str
    value: str
    number: Number | None


@dataclass(frozen=True, slots=True)
class Line:
    """The part of a report about one metric.

    `picture` holds the last 14 days, 12 weeks or 12 months. `best` and `worst` are the days with the highest and the
    lowest number in the reported week or month; in a daily report, the days in `picture`. Both are days that are over,
    and None if all of these are equal. `shares` holds the largest values of each label. `annotations` holds those of
    this metric alone.
    """

    metric: Metric
    trend: Trend
    picture: Sequence[ReportPoint]
    best: ReportPoint | None
    worst: ReportPoint | None
    shares: Sequence[Share]
    annotations: Sequence[Annotation] = ()

    @property
    def summary(self) -> Summary | None:
        return self.trend.summary

    @property
    def number(self) -> Number | None:
        """A counter's total, a gauge's last value, a timer's mean in seconds."""
        return headline(self.metric.kind, self.summary)

    @property
    def percentile(self) -> Comparison | None:
        """The 95th percentile compared with that of the period before; None if there is none, or it is unknown."""
        compared = replace(self.trend.comparisons[BEFORE], percent=PERCENT)
        return compared if self.metric.kind in MEASURED and compared.current is not None else None


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a metric set on the dates from `start` to `end`, both included.

    `annotations` holds those of all metrics, in the reported period and in the one before: they may explain the change
    between both.
    If counting began in between, `since` is the first date on which anything was recorded.
    """

    metric_set: MetricSet
    period: Period
    start: date
    end: date
    lines: Sequence[Line]
    milestones: Sequence[Reached]
    annotations: Sequence[Annotation] = ()
    since: date | None = None
    ratios: Sequence[RatioLine] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was recorded in the reported period."""
        return all(line.summary is None for line in self.lines)


def build_report(
    metric_set: MetricSet,
    period: str,
    day: date | None = None,
    milestones: Iterable[Milestone] = (),
) -> Report:
    """Return the report of a set on the "day", "week" or "month" that contains `day` (default: the latest closed one).

    It lists those of `milestones` that belong to its metrics. A period that is not over has no comparisons: a part of a
    period compared with a whole one would look like a fall. The number of queries is constant. Raises ValueError for
    any other period.
    """
    if period not in SENT_PERIODS:
        raise ValueError(f"There are no reports for the period {period!r}; choose one of {', '.join(SENT_PERIODS)}.")
    reported = Period(period)
    start = start_of(reported, day) if day else latest_closed(reported, today())
    end = reported.last_day(start)
    metrics = list(beside(metric_set, metric_set.metrics))
    plan = closed(reported, start)
    if end >= today():
        plan = plan._replace(bases={name: (None, []) for name in plan.bases})
    pictured = reported.latest(start, SENT_PERIODS[reported].pictured)
    named = pictured if reported == DAY else DAY.starts_between(start, end)
    days = [each for each in named if each < today()]
    spans = spans_of("over", [plan]) | _series("picture", reported, pictured) | _series("days", DAY, days)
    found = fold(QuerySources.of(metrics), spans, sketches=any(metric.kind in MEASURED for metric in metrics))
    annotations = _annotations(metric_set, plan.bases[BEFORE][0] or start, end)
    builder = _Builder(plan, pictured, days, found, annotations)
    lines = [builder.line(metric) for metric in metrics]
    since = None if counted_before(metrics, start) else min(_days(found), default=None)
    reached, of_all = _reached(metrics, milestones), annotations.get(None, ())
    ratios = ratio_lines(metric_set, plan, pictured)
    return Report(metric_set, reported, start, end, lines, reached, of_all, since, ratios)


def _days(found: Found) -> Iterator[date]:
    """Yield the days on which anything was recorded."""
    for _, _, name in found:
        if isinstance(name, tuple) and name[0] == "days":
            yield name[1]


class _Builder:
    """Builds the lines of a report from the summaries of all metrics."""

    def __init__(
        self,
        plan: Plan,
        pictured: Sequence[date],
        days: Sequence[date],
        found: Mapping[tuple[str, str, Hashable], Summary],
        annotations: Mapping[int | None, Sequence[Annotation]],
    ) -> None:
        self._plan, self._pictured, self._days = plan, pictured, days
        self._annotations = annotations
        self._totals = across_labels(found)
        self._label_sets: dict[str, dict[str, Summary]] = defaultdict(dict)
        for (slug, labels, name), summary in found.items():
            if labels != NO_LABELS and name == ("over", plan.period, "whole"):
                self._label_sets[slug][labels] = summary

    def line(self, metric: Metric) -> Line:
        best, worst = _extremes(self._points(metric, "days", self._days))
        return Line(
            metric,
            trend(metric, "over", self._plan, self._totals),
            self._points(metric, "picture", self._pictured),
            best,
            worst,
            _shares(metric.kind, self._label_sets[metric.slug]),
            self._annotations.get(metric.pk, ()),
        )

    def _points(self, metric: Metric, name: str, starts: Iterable[date]) -> list[ReportPoint]:
        return [
            ReportPoint(start, headline(metric.kind, self._totals.get((metric.slug, (name, start)))))
            for start in starts
        ]


def _annotations(metric_set: MetricSet, first: date, last: date) -> Mapping[int | None, list[Annotation]]:
    """Return the annotations on some dates by the primary key of their metric; None for those of all metrics."""
    found: dict[int | None, list[Annotation]] = defaultdict(list)
    metrics = beside(metric_set, metric_set.metrics).values("pk")
    for annotation in beside(metric_set, Annotation.objects).within(first, last).latest_of(metrics):
        found[annotation.metric_id].append(annotation)
    return found


def _series(name: str, period: Period, starts: Iterable[date]) -> dict[Hashable, list[Piece]]:
    return {(name, start): whole(period, start) for start in starts}


def _extremes(points: Iterable[ReportPoint]) -> tuple[ReportPoint | None, ReportPoint | None]:
    """Return the first points with the highest and the lowest number; None for both if all are equal or missing."""
    known: list[Any] = [point for point in points if point.value is not None]
    if not known:
        return None, None
    best, worst = max(known, key=_value), min(known, key=_value)
    return (best, worst) if best.value != worst.value else (None, None)


def _value(point: Any) -> Any:
    return point.value


def _shares(kind: str, label_sets: Mapping[str, Summary]) -> list[Share]:
    merged: dict[tuple[str, str], Summary] = {}
    for text, summary in label_sets.items():
        for pair in readable_labels(text).items():
            merge_into(merged, pair, summary)
    by_label: dict[str, list[Share]] = defaultdict(list)
    for (label, value), summary in merged.items():
        by_label[label].append(Share(label, value, headline(kind, summary)))
    return [
        share
        for label in sorted(by_label)
        for share in sorted(by_label[label], key=lambda share: (-(share.number or 0), share.value))[:TOP_VALUES]
    ]


def _reached(metrics: Iterable[Metric], milestones: Iterable[Milestone]) -> list[Reached]:
    by_slug = {metric.slug: metric for metric in metrics}
    reported = [each for each in milestones if each.slug in by_slug]
    return [Reached(by_slug[each.slug], each.value, each.total, aware(each.reached_at)) for each in reported]
