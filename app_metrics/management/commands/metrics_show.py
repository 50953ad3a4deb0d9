from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import translation

from ...core.calendar import start_of, today
from ...core.formatting import shown
from ...core.periods import DAY, HOUR, PERIODS, Period
from ...core.plain_text import aligned, one_line, sparkline
from ...core.setting_rules import suggest
from ...core.summary import COUNTER, GAUGE
from ...models import Metric
from ...models.primary import primary
from ...models.queries import Point, point_headline
from ..base import MetricsCommand
from ..output import can_hold, fitting

MOST = 1000


class Command(MetricsCommand):
    help = "Print a metric's latest numbers, pending items included, as a table and a sparkline."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="The metric's slug.")
        parser.add_argument("--period", choices=PERIODS, default=DAY, help=f"Default: {DAY}.")
        parser.add_argument("--last", type=int, default=30, metavar="N", help="Number of periods (default: 30).")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            metric = primary(Metric.objects).get(slug=options["slug"])
        except Metric.DoesNotExist as error:
            raise CommandError(f"There is no metric {options['slug']!r}. {_known(options['slug'])}") from error
        if not 1 <= options["last"] <= MOST:
            raise CommandError(f"--last is {options['last']}; give a number from 1 to {MOST}.")
        with suppress(BrokenPipeError):
            self._show(metric, options["period"], _latest(metric, Period(options["period"]), options["last"]))

    def _show(self, metric: Metric, period: str, points: Sequence[Point]) -> None:
        # Commands write English, so numbers are formatted in English too.
        with translation.override("en"):
            self._write(one_line(f"{metric.name} ({metric.slug}), by {period}"))
            for row in aligned([_head(metric.kind), *(_row(metric, point) for point in points)]):
                self._write("\n".join(row))
            line = sparkline(point_headline(metric.kind, point) for point in points)
            if can_hold(self.stdout, line):
                self.stdout.write(line)

    def _write(self, text: str) -> None:
        self.stdout.write(fitting(self.stdout, text))


def _known(slug: str) -> str:
    slugs = list(primary(Metric.objects).values_list("slug", flat=True))
    return suggest(slug, slugs) if slugs else "Nothing was recorded yet."


def _latest(metric: Metric, period: Period, count: int) -> list[Point]:
    """Return the points of the latest periods, the current one included."""
    last = today()
    if period == HOUR:
        # A date has at least 23 hours.
        points = metric.series(HOUR, last - timedelta(days=count // 23 + 1), last)
        return [point for point in points if point.start <= datetime.now(UTC)][-count:]
    return metric.series(period, period.shift(start_of(period, last), 1 - count), last)


def _head(kind: str) -> Sequence[str]:
    if kind == COUNTER:
        return ("", "total", "events")
    return ("", "last" if kind == GAUGE else "mean", "lowest", "highest", "events")


def _row(metric: Metric, point: Point) -> Sequence[str]:
    start = point.start.strftime("%Y-%m-%d %H:%M") if isinstance(point.start, datetime) else point.start.isoformat()
    number, events = shown(point_headline(metric.kind, point), metric.kind), shown(point.count)
    if metric.kind == COUNTER:
        return (start, number, events)
    return (start, number, shown(point.minimum, metric.kind), shown(point.maximum, metric.kind), events)
