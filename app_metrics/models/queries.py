"""Summaries of what was recorded: totals and pending items in one statement, so that each event is seen once."""

from collections import defaultdict, namedtuple
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from django.db.models import CharField, F, SmallIntegerField, Value

from ..conf import first_weekday
from ..core.batch import Key
from ..core.calendar import local_day, locate, starts_at, starts_between
from ..core.labels import encode_labels
from ..core.numbers import Number
from ..core.periods import HOUR, LONGEST, Period, Piece
from ..core.summary import COUNT, MEASURED, NUMBER, SHOWN, SUM, Summary, headline, merge_into, of_kind, plain_summary
from .aggregates import are_exact, merged, unmerged
from .label_cap import UNCAPPED, UNLABELLED, LabelCap
from .pending import NOTHING, PendingBatches, pending_batches
from .totals import Item, Total

# The pieces of each span, by its name.
Spans = Mapping[Hashable, Iterable[Piece]]
# The names of the spans that contain a piece.
Holders = Mapping[Piece, list[Hashable]]
Found = TypeVar("Found")
# The columns that identify a summary: metric, label set, period, first date, hour. Items have an empty period.
KEY = ("of", "text", "of_period", "day_of", "hour_of")


class QuerySources(NamedTuple):
    """The totals and items of some metrics, as querysets, and their batches that are pending outside the database."""

    totals: Any
    items: Any
    pending: PendingBatches = NOTHING
    # What these sources are a part of: the label cap depends on all label sets.
    whole: "QuerySources | None" = None

    @classmethod
    def of(cls, metrics: Iterable[Any]) -> "QuerySources":
        """Return the sources of some metrics, in the database that the metrics were read from."""
        metrics = list(metrics)
        ids = {metric.slug: metric.pk for metric in metrics}
        aliases = {metric._state.db for metric in metrics}
        alias = aliases.pop() if len(aliases) == 1 else None
        totals = Total.objects.using(alias).filter(metric__in=ids.values())
        return cls(totals, Item.objects.using(alias).filter(slug__in=ids), pending_batches(ids.keys()))

    @classmethod
    def of_slug(cls, slug: str, using: str | None = None) -> "QuerySources":
        """Return the sources of the metric with a slug, which may not exist yet."""
        return cls.of_slugs({slug}, using)

    @classmethod
    def of_slugs(cls, slugs: Collection[str], using: str | None = None) -> "QuerySources":
        totals = Total.objects.using(using).filter(metric__slug__in=slugs)
        return cls(totals, Item.objects.using(using).filter(slug__in=slugs), pending_batches(slugs))

    @classmethod
    def everything(cls) -> "QuerySources":
        return cls(Total.objects.all(), Item.objects.all(), pending_batches())

    def labelled(self, labels: Mapping[str, str] | None) -> "QuerySources":
        """Return the part of the sources with one label set, or all of them for None; one query if there are labels.

        Pending items beyond the label cap are part of the overflow series.
        """
        if labels is None:
            return self
        text, cap = encode_labels(labels), self.label_cap() if labels else UNLABELLED
        pending = self.pending.only(lambda key: cap.name(key.slug, key.labels) == text)
        return QuerySources(self.totals.filter(labels=text), cap.filter(self.items, text), pending)

    def label_cap(self) -> LabelCap:
        whole = self.whole or self
        return LabelCap.of(whole.totals, whole.items, whole.pending)


# What a point holds if nothing was recorded.
_EMPTY = [{COUNT: 0, NUMBER: Decimal(0)}[field.holds] if field.rule == SUM else None for field in SHOWN]
# Its fields follow the list in `core.summary`. Type checkers cannot read that, so they take the types from Point.
_Point: Any = cast(Any, namedtuple)("_Point", ["start", *(field.name for field in SHOWN)], defaults=_EMPTY)


class Point(_Point):  # type: ignore[misc]
    """The shown fields of a summary of one period of a series; if nothing was recorded, sums are 0, others None."""

    __slots__ = ()

    start: date | datetime
    count: int
    total: Number
    minimum: Number | None
    maximum: Number | None
    last: Number | None


def point_of(start: date | datetime, summary: Summary | None) -> Point:
    return Point(start, *(getattr(summary, field.name) for field in SHOWN)) if summary else Point(start)


def point_headline(kind: str, point: Point) -> Number | None:
    """Return the one number that stands for a point of a series, as `app_metrics.core.summary.headline` does."""
    return headline(kind, point if point.count else None)  # it has the fields that are read


