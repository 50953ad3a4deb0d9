import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from app_metrics.models import Metric

YEARS = 5


class Command(BaseCommand):
    help = "Print count and total of every metric over all years as JSON, pending items included."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(dict(all_totals()), indent=1))


def all_totals() -> Iterator[tuple[str, tuple[int, str]]]:
    """Yield `slug` and `slug{name=value}` with count and total of each metric and label set."""
    for metric in Metric.objects.order_by("slug"):
        yield metric.slug, over_all_years(metric, None)
        label_sets = metric.totals.filter(period="year").values_list("labels", flat=True)
        for text in sorted(set(label_sets) - {"{}"}):
            labels = json.loads(text)
            pairs = ",".join(f"{name}={value}" for name, value in labels.items())
            yield f"{metric.slug}{{{pairs}}}", over_all_years(metric, labels)


def over_all_years(metric: Metric, labels: dict[str, str] | None) -> tuple[int, str]:
    # A request around midnight on New Year's Eve may be counted tomorrow, which is next year.
    last = timezone.localdate() + timedelta(days=1)
    points = metric.series("year", last - timedelta(days=366 * YEARS), last, labels=labels)
    return sum(point.count for point in points), str(sum(point.total for point in points))
