"""Fill the tables with years of totals, the same in every run."""

from datetime import datetime, timedelta
from itertools import cycle, islice, product
from zoneinfo import ZoneInfo

from django.db import connections, transaction

from app_metrics.core.periods import HOUR, PERIODS
from app_metrics.models import Metric, Total

# A Tuesday, so that the current week has more than one day.
NOW = datetime(2026, 11, 24, 21, 30, tzinfo=ZoneInfo("Europe/Berlin"))
TODAY = NOW.date()
INSERT = """
    INSERT INTO app_metrics_total
        (metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, '1', '1', '1', %s)"""


def fill(alias, metrics, first, *, series=(("{}", 1),), kinds=("counter",), hourly_days=0):
    """Store only the totals of this many metrics since a day; those of hours are of the last days. Return their number.

    Each of the series has labels, and a factor of its numbers.
    """
    Metric.objects.all().delete()
    names = [f"Metric {number:03}" for number in range(metrics)]
    Metric.objects.bulk_create(
        Metric(name=name, slug=name.lower().replace(" ", "-"), kind=kind)
        for name, kind in zip(names, islice(cycle(kinds), metrics), strict=True)
    )
    ids = list(Metric.objects.values_list("pk", flat=True))
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.executemany(INSERT, rows(ids, first, series, hourly_days))
    return Total.objects.count()


def rows(ids, first, series, hourly_days):
    """Yield the values of totals by date, as aggregations write them, so that the rows of a metric are not adjacent.

    On a day each metric has its own numbers, so that mixing them up is detected.
    """
    for period in PERIODS:
        since, hours = (TODAY - timedelta(days=hourly_days - 1), range(24)) if period == HOUR else (first, [0])
        for start, hour in product(period.starts_between(since, TODAY), hours):
            moment = datetime(start.year, start.month, start.day, hour, tzinfo=NOW.tzinfo)
            if moment > NOW:
                continue
            last_at, day = int(moment.timestamp()) * 1_000_000, start.toordinal()
            for number, (labels, factor) in product(ids, series):
                count = factor * (1 + (day + number * 37) % 211)  # a prime number greater than that of metrics
                yield number, period, f"{start}", hour, labels, count, f"{count}", last_at
