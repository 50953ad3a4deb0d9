"""A realistic item log: fill it, compute its sums, and drain it by hand.

Every tenth metric is a timer with nine decimal places and every tenth a gauge; the others are counters. Half of the
metrics have labels. Times ascend with the ids, as they do when requests write.
"""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db import connections, transaction

from app_metrics.core.batch import new_batch_id
from app_metrics.core.labels import encode_labels
from app_metrics.core.summary import Summary, merge
from app_metrics.models import Total

PATTERN = 10_000  # distinct rows, which the log repeats
DAY, BEGIN = date(2026, 5, 31), 1_780_221_600_000_000
COLUMNS = ("slug", "kind", "labels", "count", "total", "minimum", "maximum", "last")
IDS = {"postgresql": "(%s || suffix)::uuid", "mysql": "CONCAT(%s, suffix)", "sqlite": "%s || suffix"}
# The types of the reference's numbers and of the pattern's. SQLite stores numbers as text, and MIN compares text by
# characters.
NUMBERS = {"sqlite": ("numeric", "text"), **dict.fromkeys(("postgresql", "mysql"), ("numeric(38, 9)",) * 2)}
NUMBER = {"postgresql": "{}", "mysql": "{}", "sqlite": "CAST({} AS numeric)"}
# Only PostgreSQL can find the latest value with an aggregate function.
LAST = {"postgresql": "(array_agg(last ORDER BY last_at DESC))[1]"}


class Shape(NamedTuple):
    """The number of series, and how many hours each has items in; both powers of ten."""

    series: int
    hours: int

    @property
    def keys(self):
        return self.series * self.hours


def pattern(series):
    for number in range(PATTERN):
        metric, part = number % series % 50, number % series // 50
        labels = encode_labels({"plan": f"plan-{part}"}) if metric % 2 else "{}" if not part else f'{{"n":"{part}"}}'
        if metric % 10 == 9:
            first, second = Decimal(number * 1_234_567 + 1) / 10**9, Decimal(number * 89 + 2) / 10**9
            numbers = (2, first + second, second, first, second)
        elif metric % 10 == 8:
            numbers = (1, *[Decimal(number % 97)] * 4)
        else:
            count = 1 if number % 3 else 3
            numbers = (count, Decimal(2 * count - 1), Decimal(1), Decimal(min(2, count)), Decimal(1))
        kind = {9: "timer", 8: "gauge"}.get(metric % 10, "counter")
        yield (f"slug-{metric}", kind, labels, *numbers)


def prepare(alias, shape):
    """Create the reference's table, and one with the pattern of the log."""
    number, stored = NUMBERS[connections[alias].vendor]
    texts = "slug varchar(100), kind varchar(10), labels varchar(500)"
    numbers = "count bigint, total {0}, minimum {0}, maximum {0}, last {0}".format
    rows = [
        (place, f"{place:012x}", *(f"{value:f}" if isinstance(value, Decimal) else value for value in row))
        for place, row in enumerate(pattern(shape.series))
    ]
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        for table in ("by_hand", "pattern"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"CREATE TABLE by_hand ({texts}, day date, hour smallint, {numbers(number)}, last_at bigint)")
        cursor.execute(f"CREATE TABLE pattern (place integer PRIMARY KEY, suffix char(12), {texts}, {numbers(stored)})")
        cursor.executemany(f"INSERT INTO pattern VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)


def fill(alias, shape, items):
    """Fill the log with a multiple of PATTERN, in fresh tables, so that no run pays for the one before."""
    vendor = connections[alias].vendor
    names, step = ", ".join(COLUMNS), min(PATTERN, items // shape.hours)
    with connections[alias].cursor() as cursor:
        for table in ("app_metrics_item", "by_hand"):
            cursor.execute(f"{'DELETE FROM' if vendor == 'sqlite' else 'TRUNCATE'} {table}")
        with transaction.atomic(using=alias):
            for first in range(0, items, step):
                place, hour = first % PATTERN, 10 + first * shape.hours // items
                if not place:
                    prefix = new_batch_id().hex[:20]
                cursor.execute(
                    f"""INSERT INTO app_metrics_item (id, day, hour, last_at, {names})
                    SELECT {IDS[vendor]}, DATE(%s), %s, %s + place, {names} FROM pattern
                    WHERE place >= %s AND place < %s ORDER BY place""",
                    [prefix, DAY.isoformat(), hour, BEGIN + first - place, place, place + step],
                )
        if vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE app_metrics_item, app_metrics_total")
            cursor.execute("CHECKPOINT")


def expected(shape, items):
    """Return a log's count, total, minimum, maximum and last value, by slug and labels."""
    rows = (((slug, labels), Summary(*numbers, 0)) for slug, _, labels, *numbers in pattern(shape.series))
    times = items // PATTERN
    return {key: (count * times, total * times, *others) for key, (count, total, *others) in folded(rows).items()}


def found(period):
    """Return the same of the totals of one period."""
    totals = Total.objects.filter(period=period).order_by("start", "hour")
    rows = totals.values_list("metric__slug", "labels", *Summary._fields)
    return folded(((slug, labels), Summary(*values)) for slug, labels, *values in rows)


def folded(rows):
    summaries = {}
    for key, summary in rows:
        summaries[key] = merge(summaries[key], summary) if key in summaries else summary
    return {key: summary[:5] for key, summary in summaries.items()}


def drain_by_hand(alias, *, last=False):
    """Drain the log by hand, in one transaction: group it by key into a plain table, and delete it.

    This makes no totals for days and longer periods, looks up no metrics, and checks nothing. It finds the `last`
    values only on request, on PostgreSQL. On SQLite it adds floats.
    """
    vendor, keys = connections[alias].vendor, "slug, kind, labels, day, hour"
    number = NUMBER[vendor].format
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(f"""
            INSERT INTO by_hand
            SELECT {keys}, sum(count), sum({number("total")}), min({number("minimum")}), max({number("maximum")}),
                {LAST[vendor] if last else "NULL"}, max(last_at)
            FROM app_metrics_item GROUP BY {keys}""")
        cursor.execute("DELETE FROM app_metrics_item")


def found_by_hand(alias):
    """Return the reference's sums without the last values."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT slug, labels, sum(count), sum(total), min(minimum), max(maximum) FROM by_hand GROUP BY slug, labels"
        )
        return {(slug, labels): tuple(round(float(each), 3) for each in rest) for slug, labels, *rest in cursor}