def summary(
    sources: QuerySources,
    period: Period,
    day: date | None,
    labels: Mapping[str, str] | None,
    *,
    sketches: bool = False,
) -> Summary | None:
    piece = (period, *locate(period, day))
    return next(iter(fold_together(sources, {piece: [piece]}, labels, sketches=sketches).values()), None)


def series(
    sources: QuerySources, period: Period, start: date, end: date, labels: Mapping[str, str] | None
) -> list[Point]:
    starts = list(starts_between(period, local_day(start), local_day(end)))
    found = fold_together(sources, {at: [(period, *at)] for at in starts}, labels)
    by_start = {at: summary for (_, at), summary in found.items()}
    return [point_of(starts_at(period, *at), by_start.get(at)) for at in starts]


def fold(
    sources: QuerySources, spans: Spans, labels: Mapping[str, str] | None = None, *, sketches: bool = False
) -> dict[tuple[str, str, Hashable], Summary]:
    """Return the summaries of spans for each metric and label set of the sources, pending items included.

    The keys are slug, label set and the span's name; there is none if nothing was recorded. One query, no matter how
    many metrics and spans there are, and another one if items with labels are pending.
    """
    if labels is None:
        return _folded(sources, _holders(spans), sketches=sketches)
    together, text = fold_together(sources, spans, labels, sketches=sketches), encode_labels(labels)
    return {(slug, text, name): found for (slug, name), found in together.items()}


def fold_together(
    sources: QuerySources, spans: Spans, labels: Mapping[str, str] | None = None, *, sketches: bool = False
) -> dict[tuple[str, Hashable], Summary]:
    """Return the same as `fold`, but with the label sets of each metric merged; the keys are slug and name.

    The database merges them if it can do so exactly. With `sketches`, which no database merges, all are read.
    """
    return across_labels(_folded(sources.labelled(labels), _holders(spans), together=True, sketches=sketches))


def across_labels(found: Mapping[tuple[str, str, Hashable], Summary]) -> dict[tuple[str, Hashable], Summary]:
    """Merge the label sets of each metric in a result of `fold`; the keys are slug and name."""
    together: dict[tuple[str, Hashable], Summary] = {}
    for (slug, _, name), summary in found.items():
        merge_into(together, (slug, name), summary)
    return _plain(together)


def all_time(sources: QuerySources, *, sketches: bool = False) -> dict[tuple[str, str], Summary]:
    """Return the all-time summaries by slug and label set, pending items included; one query, or two as in `fold`.

    They are made of the totals of the longest period, which are never pruned.
    """
    by = _key(("of", "labels", "of_period"), sketches)
    totals = sources.totals.annotate(of=F("metric__slug"), of_period=F("period"), kind_of=_text(""))
    items = sources.items.annotate(of=F("slug"), of_period=_text(""), kind_of=F("kind"))
    rows = _union([*_pending(items, by, sketches), unmerged(totals.filter(period=LONGEST), *by, sketches=sketches)])
    found: dict[tuple[Any, ...], Summary] = {}
    waiting: dict[tuple[Any, ...], Summary] = {}
    read = sources.pending.read(rows, by, lambda key: (key.slug, key.labels, ""), sketches=sketches)
    for (slug, text, period, *kind), summary in read:
        merge_into(found if period else waiting, (slug, text), of_kind(kind[0], summary) if kind else summary)
    return _plain(_capped(sources, found, waiting))


def piece_of(period: Period, day: date, hour: int, week: int) -> Piece:
    """Return the piece that an hour of a date belongs to; `week` is the ISO number of the first weekday."""
    return period, period.start_of(day, week), hour if period == HOUR else 0


def _holders(spans: Spans) -> Holders:
    holders: dict[Piece, list[Hashable]] = defaultdict(list)
    for name, pieces in spans.items():
        for piece in pieces:
            holders[piece].append(name)
    return holders


def _folded(
    sources: QuerySources, holders: Holders, *, together: bool = False, sketches: bool = False
) -> dict[tuple[str, str, Hashable], Summary]:
    """Return summaries by slug, label set and name; if label sets are merged, the label set is an empty text."""
    folded: dict[tuple[Any, ...], Summary] = {}
    if not holders:
        return folded
    waiting = folded if together else {}
    is_merged = together and are_exact(sources.totals) and not sketches
    rows = _rows(sources, holders, apart=not is_merged, sketches=sketches)
    periods = {period for period, _, _ in holders}
    week = first_weekday()
    found = sources.pending.read(rows, _key(KEY, sketches), _pending_key, sketches=sketches)
    for (slug, text, period, day, hour, *kind), summary in found:
        if kind:
            summary = of_kind(kind[0], summary)
        # Pending items belong to a piece of every period.
        for piece in [(period, day, hour)] if period else [piece_of(each, day, hour, week) for each in periods]:
            for name in holders.get(piece, ()):
                merge_into(folded if period else waiting, (slug, "" if together else text, name), summary)
    return _plain(folded if together else _capped(sources, folded, waiting))


