"""What the totals say, with the items that still wait: one statement each, so that nothing is seen twice."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from .conf import first_weekday, time_zone
from .periods import DAY, HOUR, bucket, hour_start, hours_in, next_start, period_start, starts_between
from .summary import Number, Summary, encode_labels, merge, merge_all

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


def _rows(
    sources: Sources, period: str, first: date, last: date, labels: Mapping[str, str] | None
) -> Iterator[tuple[Start, Summary]]:
    totals, items = sources
    totals, items = totals.filter(period=period, start__range=(first, last)), items.filter(day__range=(first, last))
    if labels is not None:
        text = encode_labels(labels)
        totals, items = totals.filter(labels=text), items.filter(labels=text)
    # One statement sees an item either waiting or in its total, whatever an aggregation does meanwhile.
    rows = totals.values_list("start", *COLUMNS).union(items.values_list("day", *COLUMNS), all=True)
    week = first_weekday()
    for day, hour, *values in rows.iterator():
        yield (period_start(period, day, week), hour if period == HOUR else 0), Summary(*values)


def _locate(period: str, moment: date) -> Start:
    if period == HOUR and isinstance(moment, datetime):
        zone = time_zone()
        return bucket(int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp() // 1), zone)
    if period == HOUR:
        raise ValueError("An hour is named by a datetime, not by a date.")
    return period_start(period, _local(moment), first_weekday()), 0


def _local(moment: date) -> date:
    """Return the date it is in the metrics time zone; a naive datetime is in that zone already."""
    if not isinstance(moment, datetime):
        return moment
    return moment.astimezone(time_zone()).date() if moment.tzinfo else moment.date()


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
