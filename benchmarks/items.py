"""A realistic item log: fill it, compute its sums, and drain it by hand.

Every tenth metric is a timer with nine decimal places and every tenth a gauge; the others are counters. Half of the
metrics have labels. Times ascend with the ids, as they do when requests write.
"""

from datetime import date
from decimal import Decimal
from random import Random
from typing import NamedTuple

from django.db import connections, transaction

from app_metrics.core.batch import new_batch_id
from app_metrics.core.hashing import hash_of
from app_metrics.core.labels import encode_labels
from app_metrics.core.sketches import UNIQUES
from app_metrics.core.summary import NAMES, UNIQUE, Summary, merge_into
from app_metrics.models import Total
from tests.support.summaries import seen, summary_of

PATTERN = 10_000  # distinct rows, which the log repeats
DAY, BEGIN = date(2026, 5, 31), 1_780_221_600_000_000
KEYS = "slug, kind, labels"
COLUMNS = f"{KEYS}, count, total, minimum, maximum, last"
TEXTS = "slug varchar(100), kind varchar(10), labels varchar(500)"
NUMBERS = "count bigint, total {0}, minimum {0}, maximum {0}, last {0}"
IDS = {"postgresql": "(%s || suffix)::uuid", "mysql": "CONCAT(%s, suffix)", "sqlite": "%s || suffix"}
# SQLite stores numbers as text, and MIN compares text by characters.
AS_NUMBER = {"sqlite": "CAST({} AS numeric)"}
# The fastest of the usual ways to find the latest value of a group. On SQLite it takes a second query: beside a single
# max() it returns the columns of that row.
LAST = {
    "postgresql": "(array_agg(last ORDER BY last_at DESC))[1]",
    "mysql": "SUBSTRING_INDEX(GROUP_CONCAT(last ORDER BY last_at DESC), ',', 1)",
}
WITH_LAST = f"""
    SELECT day, hour, {KEYS}, count, total, minimum, maximum, latest.last, last_at FROM ({{}}) AS sums
    JOIN (SELECT {KEYS}, day, hour, last, max(last_at) FROM app_metrics_item GROUP BY {KEYS}, day, hour) AS latest
    USING ({KEYS}, day, hour)"""


class Shape(NamedTuple):
    """The number of series, and how many hours each has items in; both powers of ten."""

    series: int
    hours: int

    @property
    def keys(self):
        return self.series * self.hours


def pattern(series):
    """Yield the slug, kind, labels and numbers of each row."""
    for number in range(PATTERN):
        metric, labels = series_of(number, series)
        kind = {9: "timer", 8: "gauge"}.get(metric % 10, "counter")
        if kind == "timer":
            numbers = (Decimal(number * 1_234_567 + 1) / 10**9, Decimal(number * 89 + 2) / 10**9)
        elif kind == "gauge":
            numbers = (Decimal(number % 97),)
        else:
            numbers = (1,) if number % 3 else (1, 2, 1)
        yield f"slug-{metric}", kind, labels, summary_of(*numbers)


def series_of(number, series):
    """Return the number of the metric, and the labels, of a row."""
    metric, part = number % series % 50, number % series // 50
    return metric, encode_labels({"plan": f"plan-{part}"} if metric % 2 else {"n": str(part)} if part else {})


def single_numbers(series, kind):
    """Yield rows of one kind like those of `pattern`, each of a single number, as durations are distributed."""
    chance = Random(1)
    for number in range(PATTERN):
        metric, labels = series_of(number, series)
        yield f"slug-{metric}", kind, labels, summary_of(Decimal(f"{chance.lognormvariate(-2, 1):.9f}"))


def single_events(series, kind):
    """Yield rows of one kind like those of `pattern`, each of a single event; each is of somebody else if it counts."""
    for number in range(PATTERN):
        metric, labels = series_of(number, series)
        yield f"slug-{metric}", kind, labels, seen(hash_of(number)) if kind == UNIQUE else summary_of(1)