def _key(by: Sequence[str], sketches: bool) -> Sequence[str]:
    # The kind of an item says whether its single number belongs to a histogram.
    return (*by, "kind_of") if sketches else by


def _rows(sources: QuerySources, holders: Holders, apart: bool, sketches: bool) -> Any:
    """Return KEY and the summary of everything that may belong to a piece."""
    first = min(start for _, start, _ in holders)
    last = max(period.next(start) for period, start, _ in holders)
    text = F("labels") if apart else _text("")
    items = sources.items.filter(day__gte=first, day__lt=last).annotate(
        of=F("slug"), text=text, of_period=_text(""), day_of=F("day"), hour_of=F("hour"), kind_of=F("kind")
    )
    totals = sources.totals.annotate(
        of=F("metric__slug"), text=text, of_period=F("period"), day_of=F("start"), kind_of=_text("")
    )
    # There is one total per label set, so totals need merging only across label sets.
    pick = partial(unmerged, sketches=sketches) if apart else merged
    by = _key(KEY, sketches)
    return _union([*_pending(items, by, sketches), *(pick(part, *by) for part in _parts(totals, holders, apart))])


def _union(parts: Sequence[Any]) -> Any:
    return parts[0].union(*parts[1:], all=True)  # ALL, because equal rows of totals and items are different events


def _pending_key(key: Key) -> tuple[str, str, str, date, int]:
    return key.slug, key.labels, "", key.day, key.hour


def _parts(totals: Any, holders: Holders, apart: bool) -> Iterator[Any]:
    """Yield the totals of the pieces, period by period."""
    starts: dict[Period, set[date]] = defaultdict(set)
    for period, start, _ in holders:
        starts[period].add(start)
    for period, days in starts.items():
        part = totals.filter(period=period, **_within(period, days))
        hours = _hours(holders) if period == HOUR and not apart else None
        if hours is None:
            yield part.annotate(hour_of=F("hour"))
        else:
            # All wanted hours of a date belong to the same spans, so the first hour represents them.
            yield part.filter(hour__lt=hours).annotate(hour_of=Value(0, SmallIntegerField()))


def _within(period: Period, days: set[date]) -> dict[str, Any]:
    """Return the filter of some dates; a range if they have no gap, which is a single index scan."""
    first, last = min(days), max(days)
    if days.issuperset(period.starts_between(first, last, first.isoweekday())):
        return {"start__range": (first, last)}
    return {"start__in": days}


def _hours(holders: Holders) -> int | None:
    """Return how many hours of a date are needed, counted from midnight; None if the dates need different ones."""
    by_date: dict[date, dict[int, list[Hashable]]] = defaultdict(dict)
    for (period, start, hour), names in holders.items():
        if period == HOUR:
            by_date[start][hour] = names
    counts = {len(hours) for hours in by_date.values()}
    alike = all(
        hours.keys() == set(range(len(hours))) and all(names == hours[0] for names in hours.values())
        for hours in by_date.values()
    )
    return counts.pop() if alike and len(counts) == 1 else None


def _pending(items: Any, by: Sequence[str], sketches: bool) -> Iterator[Any]:
    """Yield items by some columns; merged if the database can do so, because there may be very many."""
    plain = items.exclude(kind__in=MEASURED) if sketches else items
    # First, because Django converts a union as its first part, and sums of counts may be decimals.
    yield (merged if are_exact(items) else unmerged)(plain, *by, sketches=sketches)
    if sketches:
        yield unmerged(items.filter(kind__in=MEASURED), *by, sketches=True)


def _plain(found: Mapping[Found, Summary]) -> dict[Found, Summary]:
    return {key: plain_summary(summary) for key, summary in found.items()}


def _capped(
    sources: QuerySources, found: dict[tuple[Any, ...], Summary], waiting: Mapping[tuple[Any, ...], Summary]
) -> dict[tuple[Any, ...], Summary]:
    """Merge pending summaries into those of totals, under the label sets under which an aggregation will do it."""
    # Read after the summaries, so that it knows the label sets that an aggregation has added in between.
    cap = sources.label_cap() if any(text not in UNCAPPED for _, text, *_ in waiting) else UNLABELLED
    for (slug, text, *rest), summary in waiting.items():
        merge_into(found, (slug, cap.name(slug, text), *rest), summary)
    return found


def _text(value: str) -> Value:
    return Value(value, CharField())
