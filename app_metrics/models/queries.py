"""What the totals say, with the items that still wait: one statement each, so that nothing is seen twice."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ..conf import first_weekday
from ..core.calendar import local_day, locate, span, starts_at, starts_between
from ..core.labels import encode_labels
from ..core.numbers import Number
from ..core.periods import HOUR, Period, Piece, Start
from ..core.summary import Summary, headline, merge, merge_all
from .aggregates import are_exact, fetched, merged, summary_of
from .pending import NOTHING, PendingBatches

COLUMNS = ("hour", "count", "total", "minimum", "maximum", "last", "last_at")


class Sources(NamedTuple):
    """The totals of some metrics and their waiting items, as querysets, and what waits outside the database."""

    totals: Any
    items: Any
    held: PendingBatches = NOTHING


class Point(NamedTuple):
    """The summary of one period of a series; `minimum`, `maximum` and `last` are None where nothing was recorded."""

    start: date | datetime
    count: int = 0  # type: ignore[assignment]  # tuple.count is not missed
    total: Number = Decimal(0)
    minimum: Number | None = None
    maximum: Number | None = None
    last: Number | None = None


def point_headline(kind: str, point: Point) -> Number | None:
    """Return the one number that stands for a point of a series, as `app_metrics.core.summary.headline` does."""
    return headline(kind, Summary(*point[1:], 0) if point.count else None)  # type: ignore[arg-type]


def summary(sources: Sources, period: Period, day: date | None, labels: Mapping[str, str] | None) -> Summary | None:
    start, hour = locate(period, day)
    rows = _rows(sources, period, *span(period, start), labels)
    return merge_all(row for at, row in rows if at == (start, hour))


def series(sources: Sources, period: Period, start: date, end: date, labels: Mapping[str, str] | None) -> list[Point]:
    start, end = local_day(start), local_day(end)
    folded: dict[Start, Summary] = {}
    for at, row in _rows(sources, period, span(period, start)[0], span(period, end)[1], labels):
        folded[at] = merge(folded[at], row) if at in folded else row
    return [_point(period, at, folded.get(at)) for at in starts_between(period, start, end)]


def piece_of(period: Period, day: date, hour: int, week: int) -> Piece:
    """Return the piece that an hour of a date belongs to; `week` is the ISO number of the day a week begins."""
    return period, period.start_of(day, week), hour if period == HOUR else 0


def labelled(sources: Sources, labels: Mapping[str, str] | None) -> Sources:
    """Return what the sources hold of one label set, or of all."""
    if labels is None:
        return sources
    text = encode_labels(labels)
    totals, items, held = sources
    return Sources(totals.filter(labels=text), items.filter(labels=text), held.only(lambda key: key.labels == text))


def _rows(
    sources: Sources, period: Period, first: date, last: date, labels: Mapping[str, str] | None
) -> Iterator[tuple[Start, Summary]]:
    totals, items, held = labelled(sources, labels)
    totals, items = totals.filter(period=period, start__range=(first, last)), items.filter(day__range=(first, last))
    # One statement sees an item either waiting or in its total, whatever an aggregation does meanwhile; and a batch
    # either in the ledger or not.
    if are_exact(totals):
        rows = merged(totals, "start", "hour").union(merged(items, "day", "hour"), all=True)
    else:
        rows = totals.values_list("start", *COLUMNS).union(items.values_list("day", *COLUMNS), all=True)
    rows = held.marked(rows, 2)
    week = first_weekday()
    for day, hour, *values in held.added(fetched(rows, totals), lambda key: (key.day, key.hour)):
        yield piece_of(period, day, hour, week)[1:], summary_of(values)


def _point(period: Period, at: Start, summary: Summary | None) -> Point:
    start = starts_at(period, *at)
    return Point(start, *summary[:5]) if summary else Point(start)
