"""What the histograms of timers cost beside gauges, which have none: in the fold of a scope, and in an aggregation.

All times are processor time, because other work on the machine changes it less; an aggregation's includes that of the
database servers. Its items are single numbers, as requests write them.
"""

import statistics
from datetime import UTC
from functools import partial
from random import Random
from time import process_time

from app_metrics.core.batch import Fold
from app_metrics.core.histogram import Histogram
from app_metrics.core.periods import HOUR
from app_metrics.core.summary import COUNTER, GAUGE, TIMER, to_item_sketches
from app_metrics.models import Item, Total

from . import aggregation, items, runner, server_pids, work
from .machine import cpu_seconds
from .runner import Case, Limit, Subject, expect, fact, number

SHAPES = ((10, 1), (1_000, 10))  # 10 and 10,000 keys
RATIO = 1.3
VALUES = 1_000  # of a fold
FOLDS = 5  # in a row
ADDED = 0.25e-6  # seconds a value


def tables(scale):
    yield folds(scale.of(2, 61, 201))
    measured = []
    for kind in ("sqlite", *runner.available("postgresql", "mariadb", "mysql")):
        with runner.database(kind) as alias:
            for shape in map(items.Shape._make, SHAPES):
                measured += aggregated(alias, shape, scale.of(10_000, 100_000, 1_000_000), scale.of(1, 5, 5))
    yield aggregations(measured)


def folds(repeats):
    """Fold numbers of a timer beside those of a gauge and of a counter."""
    chance = Random(1)
    numbers = [chance.lognormvariate(-2, 1) for _ in range(VALUES)]
    subjects = {kind: Subject(partial(fold, kind, numbers)) for kind in (TIMER, GAUGE)}
    subjects[COUNTER] = Subject(partial(fold, COUNTER, [1] * VALUES))
    most = Limit(f"+{ADDED * 1e6:g} µs", added_text, lambda each: added(each) <= ADDED, "folding a number of a timer")
    case = Case("a timer", subjects.pop(TIMER), subjects, most)
    columns = [
        *(runner.name("fold"), number("µs", digits=2), ("beside", lambda each: each.reference)),
        number("µs", who=lambda each: each.reference, digits=2),
        *(*runner.ratio(), ("added", added_text), runner.AT_MOST),
    ]
    return runner.Table(f"A number of {VALUES:,} in a fold", columns, runner.measure([case], repeats))


def fold(kind, numbers):
    """Return the seconds of a number in a fold, including those to encode its sketches."""
    begin = process_time()
    for _ in range(FOLDS):
        done = Fold(UTC, 100)
        for each in numbers:
            done.add(("export", kind, "{}", each, 1_780_257_600.5))
        done.settle()
        for summary in done.summaries.values():
            to_item_sketches(summary)
    seconds = process_time() - begin
    (summary,) = done.summaries.values()
    expect(f"{kind}s, folded", summary.count, len(numbers))
    if kind == TIMER:
        expect("timers, in the histogram", summary.histogram.count, len(numbers))
    return seconds / FOLDS / len(numbers)


def added(measured):
    """Return the median of the seconds that the subject took longer than the reference."""
    pairs = zip(measured.values(), measured.values(who=measured.reference), strict=True)
    return statistics.median(mine - others for mine, others in pairs)


def added_text(measured):
    return f"{added(measured) * 1e6:+.2f} µs"


def aggregated(alias, shape, size, repeats):
    """Aggregate items of timers beside items of gauges with the same numbers."""
    kind = "sqlite" if alias == "default" else alias
    case = Case(
        f"aggregating {size:,} numbers of timers of {shape.keys:,} keys, {kind}",
        Subject(partial(aggregate, alias, shape, size, TIMER)),
        {"gauges": Subject(partial(aggregate, alias, shape, size, GAUGE))},
        runner.at_most(RATIO),
        key="cpu",
        facts={"database": kind, "items": size, "keys": shape.keys},
    )
    return runner.measure([case], repeats, warm=0)


def aggregate(alias, shape, size, kind):
    """Return the measurements of an aggregation; raise AssertionError unless the totals have all numbers."""
    items.prepare(alias, shape, kind)
    items.fill(alias, shape, size)
    with work.processes(alias) as pool:
        before = cpu_seconds(*server_pids)
        report = pool.submit(work.aggregate, alias).result()
        report["cpu"] += cpu_seconds(*server_pids) - before
    expect(f"{alias}, aggregated items", (report["items"], Item.objects.count()), (size, 0))
    hours = Total.objects.filter(period=HOUR).values_list("count", "histogram")
    found = [(count, data) for count, data in hours if kind == GAUGE or Histogram.decode(data).count == count]
    expect(f"{alias}, hours and their numbers", (len(found), sum(count for count, _ in found)), (shape.keys, size))
    report["bytes"] = statistics.mean(len(data or b"") for _, data in found)
    aggregation.forget()
    return report


def aggregations(measured):
    columns = [
        *(fact("database"), fact("items", text="{:,}"), fact("keys", text="{:,}"), number("CPU, s", "cpu")),
        ("beside", lambda each: each.reference),
        number("CPU, s", "cpu", who=lambda each: each.reference),
        *(*runner.ratio(), runner.AT_MOST, number("bytes a histogram", "bytes")),
    ]
    return runner.Table("An aggregation of timers, and of gauges", columns, measured)
