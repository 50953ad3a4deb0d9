from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.db import router
from django.utils import translation

from ...core.calendar import start_of, today
from ...core.formatting import shown
from ...core.numbers import Number
from ...core.periods import DAY, HOUR, PERIODS, Period
from ...core.plain_text import aligned, one_line, sparkline
from ...core.setting_rules import suggest
from ...core.summary import COUNTER, GAUGE, MEASURED, UNIQUE
from ...models import Metric
from ...models.percentiles import SHOWN_PERCENTS, SPLIT_PERCENT, MeasuredPoint, Percentiles, measured_series
from ...models.primary import primary
from ...models.queries import Point, QuerySources, point_headline
from ...models.splitting import MOST_VALUES, SplitSeries, Where, check_names, measured_split
from ...ratios.changes import Metrics, metrics_of, operand_title, shown_operand, shown_ratio
from ...ratios.declared import Ratio, RatioPoint, ratios
from ..arguments import add_where, where_of
from ..base import MetricsCommand
from ..output import can_hold, fitting, until_reader_leaves

MOST = 1000

Parts = SplitSeries[MeasuredPoint]


class Command(MetricsCommand):
    help = "Print the latest numbers of a metric or a ratio, pending items included, as a table and a sparkline."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="The metric's slug, or the ratio's name.")
        parser.add_argument("--period", choices=PERIODS, default=DAY, help=f"Default: {DAY}.")
        parser.add_argument("--last", type=int, default=30, metavar="N", help="Number of periods (default: 30).")
        add_where(parser, "Only what was recorded with this label, among others; repeat it for more labels.")
        parser.add_argument("--split", metavar="LABEL", help="Show the largest values of this label.")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, period, last = options["slug"], Period(options["period"]), options["last"]
        metric = primary(Metric.objects).filter(slug=slug).first()
        ratio = None if metric else ratios().get(slug)
        if not ratio:
            metric = _metric(slug)
        if not 1 <= last <= MOST:
            raise CommandError(f"--last is {last}; give a number from 1 to {MOST}.")
        # Commands write English, so numbers are formatted in English too.
        where, label = where_of(options["where"]), options["split"]
        with until_reader_leaves(self.stdout), translation.override("en"):
            if ratio and (where or label is not None):
                raise CommandError("A ratio takes no --where and no --split; APP_METRICS_RATIOS chooses its labels.")
            if ratio:
                self._show_ratio(ratio, period, last)
            elif where or label is not None:
                self._show_parts(metric, period, last, label, where)
            else:
                self._show_metric(metric, period, last)

    def _show_metric(self, metric: Metric, period: Period, last: int) -> None:
        points: list[MeasuredPoint] = _latest(partial(measured_series, metric), period, last)
        rows = [_head(metric.kind), *(_row(metric, *each) for each in points)]
        numbers = [point_headline(metric.kind, each.point) for each in points]
        self._show(f"{metric.name} ({metric.slug}), by {period}", rows, numbers)

    def _show_parts(self, metric: Metric, period: Period, last: int, label: str | None, where: Where) -> None:
        try:
            check_names(QuerySources.of([metric]), [*where, *([] if label is None else [label])])
        except ValueError as error:
            raise CommandError(str(error)) from error
        found = measured_split(metric, period, *_dates(period, last), label, where, most=MOST_VALUES)
        parts: Parts = found.mapped(partial(_cut, period=period, count=last))
        if label is None:
            rows = [_head(metric.kind), *(_row(metric, *each) for each in parts.whole)]
        else:
            titled = [(_head(metric.kind)[1], parts.whole), *_titled(label, parts)]
            columns = [column for title, points in titled for column in _columns(metric, title, points)]
            rows = list(zip(["", *(_start(each.start) for each in parts.whole)], *columns, strict=True))
        numbers = [point_headline(metric.kind, each.point) for each in parts.whole]
        self._show(_title_of_parts(metric, period, label, where), rows, numbers)
        if events := sum(each.point.count for each in parts.overflow):
            number = f"{shown(events)} event{'s' if events > 1 else ''}"
            self._write(
                f"The overflow series, of label sets beyond APP_METRICS_MAX_LABEL_SETS, has {number}; its labels are "
                f"not known, so {'some may match' if where else 'it is in no other column'}."
            )

    def _show_ratio(self, ratio: Ratio, period: Period, last: int) -> None:
        if ratio.days and period == HOUR:
            days = [period for period in PERIODS if period != HOUR]
            raise CommandError(f"The ratio covers whole days, so there is none of an hour; choose {', '.join(days)}.")
        alias = router.db_for_write(Metric)
        metrics = metrics_of([ratio], alias)
        points: list[RatioPoint] = _latest(partial(ratio.series, using=alias), period, last)
        head = ("", "ratio", *(one_line(operand_title(each, metrics)) for each in (ratio.of, ratio.to)))
        rows = [head, *(_ratio_row(ratio, point, metrics) for point in points)]
        self._show(f"{ratio.name}, by {period}", rows, [point.quotient.value for point in points])

    def _show(self, title: str, rows: Sequence[Sequence[str]], numbers: Sequence[Number | None]) -> None:
        self._write(one_line(title))
        for row in aligned(rows):
            self._write("\n".join(row))
        line = sparkline(numbers)
        if can_hold(self.stdout, line):
            self.stdout.write(line)

    def _write(self, text: str) -> None:
        self.stdout.write(fitting(self.stdout, text))


