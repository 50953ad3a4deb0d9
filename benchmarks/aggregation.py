"""Time an aggregation beside a hand-written GROUP BY and DELETE, and measure how long it makes writers wait.

Each aggregation runs in its own process, to measure its memory. The sums of both must match the inserted items.
"""

import math
import statistics
import time
from functools import partial

from django.db.models import Sum

from app_metrics.core.periods import HOUR, PERIODS
from app_metrics.models import Item, Metric, Total
from app_metrics.transport.loading import load_backend

from . import items, runner, work
from .runner import Case, Limit, Scale, Subject, expect, fact, number

# The ratio to hold by series and hours per series, that is for 10 and 10,000 keys.
LIMITS = {(10, 1): 1.5, (1_000, 10): 3}
MILLION = 1_000_000
# Limits for ten million items against one million: the ratio of times, and the growth of memory in MiB.
LONGER, GROWN = 12, 20
BY_HAND, WITH_LAST = "by hand", "by hand with last"
WRITERS = 4


def tables(scale):
    sizes = scale.of([10_000], [10_000, 100_000], [10_000, 100_000, MILLION, 10 * MILLION])
    judged = scale.of(10_000, 100_000, MILLION)
    measured, growth, beside = [], [], []
    for kind in ("sqlite", *runner.available("postgresql", "mariadb", "mysql")):
        with runner.database(kind) as alias:
            for shape in map(items.Shape._make, LIMITS):
                items.prepare(alias, shape)
                found = [each for size in sizes for each in aggregated(alias, shape, size, size == judged, scale)]
                measured += found
                if scale is Scale.FULL:
                    growth.append(grown(*[each for each in found if each.reference == BY_HAND][-2:]))
            if scale is Scale.FULL:
                whens = [Case(f"{kind}, {when}", Subject(partial(waits, alias, when))) for when in ("alone", "beside")]
                beside += runner.measure(whens, 1, warm=0)
    yield aggregations(measured, growth)
    if beside:
        columns = [runner.name("writers"), number("writes", "writes")]
        columns += [number(f"{key}, ms", key) for key in ("median", "p99", "longest")]
        title = f"What {WRITERS} writers wait, alone and beside an aggregation of {MILLION:,} items"
        yield runner.Table(title, columns, beside)


def aggregations(measured, growth):
    columns = [
        *(fact("database"), fact("items", text="{:,}"), fact("keys", text="{:,}"), number("s")),
        ("items/s", lambda each: f"{each.case.facts['items'] / each.median():,.0f}"),
        *(("beside", lambda each: each.reference), runner.reference("s"), *runner.ratio(), runner.AT_MOST),
        *(number("statements", "statements"), number("MiB", "memory")),
    ]
    return runner.Table("An aggregation, and by hand", columns, measured, measured + growth)


def aggregated(alias, shape, size, is_judged, scale):
    """Fill the log and aggregate it, then fill it again and drain it by hand, in as many ways as are judged."""
    kind, sums = "sqlite" if alias == "default" else alias, items.expected(shape, size)
    references = {BY_HAND: Subject(partial(by_hand, alias, shape, size, sums, last=False))}
    if is_judged:
        references = {WITH_LAST: Subject(partial(by_hand, alias, shape, size, sums, last=True)), **references}
    limit = runner.at_most(LIMITS[shape], against=f"{next(iter(references))}, GROUP BY and DELETE")
    case = Case(
        f"aggregating {size:,} items of {shape.keys:,} keys, {kind}",
        Subject(partial(aggregate, alias, shape, size, sums)),
        references,
        limit if is_judged else None,
        facts={"database": kind, "items": size, "keys": shape.keys},
    )
    return runner.measure([case], scale.of(1, 3, max(1, min(3, 3 * MILLION // size))), warm=0)


def aggregate(alias, shape, size, sums):
    """Return a process's measurements; raise AssertionError unless the totals match the inserted items."""
    items.fill(alias, shape, size)
    with work.processes(alias) as pool:
        report = pool.submit(work.aggregate, alias).result()
    expect(f"{alias}, aggregated items", (report["items"], Item.objects.count()), (size, 0))
    expect(f"{alias}, hours", Total.objects.filter(period=HOUR).count(), shape.keys)
    for period in PERIODS:
        check(f"{alias}, {period}", items.found(period), sums)
    forget()
    return report


def by_hand(alias, shape, size, sums, *, last):
    items.fill(alias, shape, size)
    seconds = runner.clock(partial(items.drain_by_hand, alias, last=last))
    check(f"{alias}, by hand", items.found_by_hand(alias, last=last), items.rounded(sums, last=last))
    return seconds


def check(what, found, expected):
    """Raise AssertionError that names the first wrong key."""
    for key in {**expected, **found}:
        expect(f"{what}, {key}", found.get(key), expected.get(key))


def grown(small, large):
    """Compare the time and memory for ten million items with those for one million."""
    longer, more = large.median() / small.median(), large.median("memory") - small.median("memory")
    text, met = f"{longer:.1f}× as long, {more:+.0f} MiB", longer <= LONGER and more <= GROWN
    limit = Limit(f"{LONGER}×, +{GROWN} MiB", lambda _: text, lambda _: met, against=f"{MILLION:,} items")
    return runner.Measured(large.case._replace(limit=limit, references={}), "", {})


def waits(alias, when, size=MILLION, seconds=20):
    """Return how long writers waited: over the whole time, or while a backlog was aggregated beside them."""
    shape = items.Shape(*next(iter(LIMITS)))
    items.prepare(alias, shape)
    items.fill(alias, shape, size)
    with work.processes(alias) as pool:
        running = [pool.submit(work.write, seconds) for _ in range(WRITERS)]
        time.sleep(min(2, seconds / 2))  # let the writers get under way
        report = {"begun": 0, "ended": math.inf}
        if when == "beside":
            report = pool.submit(work.aggregate, alias).result()
        writes = [each for writer in running for each in writer.result()]
    check_events(alias, items.DAY, sum(row[0] for row in items.expected(shape, size).values()))
    check_events(alias, work.DAY, len(writes) * work.SLUGS * work.EVENTS)
    forget()
    found = sorted(wait for begun, wait in writes if report["begun"] <= begun <= report["ended"])
    numbers = {"median": statistics.median(found), "p99": found[int(len(found) * 0.99)], "longest": found[-1]}
    return {"writes": len(found), **numbers}


def check_events(alias, day, expected):
    """Raise AssertionError unless the log and the totals hold this many events of a date."""
    load_backend("app_metrics.backends.db").drain()  # SQLite's journal
    counted = (Item.objects.filter(day=day), Total.objects.filter(period=HOUR, start=day))
    expect(f"{alias}, {day}", sum(rows.aggregate(events=Sum("count"))["events"] or 0 for rows in counted), expected)


def forget():
    Total.objects.all().delete()
    Metric.objects.all().delete()
