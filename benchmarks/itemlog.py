"""An item log that looks like a real one: how it is filled, what it adds up to, and how one would drain it by hand.

Every tenth metric is a timer with nine decimal places and every tenth a gauge, the others are counters; half of the
metrics have labels. Times ascend with the ids, as they do where requests write.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connections, transaction

from app_metrics.core.batch import new_batch_id
from app_metrics.core.labels import encode_labels
from app_metrics.core.summary import Summary, merge

# What the log repeats: so many different rows.
PATTERN = 10_000
DAY = date(2026, 5, 31)
BEGIN = 1_780_221_600_000_000
COLUMNS = ("slug", "kind", "labels", "count", "total", "minimum", "maximum", "last")


class Shape(NamedTuple):
    """How many series there are, each with its items in so many hours."""

    series: int
    hours: int

    @property
    def keys(self) -> int:
        return self.series * self.hours

    @property
    def table(self) -> str:
        return f"pattern_{self.series}"


# What the totals of one period hold of a series: the summary without the time of its last value.
Found = tuple[int, Decimal, Decimal, Decimal, Decimal]

# Numbers from 0, so many.
NUMBERS = {
    "postgresql": "generate_series(0, %s - 1) AS numbers(number)",
    "mysql": "(SELECT seq AS number FROM seq_0_to_100000000 LIMIT %s) AS numbers",
    "sqlite": """(
        WITH RECURSIVE up(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM up)
        SELECT number FROM up LIMIT %s) AS numbers""",
}
IDS = {
    "postgresql": "(%s || lpad(to_hex(number), 12, '0'))::uuid",
    "mysql": "CONCAT(%s, LPAD(HEX(number), 12, '0'))",
    "sqlite": "%s || printf('%%012x', number)",
}
DATES = {"postgresql": f"date '{DAY}'", "mysql": f"'{DAY}'", "sqlite": f"'{DAY}'"}
EMPTY = {"postgresql": "TRUNCATE", "mysql": "TRUNCATE", "sqlite": "DELETE FROM"}
DIVIDE = {"postgresql": "/", "mysql": "DIV", "sqlite": "/"}
CREATE_BY_HAND = """
    CREATE TABLE by_hand (slug varchar(100), kind varchar(10), labels varchar(500), day date, hour smallint,
        count bigint, total {number}, minimum {number}, maximum {number}, last {number},
        last_at bigint)"""
# The only database that says plainly which value is the latest, though not fast.
LAST = {"postgresql": "(array_agg(last ORDER BY last_at DESC))[1]"}
# SQLite keeps the numbers as text, which must be made numbers before the smallest is looked for.
NUMBER = {"postgresql": "{}", "mysql": "{}", "sqlite": "CAST({} AS numeric)"}


def pattern(series: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that the log repeats, without what a row has of its own: its id, hour and time."""
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


def prepare(alias: str, *shapes: Shape) -> None:
    """Create the table that the reference fills, and one for each shape with what the log repeats."""
    connection = connections[alias]
    number = "numeric" if connection.vendor == "sqlite" else "numeric(38, 9)"
    stored = "text" if connection.vendor == "sqlite" else number
    texts = "slug varchar(100), kind varchar(10), labels varchar(500)"
    numbers = ", ".join(f"{name} {stored}" for name in COLUMNS[4:])
    with connection.cursor() as cursor:
        cursor.execute(CREATE_BY_HAND.format(number=number))
        for shape in shapes:
            cursor.execute(f"CREATE TABLE {shape.table} (place integer PRIMARY KEY, {texts}, count bigint, {numbers})")
            cursor.executemany(
                f"INSERT INTO {shape.table} VALUES ({', '.join(['%s'] * (len(COLUMNS) + 1))})",
                [(place, *map(_plain, row)) for place, row in enumerate(pattern(shape.series))],
            )


def fill(alias: str, shape: Shape, items: int) -> None:
    """Fill the log with a multiple of PATTERN, in tables as good as new, so that nobody pays for what ran before."""
    connection = connections[alias]
    vendor = connection.vendor
    names = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        for table in ("app_metrics_item", "by_hand"):
            cursor.execute(f"{EMPTY[vendor]} {table}")
        cursor.execute(
            f"""
            INSERT INTO app_metrics_item (id, day, hour, last_at, {names})
            SELECT {IDS[vendor]}, {DATES[vendor]}, 10 + number * {shape.hours} {DIVIDE[vendor]} {items},
                {BEGIN} + number, {names}
            FROM {NUMBERS[vendor]} JOIN {shape.table} ON place = number %% {PATTERN}""",
            [new_batch_id().hex[:20], items],
        )
        if vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE app_metrics_item, app_metrics_total")
            cursor.execute("CHECKPOINT")


def _plain(value: Any) -> Any:
    """Return a number as the app stores it."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def expected(shape: Shape, items: int) -> dict[tuple[str, str], Found]:
    """Return what a log adds up to, by slug and labels."""
    folded: dict[tuple[str, str], Summary] = {}
    for slug, _, labels, *numbers in pattern(shape.series):
        summary = Summary(*numbers, 0)
        before = folded.get((slug, labels))
        folded[slug, labels] = merge(before, summary) if before else summary
    times = items // PATTERN
    return {
        key: (count * times, total * times, minimum, maximum, last)
        for key, (count, total, minimum, maximum, last, _) in folded.items()
    }


def by_hand(alias: str, *, last: bool = False) -> None:
    """Drain the log as somebody would by hand, in one transaction that nobody else writes to meanwhile.

    It groups the log by all that a total is told apart by into a plain table, and deletes it. It finds the `last`
    values only if told to, on PostgreSQL, makes no totals of days and longer periods, looks up no metrics, checks
    nothing, and holds one transaction open throughout. On SQLite it adds floats.
    """
    connection = connections[alias]
    number = NUMBER[connection.vendor].format
    latest = LAST[connection.vendor] if last else "NULL"
    keys = "slug, kind, labels, day, hour"
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(f"""
            INSERT INTO by_hand
            SELECT {keys}, sum(count), sum({number("total")}), min({number("minimum")}), max({number("maximum")}),
                {latest}, max(last_at)
            FROM app_metrics_item GROUP BY {keys}""")
        cursor.execute("DELETE FROM app_metrics_item")


def found_by_hand(alias: str) -> dict[tuple[str, str], Any]:
    """Return what the reference made, by slug and labels, and empty its table."""
    sums: dict[tuple[str, str], Any] = {}
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT slug, labels, sum(count), sum(total), min(minimum), max(maximum) FROM by_hand GROUP BY slug, labels"
        )
        for slug, labels, count, *numbers in cursor.fetchall():
            sums[slug, labels] = (int(count), *map(float, numbers))
        cursor.execute("DELETE FROM by_hand")
    return sums


def found(period: str) -> dict[tuple[str, str], Found]:
    """Return what the totals of one period hold, by slug and labels."""
    from app_metrics.models import Total

    folded: dict[tuple[str, str], Summary] = {}
    rows = (
        Total.objects.filter(period=period)
        .order_by("start", "hour")
        .values_list("metric__slug", "labels", *Summary._fields)
    )
    for slug, labels, *values in rows:
        summary = Summary(*values)
        before = folded.get((slug, labels))
        folded[slug, labels] = merge(before, summary) if before else summary
    return {key: summary[:5] for key, summary in folded.items()}
