"""Summaries of what was recorded: totals and pending items in one statement, so that each event is seen once."""

from collections import defaultdict, namedtuple
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

from django.db.models import F, Q

from ..conf import first_weekday
from ..core.batch import Key
from ..core.calendar import local_day, locate, starts_at, starts_between
from ..core.labels import encode_labels
from ..core.numbers import Number
from ..core.periods import HOUR, LONGEST, Period, Piece
from ..core.sketches import UNIQUES
from ..core.summary import (
    COUNT,
    NUMBER,
    SHOWN,
    SUM,
    UNIQUE,
    Summary,
    headline,
    merge_into,
    of_kind,
    plain_summaries,
)
from ..core.uniques import Uniques
from .label_cap import UNCAPPED, UNLABELLED, LabelCap
from .pending import NOTHING, PendingBatches, pending_batches
from .rows import BY_KIND, KEY, Holders, Rows, UniqueRows, key_of, of_each_metric, text_of, united
from .totals import Item, Total

# The pieces of each span, by its name.
Spans = Mapping[Hashable, Iterable[Piece]]


class QuerySources(NamedTuple):
    """The totals and items of some metrics, as querysets, and their batches that are pending outside the database.

    Readings of them contain the sketches of the rows that are `unique`; None if none of the metrics counts uniquely.
    """

    totals: Any
    items: Any
    pending: PendingBatches = NOTHING
    unique: UniqueRows | None = BY_KIND
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
        items, pending = Item.objects.using(alias).filter(slug__in=ids), pending_batches(ids.keys())
        own = [metric.slug for metric in metrics if metric.kind == UNIQUE]
        unique = UniqueRows(Q(metric__in=[ids[slug] for slug in own]), Q(slug__in=own)) if own else None
        return cls(totals, items, pending, unique)

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
        return cls(of_each_metric(Total.objects.all()), Item.objects.all(), pending_batches())

    def labelled(self, labels: Mapping[str, str] | None) -> "QuerySources":
        """Return the part of the sources with one label set, or all of them for None; one query if there are labels.

        Pending items beyond the label cap are part of the overflow series.
        """
        if labels is None:
            return self
        text, cap = encode_labels(labels), self.label_cap() if labels else UNLABELLED
        pending = self.pending.only(lambda key: cap.name(key.slug, key.labels) == text)
        return self._replace(
            totals=self.totals.filter(labels=text), items=cap.filter(self.items, text), pending=pending
        )

    def label_cap(self) -> LabelCap:
        whole = self.whole or self
        return LabelCap.of(whole.totals, whole.items, whole.pending)

    @property
    def rows(self) -> Rows:
        return Rows(self.totals, self.items, self.unique)


# What a point holds if nothing was recorded.
_EMPTY = [{COUNT: 0, NUMBER: Decimal(0)}[field.holds] if field.rule == SUM else None for field in SHOWN]
# Its fields follow the list in `core.summary`. Type checkers cannot read that, so they take the types from Point.
_Point: Any = cast(Any, namedtuple)(
    "_Point", ["start", *(field.name for field in SHOWN), UNIQUES], defaults=[*_EMPTY, None]
)


class Point(_Point):  # type: ignore[misc]
    """The shown fields of a summary of one period of a series; if nothing was recorded, sums are 0, others None.

    `uniques` has the `count` of a unique count and its `error`; None for other metrics.
    """

    __slots__ = ()

    start: date | datetime
    count: int
    total: Number
    minimum: Number | None
    maximum: Number | None
    last: Number | None
    uniques: Uniques | None


def point_of(start: date | datetime, summary: Summary | None) -> Point:
    if summary is None:
        return Point(start)
    return Point(start, *(getattr(summary, field.name) for field in SHOWN), summary.uniques)


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

    The database merges them as far as it can do so exactly. It merges no sketches, so with `sketches` all rows are
    read, and otherwise those of unique counts.
    """
    return across_labels(_folded(sources.labelled(labels), _holders(spans), together=True, sketches=sketches))


def across_labels(found: Mapping[tuple[str, str, Hashable], Summary]) -> dict[tuple[str, Hashable], Summary]:
    """Merge the label sets of each metric in a result of `fold`; the keys are slug and name."""
    together: dict[tuple[str, Hashable], Summary] = {}
    for (slug, _, name), summary in found.items():
        merge_into(together, (slug, name), summary)
    return plain_summaries(together)


def all_time(sources: QuerySources, *, sketches: bool = False) -> dict[tuple[str, str], Summary]:
    """Return the all-time summaries by slug and label set, pending items included; one query, or two as in `fold`.

    They are made of the totals of the longest period, which are never pruned.
    """
    source, by = sources.rows, key_of(("of", "labels", "of_period"), sketches)
    totals = sources.totals.annotate(of=F("metric__slug"), of_period=F("period"), kind_of=text_of(""))
    items = sources.items.annotate(of=F("slug"), of_period=text_of(""), kind_of=F("kind"))
    names = source.names(sketches)
    rows = united([*source.pending(items, by, sketches), *source.stored(totals.filter(period=LONGEST), by, sketches)])
    found: dict[tuple[Any, ...], Summary] = {}
    waiting: dict[tuple[Any, ...], Summary] = {}
    read = sources.pending.read(rows, by, lambda key: (key.slug, key.labels, ""), names)
    for (slug, text, period, *kind), summary in read:
        merge_into(found if period else waiting, (slug, text), of_kind(kind[0], summary) if kind else summary)
    return plain_summaries(_capped(sources, found, waiting))


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
    periods = {period for period, _, _ in holders}
    week = first_weekday()
    for (slug, text, period, day, hour, *kind), summary in _read(sources, holders, together, sketches):
        if kind:
            summary = of_kind(kind[0], summary)
        # Pending items belong to a piece of every period.
        for piece in [(period, day, hour)] if period else [piece_of(each, day, hour, week) for each in periods]:
            for name in holders.get(piece, ()):
                merge_into(folded if period else waiting, (slug, "" if together else text, name), summary)
    return plain_summaries(folded if together else _capped(sources, folded, waiting))


def _read(
    sources: QuerySources, holders: Holders, together: bool, sketches: bool
) -> Iterator[tuple[tuple[Any, ...], Summary]]:
    source, apart = sources.rows, sketches or not together
    rows = source.of_pieces(holders, apart=apart, sketches=sketches)
    return sources.pending.read(rows, key_of(KEY, sketches), _pending_key, source.names(sketches))


def _pending_key(key: Key) -> tuple[str, str, str, date, int]:
    return key.slug, key.labels, "", key.day, key.hour


def _capped(
    sources: QuerySources, found: dict[tuple[Any, ...], Summary], waiting: Mapping[tuple[Any, ...], Summary]
) -> dict[tuple[Any, ...], Summary]:
    """Merge pending summaries into those of totals, under the label sets under which an aggregation will do it."""
    # Read after the summaries, so that it knows the label sets that an aggregation has added in between.
    cap = sources.label_cap() if any(text not in UNCAPPED for _, text, *_ in waiting) else UNLABELLED
    for (slug, text, *rest), summary in waiting.items():
        merge_into(found, (slug, cap.name(slug, text), *rest), summary)
    return found