def _metric(slug: str) -> Metric:
    try:
        metric: Metric = primary(Metric.objects).get(slug=slug)
    except Metric.DoesNotExist as error:
        raise CommandError(f"There is no metric {slug!r}. {_known(slug)}") from error
    return metric


def _known(slug: str) -> str:
    known = [*primary(Metric.objects).values_list("slug", flat=True), *ratios()]
    return suggest(slug, known) if known else "Nothing was recorded yet."


def _latest(series: Callable[[str, date, date], list[Any]], period: Period, count: int) -> list[Any]:
    """Return the points of the latest periods, the current one included."""
    return _cut(series(period, *_dates(period, count)), period, count)


def _dates(period: Period, count: int) -> tuple[date, date]:
    """Return the first and the last date of the latest periods."""
    last = today()
    # A date has at least 23 hours.
    hourly = last - timedelta(days=count // 23 + 1)
    return (hourly, last) if period == HOUR else (period.shift(start_of(period, last), 1 - count), last)


def _cut(points: Sequence[Any], period: Period, count: int) -> list[Any]:
    """Return the points of a series without later hours and earlier ones than asked for."""
    begun = points if period != HOUR else [point for point in points if point.start <= datetime.now(UTC)]
    return list(begun[-count:])


def _title_of_parts(metric: Metric, period: Period, label: str | None, where: Where) -> str:
    title = f"{metric.name} ({metric.slug}), by {period}" + ("" if label is None else f" and {label}")
    filters = " and ".join(f"{name}={value}" for name, value in where.items())
    return f"{title}, where {filters}" if filters else title


def _titled(label: str, parts: Parts) -> Iterator[tuple[str, Sequence[MeasuredPoint]]]:
    """Yield the title and the points of each column of a split table."""
    for value, points in parts.groups.items():
        yield f"without {label}" if value is None else value or '""', points
    if parts.others:
        yield "(others)", parts.others
    if parts.overflow:
        yield "(overflow)", parts.overflow


def _columns(metric: Metric, title: str, points: Sequence[MeasuredPoint]) -> Iterator[list[str]]:
    """Yield the column of the numbers of a part, and for timers and distributions that of their percentile."""
    numbers = (point_headline(metric.kind, each.point) for each in points)
    yield [one_line(title), *(shown(number, metric.kind) for number in numbers)]
    if metric.kind in MEASURED:
        percentiles = (each.percentiles[SPLIT_PERCENT] for each in points)
        yield [f"p{SPLIT_PERCENT}", *(shown(number, metric.kind) for number in percentiles)]


def _head(kind: str) -> Sequence[str]:
    if kind == COUNTER:
        return ("", "total", "events")
    if kind == UNIQUE:
        return ("", "different", "events")
    if kind == GAUGE:
        return ("", "last", "lowest", "highest", "events")
    return ("", "mean", *(f"p{percent}" for percent in SHOWN_PERCENTS), "lowest", "highest", "events")


def _start(start: date) -> str:
    return start.strftime("%Y-%m-%d %H:%M") if isinstance(start, datetime) else start.isoformat()


def _ratio_row(ratio: Ratio, point: RatioPoint, metrics: Metrics) -> Sequence[str]:
    quotient = point.quotient
    of = shown_operand(ratio.of, quotient.numerator, metrics)
    to = shown_operand(ratio.to, quotient.denominator, metrics)
    return (_start(point.start), shown_ratio(ratio, quotient), of, to)


def _row(metric: Metric, point: Point, percentiles: Percentiles) -> Sequence[str]:
    start = _start(point.start)
    number, events = shown(point_headline(metric.kind, point), metric.kind), shown(point.count)
    if metric.kind in (COUNTER, UNIQUE):
        return (start, number, events)
    measured = [shown(percentiles[percent], metric.kind) for percent in SHOWN_PERCENTS if percent in percentiles]
    return (start, number, *measured, shown(point.minimum, metric.kind), shown(point.maximum, metric.kind), events)
