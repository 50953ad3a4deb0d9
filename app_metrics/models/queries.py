"""What the totals say, with the items that still wait: one statement each, so that nothing is seen twice."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ..conf import first_weekday, time_zone
from ..core.calendar import local_day, span, starts_at
from ..core.labels import encode_labels
from ..core.numbers import Number
from ..core.periods import (
    DAY,
    HOUR,
    Piece,
    bucket,
    hours_in,
    period_start,
    starts_between,
)
from ..core.summary import Summary, headline, merge, merge_all
from .aggregates import are_exact, fetched, merged, summary_of
from .pending import NOTHING, PendingBatches

COLUMNS = ("hour", "count", "total", "minimum", "maximum", "last", "last_at")

Start = tuple[date, int]


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


def summary(sources: Sources, period: str, day: date | None, labels: Mapping[str, str] | None) -> Summary | None:
    moment = datetime.now(time_zone()) if day is None else day
    start, hour = _locate(period, moment)
    rows = _rows(sources, period, *span(period, start), labels)
    return merge_all(row for at, row in rows if at == (start, hour))


def series(sources: Sources, period: str, start: date, end: date, labels: Mapping[str, str] | None) -> list[Point]:
    start, end = local_day(start), local_day(end)
    folded: dict[Start, Summary] = {}
    for at, row in _rows(sources, period, span(period, start)[0], span(period, end)[1], labels):
        folded[at] = merge(folded[at], row) if at in folded else row
    return [_point(period, at, folded.get(at)) for at in _starts(period, start, end)]


def piece_of(period: str, day: date, hour: int, week: int) -> Piece:
    """Return the piece that an hour of a date belongs to; `week` is the ISO number of the day a week begins."""
    return period, period_start(period, day, week), hour if period == HOUR else 0


def labelled(sources: Sources, labels: Mapping[str, str] | None) -> Sources:
    """Return what the sources hold of one label set, or of all."""
    if labels is None:
        return sources
    text = encode_labels(labels)
    totals, items, held = sources
    return Sources(totals.filter(labels=text), items.filter(labels=text), held.only(lambda key: key.labels == text))


def _rows(
    sources: Sources, period: str, first: date, last: date, labels: Mapping[str, str] | None
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


def _locate(period: str, moment: date) -> Start:
    if period == HOUR and isinstance(moment, datetime):
        zone = time_zone()
        return bucket(int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp() // 1), zone)
    if period == HOUR:
        raise ValueError("An hour is named by a datetime, not by a date.")
    return period_start(period, local_day(moment), first_weekday()), 0


def _starts(period: str, first: date, last: date) -> Iterator[Start]:
    if period != HOUR:
        return ((start, 0) for start in starts_between(period, first, last, first_weekday()))
    zone = time_zone()
    return ((day, hour) for day in starts_between(DAY, first, last) for hour in range(hours_in(day, zone)))


def _point(period: str, at: Start, summary: Summary | None) -> Point:
    start = starts_at(period, *at)
    return Point(start, *summary[:5]) if summary else Point(start)
