"""What the sketches of unique counts cost beside counters and gauges, which have none.

In the fold of a scope and in an aggregation, which `benchmarks.sketches` explains, and when the days of a month are
read.
"""

from datetime import date, timedelta
from functools import partial
from time import process_time

from app_metrics.core.hashing import hash_of
from app_metrics.core.periods import DAY
from app_metrics.core.summary import COUNTER, GAUGE, NAMES, UNIQUE, headline
from app_metrics.core.uniques import STANDARD_ERROR, Uniques
from app_metrics.models import Metric, Total
from app_metrics.models.queries import QuerySources, fold_together, point_headline
from tests.support.summaries import seen

from . import items, runner
from .runner import Case, Subject, expect, number
from .sketches import SHAPES, aggregate, aggregations_table, fold, folds_table

VALUES = 1_000  # of a fold
KINDS = (UNIQUE, COUNTER)
FIRST, DAYS = date(2026, 5, 1), 30
USERS = (100, 1_000, 10_000)  # of a day; the last ones are registers
READS = 5  # in a row


def tables(scale):
    yield folds(scale.of(2, 61, 201))
    measured = []
    for kind in ("sqlite", *runner.available("postgresql", "mariadb", "mysql")):
        with runner.database(kind) as alias:
            for shape in SHAPES:
                measured += aggregated(alias, shape, scale.of(10_000, 50_000, 1_000_000), scale.of(1, 3, 5))
    yield aggregations_table("An aggregation of unique counts, and of counters", measured, "sketch")
    with runner.database("sqlite"):
        cases = [case for users in scale.of(USERS[:1], USERS, USERS) for case in month(users)]
        yield months(runner.measure(cases, scale.of(1, 31, 101)))


def folds(repeats):
    """Fold events of different users beside those of a counter and of a gauge."""
    hashes = [hash_of(user) for user in range(VALUES)]
    case = Case(
        "a unique count",
        Subject(partial(fold, UNIQUE, hashes, lambda summary: summary.uniques.count)),
        {kind: Subject(partial(fold, kind, [1] * VALUES)) for kind in (COUNTER, GAUGE)},
    )
    return folds_table(f"An event of {VALUES:,} in a fold", case, repeats)


def aggregated(alias, shape, size, repeats):
    """Aggregate items of unique counts, of different users, beside as many of counters."""
    # The same users come again in each repetition of the rows in an hour.
    again = max(1, size // shape.hours // items.PATTERN)

    def run(kind, *sketch):
        return Subject(lambda: aggregate(alias, shape, size, items.single_events(shape.series, kind), *sketch))

    database = "sqlite" if alias == "default" else alias
    case = Case(
        f"aggregating {size:,} events of unique counts of {shape.keys:,} keys, {database}",
        run(UNIQUE, "uniques", lambda data: Uniques.decode(data).count * again),
        {"counters": run(COUNTER)},
        key="cpu",
        facts={"database": database, "items": size, "keys": shape.keys},
    )
    return runner.measure([case], repeats, warm=0)


def month(users):
    """Store the days of a month for a unique count and a counter; return the cases that read them.

    Each day has so many users, of whom half came the day before, too.
    """
    metrics = [Metric.objects.create(name=f"{kind} {users}", slug=f"{kind}-{users}", kind=kind) for kind in KINDS]
    for day in range(DAYS):
        begin = day * users // 2
        summary = seen(*map(hash_of, range(begin, begin + users)))
        for metric in metrics:
            store(metric, FIRST + timedelta(days=day), summary)
    unique, counter = metrics
    facts = {"bytes": len(summary.uniques.encode())}
    return [
        Case(
            f"{what}, {users:,} users a day",
            Subject(partial(timed, partial(read, unique), distinct)),
            {"a counter": Subject(partial(timed, partial(read, counter), events))},
            facts=facts,
        )
        for what, read, distinct, events in (
            ("each of 30 days", each_day, users, users),
            ("30 days together", together, users * (DAYS + 1) // 2, users * DAYS),
        )
    ]


def store(metric, day, summary):
    values = dict(zip(NAMES, summary, strict=False))
    uniques = summary.uniques.encode() if metric.kind == UNIQUE else None
    Total.objects.create(metric=metric, labels="{}", period=DAY, start=day, hour=0, **values, uniques=uniques)


def each_day(metric):
    points = metric.series(DAY, FIRST, FIRST + timedelta(days=DAYS - 1))
    return [point_headline(metric.kind, point) for point in points]


def together(metric):
    month = [(DAY, FIRST + timedelta(days=day), 0) for day in range(DAYS)]
    (summary,) = fold_together(QuerySources.of([metric]), {"month": month}).values()
    return [headline(metric.kind, summary)]


def timed(read, expected):
    """Return the seconds of a reading; raise AssertionError if it is not what is expected, or estimated far off."""
    begin = process_time()
    for _ in range(READS):
        found = read()
    seconds = process_time() - begin
    far = [number for number in found if abs(number - expected) > 5 * STANDARD_ERROR * expected]
    expect("numbers that were read wrongly", far, [])
    return seconds / READS


def months(measured):
    columns = [
        *(runner.name("read"), runner.fact("bytes a day", "bytes", "{:,}"), number("ms", digits=2)),
        ("beside", lambda each: each.reference),
        number("ms", who=lambda each: each.reference, digits=2),
        *runner.ratio("{:.1f}"),
    ]
    return runner.Table("A reading of 30 days of one label set (SQLite)", columns, measured)
