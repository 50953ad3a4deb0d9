"""Filter label sets by some of their labels, and group them by the values of one label."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from operator import and_
from typing import Any, Generic, NamedTuple, TypeVar

from django.db.models import F, Q, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

from ..core.calendar import local_day, starts_at, starts_between
from ..core.labels import OVERFLOW_LABELS, decode_labels, encode_labels, readable_labels
from ..core.numbers import Number
from ..core.periods import LONGEST, Period
from ..core.setting_rules import suggest
from ..core.summary import (
    COUNTER,
    MEASURED,
    UNIQUE,
    Summary,
    headline,
    merge_all,
    merge_each_into,
    merge_into,
    plain_summaries,
)
from ..core.validation import check_labels
from .percentiles import MeasuredPoint, percentiles_of
from .queries import QuerySources, Spans, fold, fold_together, point_of

# Labels that a label set must have, with their values; it may have others.
Where = Mapping[str, str]
# Summaries by the name of their span.
Found = dict[Hashable, Summary]
Point = TypeVar("Point")
Name = TypeVar("Name", bound=Hashable)
# This many values of a label have a column of their own in a table or a chart.
MOST_VALUES = 8


class Split(NamedTuple):
    """The summaries of each value of a label, and those of the overflow series.

    None stands for the label sets without the label. The overflow series holds the label sets beyond the limit, whose
    labels are not known, so some of them may match a filter or belong to a group.
    """

    groups: dict[str | None, Found]
    overflow: Found


class SplitSeries(NamedTuple, Generic[Point]):
    """The points of each value of a label, the largest first, those of the overflow series, and those of all.

    None stands for the label sets without the label. `overflow` is empty if nothing was recorded there. With a filter,
    `whole` holds what matches it, without the overflow series; otherwise everything. `others` holds the groups that
    are not listed, if a reader wanted only the largest.
    """

    groups: dict[str | None, list[Point]]
    overflow: list[Point]
    whole: list[Point]
    others: Sequence[Point] = ()

    def mapped(self, change: Callable[[Sequence[Point]], list[Any]]) -> "SplitSeries[Any]":
        """Return the same with each list of points changed."""
        groups = {value: change(points) for value, points in self.groups.items()}
        return SplitSeries(groups, change(self.overflow), change(self.whole), change(self.others))


def chosen(sources: QuerySources, labels: Mapping[str, str] | None, where: Where | None) -> QuerySources:
    """Return the sources that a caller filters. Raises TypeError or ValueError for a bad filter."""
    if labels is not None and where:
        raise ValueError("Give `labels`, which selects one label set, or `where`, which filters them, but not both.")
    return matching(sources, where)


def matching(sources: QuerySources, where: Where | None) -> QuerySources:
    """Return the part of the sources whose label sets match a filter; one query if it has labels.

    The overflow series is not part of it, and neither are pending items that will be added to it.
    """
    if not where:
        return sources
    check_labels(where)
    cap = sources.label_cap()
    unlike = unlike_texts((text for texts in cap.named.values() for text in texts), where)
    alike = containing(where) & ~Q(labels__in=[OVERFLOW_LABELS, *unlike])
    items = sources.items.filter(alike)
    for slug in cap.overflowing:
        items = items.exclude(Q(slug=slug) & ~Q(labels__in=cap.named[slug]))
    pending = sources.pending.only(
        lambda key: matches(key.labels, where) and cap.name(key.slug, key.labels) == key.labels
    )
    return sources._replace(totals=sources.totals.filter(alike), items=items, pending=pending)


def matching_totals(totals: Any, where: Where) -> Any:
    """Return the totals whose label sets match a filter, without those of the overflow series; one query."""
    texts = totals.filter(containing(where), period=LONGEST).values_list("labels", flat=True).distinct().order_by()
    return totals.filter(containing(where)).exclude(labels__in=[OVERFLOW_LABELS, *unlike_texts(texts, where)])


def check_names(sources: QuerySources, names: Iterable[str]) -> None:
    """Raise ValueError if no label set has a label of one of these names; one query."""
    texts = {text for texts in sources.label_cap().named.values() for text in texts}
    known = sorted({name for text in texts for name in readable_labels(text)})
    for name in names:
        if name not in known:
            hint = suggest(name[:100], known) if known else "Nothing was recorded with labels."
            raise ValueError(f"There is no label {name!r:.100}. {hint}")


def matches(text: str, where: Where) -> bool:
    """Return whether a label set, given as its text, matches a filter; the overflow series never does."""
    return text != OVERFLOW_LABELS and where.items() <= readable_labels(text).items()


def containing(where: Where) -> Q:
    """Return a condition that all label sets fulfil that match a filter, and hardly any others; see `unlike_texts`."""
    found = (GreaterThan(StrIndex(F("labels"), Value(part)), 0) for part in _parts(where))
    return reduce(and_, map(Q, found), Q())


def unlike_texts(texts: Iterable[str], where: Where) -> list[str]:
    """Return those of the texts of label sets that contain the labels of a filter as text, but do not match it.

    Only names or values with quotes, colons or commas at certain places make one.
    """
    parts = _parts(where)
    return [text for text in texts if all(part in text for part in parts) and not matches(text, where)]


def split(
    sources: QuerySources, spans: Spans, label: str | None, where: Where | None, *, sketches: bool = False
) -> Split:
    """Return the summaries of one metric's spans by the values of a label, pending items included.

    Without a label, all label sets that match the filter are one group, None. At most four queries.
    """
    if where:
        check_labels(where)
    if label is None:
        together = fold_together(matching(sources, where), spans, sketches=sketches)
        beyond = fold_together(sources, spans, decode_labels(OVERFLOW_LABELS), sketches=sketches)
        return Split({None: _by_name(together)}, _by_name(beyond))
    if where:
        totals = sources.totals.filter(containing(where) | Q(labels=OVERFLOW_LABELS))
        sources = sources._replace(totals=totals, whole=sources)
    return grouped(fold(sources, spans, sketches=sketches), label, where)


def grouped(found: Mapping[tuple[str, str, Hashable], Summary], label: str, where: Where | None) -> Split:
    """Group a result of `fold` of one metric by the values of a label."""
    groups: dict[str | None, Found] = defaultdict(dict)
    overflow: Found = {}
    labels = {text: readable_labels(text) for text in {text for _, text, _ in found}}
    for (_, text, name), summary in found.items():
        if text == OVERFLOW_LABELS:
            merge_into(overflow, name, summary)
        elif not where or where.items() <= labels[text].items():
            merge_into(groups[labels[text].get(label)], name, summary)
    return Split({value: plain_summaries(each) for value, each in groups.items()}, plain_summaries(overflow))


def ranked(kind: str, groups: Mapping[str | None, Mapping[Any, Summary]]) -> list[str | None]:
    """Return the values of a label, the largest first: by the number of counters and unique counts, else by events."""

    def weight(value: str | None) -> tuple[Number, bool, str]:
        whole: Any = merge_all(groups[value].values())
        number = headline(kind, whole) if kind in (COUNTER, UNIQUE) else whole.count
        return -(number or 0), value is None, value or ""

    return sorted((value for value in groups if groups[value]), key=weight)


def merged(parts: Iterable[Mapping[Name, Summary]]) -> dict[Name, Summary]:
    """Merge the summaries of groups by the names of their spans."""
    together: dict[Name, Summary] = {}
    for part in parts:
        merge_each_into(together, part)
    return plain_summaries(together)


def split_series(
    metric: Any,
    period: Period,
    start: date,
    end: date,
    label: str | None,
    where: Where | None,
    point: Callable[[date | datetime, Summary | None], Point],
    *,
    most: int | None = None,
    sketches: bool = False,
) -> SplitSeries[Point]:
    """Return the points of `Metric.series` for each value of a label, made by `point`; queries as in `split`.

    If there are more than `most` values, the smaller ones are the others.
    """
    starts = list(starts_between(period, local_day(start), local_day(end)))
    spans: Spans = {at: [(period, *at)] for at in starts}
    groups, overflow = split(QuerySources.of([metric]), spans, label, where, sketches=sketches)

    def points(summaries: Found) -> list[Point]:
        return [point(starts_at(period, *at), summaries.get(at)) for at in starts]

    values = ranked(metric.kind, groups)
    others = [groups[value] for value in values[most:]] if most is not None else []
    return SplitSeries(
        {value: points(groups[value]) for value in values[:most]},
        points(overflow) if overflow else [],
        points(merged([*groups.values(), *([] if where else [overflow])])),
        points(merged(others)) if others else (),
    )


def measured_split(
    metric: Any,
    period: Period,
    start: date,
    end: date,
    label: str | None,
    where: Where | None,
    *,
    most: int | None = None,
) -> SplitSeries[MeasuredPoint]:
    """Return the points of `split_series` with their percentiles."""
    has_percentiles = metric.kind in MEASURED

    def point(at: date | datetime, summary: Summary | None) -> MeasuredPoint:
        return MeasuredPoint(point_of(at, summary), percentiles_of(summary) if has_percentiles else {})

    return split_series(metric, period, start, end, label, where, point, most=most, sketches=has_percentiles)


def _parts(where: Where) -> list[str]:
    """Return the text of each label of a filter, as it stands in the text of a label set."""
    return [encode_labels({name: value})[1:-1] for name, value in where.items()]


def _by_name(found: Mapping[tuple[str, Hashable], Summary]) -> Found:
    return {name: summary for (_, name), summary in found.items()}
