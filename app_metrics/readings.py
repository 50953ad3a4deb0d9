"""What the totals say, with the items that still wait: one statement each, so that nothing is seen twice."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import models
from django.db.models.functions import Cast, Coalesce

from .conf import first_weekday, time_zone
from .periods import DAY, HOUR, bucket, hour_start, hours_in, next_start, period_start, starts_between
from .summary import DECIMAL_PLACES, MAX_DIGITS, Number, Summary, encode_labels, merge, merge_all

if TYPE_CHECKING:
    from .models import Metric

COLUMNS = ("hour", "count", "total", "minimum", "maximum", "last", "last_at")

Start = tuple[date, int]


class Point(NamedTuple):
    """The summary of one period of a series; `minimum`, `maximum` and `last` are None where nothing was recorded."""

    start: date | datetime
    count: int = 0  # type: ignore[assignment]  # tuple.count is not missed
    total: Number = Decimal(0)
    minimum: Number | None = None
    maximum: Number | None = None
    last: Number | None = None


class ItemQuerySet(models.QuerySet[Any]):
    def between(self, first: date, last: date) -> "ItemQuerySet":
        """Keep the items of the dates from `first` to `last`, both included."""
        return self.filter(day__range=(first, last))


class TotalQuerySet(models.QuerySet[Any]):
    def between(self, period: str, first: date, last: date) -> "TotalQuerySet":
        """Keep the totals of the periods that touch the dates from `first` to `last`, both included."""
        return self.filter(period=period, start__range=(period_start(period, first, first_weekday()), last))


class MetricQuerySet(models.QuerySet[Any]):
    def with_total(self, period: str, day: date | None = None, name: str = "period_total") -> "MetricQuerySet":
        """Annotate each metric with its sum over the period that holds `day` (default: today).

        Waiting items are included. The sum is the database's own: exact on PostgreSQL and MariaDB, correct to 15
        digits on SQLite; `Metric.total()` is exact everywhere. Raises ValueError for an unknown period.
        """
        first, last = _span(period, day or today())
        totals = apps.get_model("app_metrics", "Total").objects.filter(
            metric=models.OuterRef("pk"), period=period, start=first
        )
        items = apps.get_model("app_metrics", "Item").objects.filter(slug=models.OuterRef("slug"))
        waiting = _sum(items.between(first, last), "slug")
        annotated: MetricQuerySet = self.annotate(**{name: _sum(totals, "metric") + waiting})
        return annotated


def today() -> date:
    """Return the date it is in the metrics time zone."""
    return datetime.now(time_zone()).date()


def starts_at(period: str, start: date, hour: int) -> date | datetime:
    return hour_start(start, hour, time_zone()) if period == HOUR else start


def summary(metric: "Metric", period: str, day: date | None, labels: Mapping[str, str] | None) -> Summary | None:
    moment = datetime.now(time_zone()) if day is None else day
    start, hour = _locate(period, moment)
    first, last = _span(period, start)
    rows = (row for at, row in _rows(metric, period, first, last, labels) if at == (start, hour))
    return merge_all(rows)


def series(metric: "Metric", period: str, start: date, end: date, labels: Mapping[str, str] | None) -> list[Point]:
    folded: dict[Start, Summary] = {}
    for at, row in _rows(metric, period, period_start(period, start, first_weekday()), _span(period, end)[1], labels):
        folded[at] = merge(folded[at], row) if at in folded else row
    return [_point(period, at, folded.get(at)) for at in _starts(period, start, end)]


def _rows(
    metric: "Metric", period: str, first: date, last: date, labels: Mapping[str, str] | None
) -> Iterator[tuple[Start, Summary]]:
    totals = apps.get_model("app_metrics", "Total").objects.filter(metric=metric).between(period, first, last)
    items = apps.get_model("app_metrics", "Item").objects.filter(slug=metric.slug).between(first, last)
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
    day = moment.astimezone(time_zone()).date() if isinstance(moment, datetime) else moment
    return period_start(period, day, first_weekday()), 0


def _span(period: str, day: date) -> tuple[date, date]:
    first = period_start(period, day, first_weekday())
    return first, next_start(period, first) - timedelta(days=1)


def _starts(period: str, first: date, last: date) -> Iterator[Start]:
    if period != HOUR:
        return ((start, 0) for start in starts_between(period, first, last, first_weekday()))
    zone = time_zone()
    return ((day, hour) for day in starts_between(DAY, first, last) for hour in range(hours_in(day, zone)))


def _point(period: str, at: Start, summary: Summary | None) -> Point:
    start = starts_at(period, *at)
    return Point(start, *summary[:5]) if summary else Point(start)


def _sum(rows: models.QuerySet[Any], group: str) -> Coalesce:
    number = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)
    total = models.Sum(Cast("total", number), output_field=number)
    summed = rows.order_by().values(group).annotate(summed=total).values("summed")
    return Coalesce(models.Subquery(summed, output_field=number), Decimal(0), output_field=number)
