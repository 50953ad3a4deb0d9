"""What the benchmarks of timers and of unique counts share: a fold and an aggregation of one kind, and their times.

All times are processor time, because other work on the machine changes it less; an aggregation's includes that of the
database servers. Its items are single events, as requests write them.
"""

import statistics
from collections import deque
from datetime import UTC
from time import process_time

from app_metrics.core.batch import Fold
from app_metrics.core.periods import HOUR
from app_metrics.core.summary import to_item_sketches
from app_metrics.models import Item, Total

from . import aggregation, items, runner, server_pids, work
from .machine import cpu_seconds
from .runner import expect, fact, number

SHAPES = (items.Shape(10, 1), items.Shape(1_000, 10))  # 10 and 10,000 keys
FOLDS = 5  # in a row


def fold(kind, numbers, counted=None):
    """Return the seconds of a number in a fold, including those to encode its sketches.

    `counted` returns how many of the numbers are in the sketch of a summary.
    """
    folds = [deque(("export", kind, "{}", each, 1_780_257_600.5) for each in numbers) for _ in range(FOLDS)]
    begin = process_time()
    for entries in folds:
        done = Fold(UTC, 100)
        done.drain(entries)
        done.settle()
        for summary in done.summaries.values():
            to_item_sketches(summary)
    seconds = process_time() - begin
    (summary,) = done.summaries.values()
    expect(f"{kind}s, folded", summary.count, len(numbers))
    if counted:
        expect(f"{kind}s, in the sketch", counted(summary), len(numbers))
    return seconds / FOLDS / len(numbers)


def added(measured):
    """Return the median of the seconds that the subject took longer than the reference."""
    pairs = zip(measured.values(), measured.values(who=measured.reference), strict=True)
    return statistics.median(mine - others for mine, others in pairs)


def added_text(measured):
    return f"{added(measured) * 1e6:+.2f} µs"


def folds_table(title, case, repeats):
    columns = [
        *(runner.name("fold"), number("µs", digits=2), ("beside", lambda each: each.reference)),
        number("µs", who=lambda each: each.reference, digits=2),
        *(*runner.ratio(), ("added", added_text)),
        *([runner.AT_MOST] if case.limit else []),
    ]
    return runner.Table(title, columns, runner.measure([case], repeats))


def aggregate(alias, shape, size, rows, sketch="", counted=None):
    """Return the measurements of an aggregation of items that repeat rows, and the mean size of a sketch of an hour.

    `counted` returns how many events of an hour the bytes of its sketch account for.
    """
    items.prepare(alias, shape, rows)
    items.fill(alias, shape, size)
    with work.processes(alias) as pool:
        before = cpu_seconds(*server_pids)
        report = pool.submit(work.aggregate, alias).result()
        report["cpu"] += cpu_seconds(*server_pids) - before
    expect(f"{alias}, aggregated items", (report["items"], Item.objects.count()), (size, 0))
    hours = list(Total.objects.filter(period=HOUR).values_list("count", *([sketch] if sketch else [])))
    expect(f"{alias}, hours and their events", (len(hours), sum(count for count, *_ in hours)), (shape.keys, size))
    sketches = [data for _, *rest in hours for data in rest]
    if counted:
        expect(f"{alias}, events in sketches", sum(map(counted, sketches)), size)
    report["bytes"] = statistics.mean(map(len, sketches)) if sketches else 0
    aggregation.forget()
    return report


def aggregations_table(title, measured, sketch):
    columns = [
        *(fact("database"), fact("items", text="{:,}"), fact("keys", text="{:,}"), number("CPU, s", "cpu")),
        ("beside", lambda each: each.reference),
        number("CPU, s", "cpu", who=lambda each: each.reference),
        *runner.ratio(),
        *([runner.AT_MOST] if any(each.case.limit for each in measured) else []),
        number(f"bytes a {sketch}", "bytes"),
    ]
    return runner.Table(title, columns, measured)