def prepare(alias, shape, rows=None):
    """Create the reference's table, and one with the pattern of the log, or with other rows."""
    pattern_of = pattern(shape.series) if rows is None else rows
    connection, sketch = connections[alias], Total._meta.get_field(UNIQUES)
    number, stored = ("numeric", "text") if connection.vendor == "sqlite" else ("numeric(38, 9)",) * 2
    keys = f"uniques {sketch.db_type(connection)}, PRIMARY KEY (place)"
    rows = [
        (
            *(place, f"{place:012x}", *texts, summary.count, *(f"{value:f}" for value in map(Decimal, summary[1:5]))),
            summary.uniques and sketch.get_db_prep_value(summary.uniques.encode(), connection),
        )
        for place, (*texts, summary) in enumerate(pattern_of)
    ]
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        for table, before, number_type, after in [
            ("by_hand", "day date, hour smallint", number, "last_at bigint"),
            ("pattern", "place integer, suffix char(12)", stored, keys),
        ]:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(f"CREATE TABLE {table} ({before}, {TEXTS}, {NUMBERS.format(number_type)}, {after})")
        cursor.executemany(f"INSERT INTO pattern VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)


def fill(alias, shape, items):
    """Fill the log with a multiple of PATTERN, in fresh tables, so that no run pays for the one before."""
    vendor, step = connections[alias].vendor, min(PATTERN, items // shape.hours)
    with connections[alias].cursor() as cursor:
        for table in ("app_metrics_item", "by_hand"):
            cursor.execute(f"{'DELETE FROM' if vendor == 'sqlite' else 'TRUNCATE'} {table}")
        with transaction.atomic(using=alias):
            for first in range(0, items, step):
                place, hour = first % PATTERN, 10 + first * shape.hours // items
                if not place:
                    prefix = new_batch_id().hex[:20]
                cursor.execute(
                    f"""INSERT INTO app_metrics_item (id, day, hour, last_at, {COLUMNS}, uniques)
                    SELECT {IDS[vendor]}, DATE(%s), %s, %s + place, {COLUMNS}, uniques FROM pattern
                    WHERE place >= %s AND place < %s ORDER BY place""",
                    [prefix, DAY.isoformat(), hour, BEGIN + first - place, place, place + step],
                )
        if vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE app_metrics_item, app_metrics_total")
            cursor.execute("CHECKPOINT")


def expected(shape, items):
    """Return a log's count, total, minimum, maximum and last value, by slug and labels."""
    times = items // PATTERN
    sums = folded(((slug, labels), summary) for slug, _, labels, summary in pattern(shape.series))
    return {key: (count * times, total * times, *others) for key, (count, total, *others) in sums.items()}


def found(period):
    """Return the same of the totals of one period."""
    totals = Total.objects.filter(period=period).order_by("start", "hour")
    rows = totals.values_list("metric__slug", "labels", *NAMES)
    return folded(((slug, labels), Summary(*values)) for slug, labels, *values in rows)


def folded(rows):
    summaries = {}
    for key, summary in rows:
        merge_into(summaries, key, summary)
    return {key: summary[:5] for key, summary in summaries.items()}


def drain_by_hand(alias, *, last=False):
    """Drain the log by hand, in one transaction: group it by key into a plain table, and delete it.

    This makes no totals for days and longer periods, looks up no metrics, and checks nothing. It finds the `last`
    values only on request. On SQLite it adds floats.
    """
    vendor = connections[alias].vendor
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        if vendor == "mysql":
            cursor.execute("SET SESSION group_concat_max_len = 4294967295")  # by default 1 KiB on MySQL
        cursor.execute(f"INSERT INTO by_hand {grouped_by_hand(vendor, last)}")
        cursor.execute("DELETE FROM app_metrics_item")


def grouped_by_hand(vendor, last):
    total, least, most = (AS_NUMBER.get(vendor, "{}").format(name) for name in ("total", "minimum", "maximum"))
    sums = f"""
        SELECT day, hour, {KEYS}, sum(count) AS count, sum({total}) AS total, min({least}) AS minimum,
            max({most}) AS maximum, {LAST.get(vendor, "NULL") if last else "NULL"} AS last, max(last_at) AS last_at
        FROM app_metrics_item GROUP BY {KEYS}, day, hour"""
    return WITH_LAST.format(sums) if last and vendor not in LAST else sums


def found_by_hand(alias, *, last=False):
    """Return the reference's sums rounded, by slug and labels, with the last values if it found them."""
    with connections[alias].cursor() as cursor:
        names = "slug, labels, count, total, minimum, maximum, last, last_at"
        cursor.execute(f"SELECT {names} FROM by_hand ORDER BY day, hour")
        sums = folded(((slug, labels), Summary(*map(as_decimal, values))) for slug, labels, *values in cursor)
    return rounded(sums, last=last)


def as_decimal(number):
    return Decimal(str(number)) if isinstance(number, float) else number


def rounded(sums, *, last):
    """Return sums as floats in thousandths, because SQLite adds floats; without the last values unless wanted."""
    return {key: tuple(round(float(each), 3) for each in row[: 5 if last else 4]) for key, row in sums.items()}
