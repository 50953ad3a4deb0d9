"""What the totals say, with the items that still wait: one statement each, so that nothing is seen twice."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import CharField, F, Value

from .conf import first_weekday, time_zone
from .periods import (
    DAY,
    HOUR,
    Piece,
    bucket,
    hour_start,
    hours_in,
    local_date,
    next_start,
    period_start,
    starts_between,
)
from .summary import Number, Summary, encode_labels, headline, merge, merge_all

COLUMNS = ("hour", "count", "total", "minimum", "maximum", "last", "last_at")

Start = tuple[date, int]
# The totals of a metric and its waiting items: querysets.
Sources = tuple[Any, Any]


class Point(NamedTuple):
    """The summary of one period of a series; `minimum`, `maximum` and `last` are None where nothing was recorded."""

    start: date | datetime
    count: int = 0  # type: ignore[assignment]  # tuple.count is not missed
    total: Number = Decimal(0)
    minimum: Number | None = None
    maximum: Number | None = None
    last: Number | None = None


def point_headline(kind: str, point: Point) -> Number | None:
    """Return the one number that stands for a point of a series, as `app_metrics.summary.headline` does."""
    return headline(kind, Summary(*point[1:], 0) if point.count else None)  # type: ignore[arg-type]


def today() -> date:
    """Return the date it is in the metrics time zone."""
    return datetime.now(time_zone()).date()


def starts_at(period: str, start: date, hour: int) -> date | datetime:
    return hour_start(start, hour, time_zone()) if period == HOUR else start


def summary(sources: Sources, period: str, day: date | None, labels: Mapping[str, str] | None) -> Summary | None:
    moment = datetime.now(time_zone()) if day is None else day
    start, hour = _locate(period, moment)
    rows = _rows(sources, period, *span(period, start), labels)
    return merge_all(row for at, row in rows if at == (start, hour))


def series(sources: Sources, period: str, start: date, end: date, labels: Mapping[str, str] | None) -> list[Point]:
    start, end = _local(start), _local(end)
    folded: dict[Start, Summary] = {}
    for at, row in _rows(sources, period, span(period, start)[0], span(period, end)[1], labels):
        folded[at] = merge(folded[at], row) if at in folded else row
    return [_point(period, at, folded.get(at)) for at in _starts(period, start, end)]


def fold(
    sources: Sources, spans: Mapping[Hashable, Iterable[Piece]], labels: Mapping[str, str] | None = None
) -> dict[tuple[str, str, Hashable], Summary]:
    """Return the summary of every span of every metric and label set of the sources, waiting items included.

    A span is a name and the pieces it consists of; the keys are slug, label set and name. Where nothing was recorded
    there is no key. One statement, however many metrics and spans there are.
    """
    holders: dict[Piece, list[Hashable]] = defaultdict(list)
    for name, pieces in spans.items():
        for piece in pieces:
            holders[piece].append(name)
    folded: dict[tuple[str, str, Hashable], Summary] = {}
    for slug, labels_text, pieces, summary in _pieces(sources, holders.keys(), labels):
        for piece in pieces:
            for name in holders.get(piece, ()):
                key = (slug, labels_text, name)
                folded[key] = merge(folded[key], summary) if key in folded else summary
    return folded


def across_labels(found: Mapping[tuple[str, str, Hashable], Summary]) -> dict[tuple[str, Hashable], Summary]:
    """Return what `fold` found with the label sets of each metric added up; the keys are slug and name."""
    merged: dict[tuple[str, Hashable], Summary] = {}
    for (slug, _, name), summary in found.items():
        merged[slug, name] = merge(merged[slug, name], summary) if (slug, name) in merged else summary
    return merged


def _pieces(
    sources: Sources, wanted: Iterable[Piece], labels: Mapping[str, str] | None
) -> Iterator[tuple[str, str, Iterable[Piece], Summary]]:
    """Yield slug, label set, the pieces a row belongs to and its summary, for all rows that may belong to one."""
    days: dict[str, set[date]] = defaultdict(set)
    for period, start, _ in wanted:
        days[period].add(start)
    if not days:
        return
    totals, items = _labelled(sources, labels)
    first = min(min(starts) for starts in days.values())
    last = max(next_start(period, max(starts)) for period, starts in days.items())
    waiting = items.filter(day__gte=first, day__lt=last).annotate(of=F("slug"), period_name=Value("", CharField()))
    totals = totals.annotate(of=F("metric__slug"), period_name=F("period"))
    parts = [totals.filter(period=period, start__in=starts) for period, starts in days.items()]
    rows = waiting.values_list("of", "labels", "period_name", "day", *COLUMNS).union(
        *(part.values_list("of", "labels", "period_name", "start", *COLUMNS) for part in parts), all=True
    )
    week = first_weekday()
    for slug, text, period, day, hour, *values in rows.iterator():
        pieces = ((period, day, hour),) if period else [_piece(each, day, hour, week) for each in days]
        yield slug, text, pieces, Summary(*values)


def _piece(period: str, day: date, hour: int, week: int) -> Piece:
    return period, period_start(period, day, week), hour if period == HOUR else 0


def _labelled(sources: Sources, labels: Mapping[str, str] | None) -> Sources:
    if labels is None:
        return sources
    text = encode_labels(labels)
    return sources[0].filter(labels=text), sources[1].filter(labels=text)


def _rows(
    sources: Sources, period: str, first: date, last: date, labels: Mapping[str, str] | None
) -> Iterator[tuple[Start, Summary]]:
    totals, items = _labelled(sources, labels)
    totals, items = totals.filter(period=period, start__range=(first, last)), items.filter(day__range=(first, last))
    # One statement sees an item either waiting or in its total, whatever an aggregation does meanwhile.
    rows = totals.values_list("start", *COLUMNS).union(items.values_list("day", *COLUMNS), all=True)
    week = first_weekday()
    for day, hour, *values in rows.iterator():
        yield _piece(period, day, hour, week)[1:], Summary(*values)


def _locate(period: str, moment: date) -> Start:
    if period == HOUR and isinstance(moment, datetime):
        zone = time_zone()
        return bucket(int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp() // 1), zone)
    if period == HOUR:
        raise ValueError("An hour is named by a datetime, not by a date.")
    return period_start(period, _local(moment), first_weekday()), 0


def _local(moment: date) -> date:
    return local_date(moment, time_zone())


def span(period: str, day: date) -> tuple[date, date]:
    """Return the first and the last date of the period that holds a date."""
    first = period_start(period, _local(day), first_weekday())
    return first, next_start(period, first) - timedelta(days=1)


def _starts(period: str, first: date, last: date) -> Iterator[Start]:
    if period != HOUR:
        return ((start, 0) for start in starts_between(period, first, last, first_weekday()))
    zone = time_zone()
    return ((day, hour) for day in starts_between(DAY, first, last) for hour in range(hours_in(day, zone)))


def _point(period: str, at: Start, summary: Summary | None) -> Point:
    start = starts_at(period, *at)
    return Point(start, *summary[:5]) if summary else Point(start)
