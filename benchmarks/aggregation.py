"""How long an aggregation takes beside a GROUP BY and a DELETE written by hand, on SQLite, PostgreSQL and MariaDB.

`make bench` calls this. The item log is filled, aggregated, filled again and drained by hand, alternately; a sum that
is not what was put in makes it fail. With FULL=1 the log grows to 10,000,000 items, each aggregated in a process of its
own whose memory is measured, and the time that writers wait is measured beside an aggregation and without.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from .measuring import FULL, Result, expect, held, save, verdict
from .tables import Table

SIZES = (10_000, 100_000, 1_000_000, 10_000_000) if FULL else (10_000, 100_000)
# The ratio to hold, and how many items it is judged by.
LIMIT, JUDGED = 2, 1_000_000 if FULL else 100_000
# How many times as long ten times as many items may take, and MiB that memory may grow by.
LONGER, GROWN = 12, 20
REPEATS = 3  # fewer of the longest
# Series and hours: what makes 10 keys, and 10,000.
SHAPES = ((10, 1), (1_000, 10))
DATABASES = {"sqlite": "default", "postgresql": "postgresql", "mariadb": "mariadb"}
WRITERS = 4
SECONDS = 20  # of writing
BACKLOG = 1_000_000  # items that are aggregated beside writers


def main(*arguments: str) -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if arguments:
        role, alias, name, *rest = arguments
        from tests.support.processes import configure

        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        configure(alias, name)
        {"aggregate": aggregate_alone, "write": write}[role](alias, *rest)
        return 0
    from .writing import servers

    with servers() as missing:
        import django

        django.setup()
        found = {name: on_database(name, alias) for name, alias in DATABASES.items() if name not in missing}
    results = {name: alone for name, (alone, _) in found.items()}
    tables = [tabulated(results)]
    if FULL:
        tables.append(writers_table({name: beside for name, (_, beside) in found.items()}))
    print("\n".join(table.text() for table in tables))
    for name, reason in missing.items():
        print(f"{name}: not measured, {reason}")
    limits = [judged(name, each) for name, alone in results.items() for each in alone if each["items"] == JUDGED]
    limits += [limit for name, alone in results.items() for limit in growth(name, alone)]
    save("aggregation", tables=tables, limits=limits, results=found)
    return 0


def on_database(name: str, alias: str) -> tuple[list[Result], Result]:
    """Return what aggregations took alone, and with FULL=1 what writers waited beside one."""
    from django.db import connections
    from django.test import override_settings

    from . import itemlog

    connections[alias].creation.create_test_db(verbosity=0, autoclobber=True)
    results = []
    with override_settings(APP_METRICS_DATABASE=alias, TEST_SITE_DATABASE=alias):
        shapes = [itemlog.Shape(*each) for each in SHAPES]
        itemlog.prepare(alias, *shapes)
        for shape in shapes:
            for items in SIZES:
                results.append(compare(alias, shape, items))  # noqa: PERF401 - it takes minutes
        return results, beside_writers(alias) if FULL else {}


def compare(alias: str, shape: Any, items: int) -> dict[str, Any]:
    """Measure an aggregation of so many items, alternately with the reference, and where judged with its `last`."""
    from . import itemlog

    expected = itemlog.expected(shape, items)
    repeats = max(1, min(REPEATS, 3_000_000 // items))
    references = {"": False, "last_": True} if alias in itemlog.LAST and items == JUDGED else {"": False}
    runs = []
    for _ in range(repeats):
        itemlog.fill(alias, shape, items)
        run = in_a_process(alias, items)
        check_totals(alias, shape, expected)
        for name, last in references.items():
            run[f"{name}reference_seconds"] = drain_by_hand(alias, shape, items, expected, last=last)
            run[f"{name}ratio"] = run["seconds"] / run[f"{name}reference_seconds"]
        runs.append(run)
    result = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    for name in ("seconds", *(f"{name}ratio" for name in references)):
        result[f"{name}_from"], result[f"{name}_to"] = min(run[name] for run in runs), max(run[name] for run in runs)
    return {**result, "items": items, "keys": shape.keys, "repeats": repeats}


def drain_by_hand(alias: str, shape: Any, items: int, expected: dict[Any, Any], *, last: bool) -> float:
    from . import itemlog
    from .measuring import clock

    itemlog.fill(alias, shape, items)
    seconds = clock(lambda: itemlog.by_hand(alias, last=last))
    check_by_hand(alias, expected)
    return seconds


def in_a_process(alias: str, items: int) -> dict[str, Any]:
    """Aggregate in a process of its own; return what it measured. Others may write more items meanwhile."""
    report = json.loads(start("aggregate", alias).communicate()[0])
    if report["items"] < items:
        raise AssertionError(f"{report['items']} of {items} items were aggregated on {alias}.")
    return report


def start(role: str, alias: str, *arguments: Any) -> Any:
    from django.db import connections

    name = str(connections[alias].settings_dict["NAME"])
    command = [sys.executable, "-m", "benchmarks.aggregation", role, alias, name, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def aggregate_alone(alias: str) -> None:
    """Print how long an aggregation took, its statements, and the peak of memory in MiB."""
    from django.db import connections

    from app_metrics.aggregation.backlog import backlog
    from app_metrics.aggregation.run import aggregate
    from tests.soak.workers import peak

    statements = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    backlog()  # connects
    # The clock of the machine, which writers read as well.
    begun = time.monotonic()
    with connections[alias].execute_wrapper(count):
        items = aggregate().items
    ended = time.monotonic()
    took = {"begun": begun, "ended": ended, "seconds": ended - begun}
    print(json.dumps({**took, "items": items, "statements": statements, "memory": peak()}))


def check_totals(alias: str, shape: Any, expected: dict[tuple[str, str], Any]) -> None:
    """Raise AssertionError unless all totals are what was put into the log; then delete them."""
    from app_metrics.core.periods import HOUR, PERIODS
    from app_metrics.models import Item, Metric, Total

    from . import itemlog

    if Item.objects.exists():
        raise AssertionError(f"Items still wait on {alias}.")
    if Total.objects.filter(period=HOUR).count() != shape.keys:
        raise AssertionError(f"{alias} has not {shape.keys} hours.")
    for period in PERIODS:
        check(f"{alias}, {period}", itemlog.found(period), expected)
    Total.objects.all().delete()
    Metric.objects.all().delete()


def check_by_hand(alias: str, expected: dict[tuple[str, str], Any]) -> None:
    from . import itemlog

    found = {key: tuple(round(number, 3) for number in row) for key, row in itemlog.found_by_hand(alias).items()}
    check(
        f"{alias}, by hand",
        found,
        {key: tuple(round(float(number), 3) for number in row[:4]) for key, row in expected.items()},
    )


def check(name: str, found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    if found != expected:
        wrong = next(key for key in {**expected, **found} if found.get(key) != expected.get(key))
        raise AssertionError(f"{name}: {wrong} is {found.get(wrong)} instead of {expected.get(wrong)}.")


def beside_writers(alias: str) -> dict[str, Any]:
    """Measure what writers wait, while a long backlog is aggregated and while it is not."""
    from app_metrics.models import Metric, Total

    from . import itemlog
    from .writing import DAY, EVENTS, SLUGS

    shape = itemlog.Shape(*SHAPES[0])
    result: dict[str, Any] = {"writers": WRITERS}
    for kind in ("alone", "beside"):
        itemlog.fill(alias, shape, BACKLOG)
        writers = [start("write", alias, SECONDS) for _ in range(WRITERS)]
        time.sleep(2)  # they are under way
        report = in_a_process(alias, BACKLOG) if kind == "beside" else {"begun": 0, "ended": math.inf}
        writes = [each for writer in writers for each in json.loads(writer.communicate()[0])]
        check_events(alias, itemlog.DAY, sum(row[0] for row in itemlog.expected(shape, BACKLOG).values()))
        check_events(alias, DAY, len(writes) * SLUGS * EVENTS)
        waits = sorted(wait for begun, wait in writes if report["begun"] <= begun <= report["ended"])
        result[kind] = {
            "writes": len(waits),
            "p50": statistics.median(waits),
            "p99": waits[int(len(waits) * 0.99)],
            "longest": waits[-1],
        }
        Total.objects.all().delete()
        Metric.objects.all().delete()
    return result


def check_events(alias: str, day: date, expected: int) -> None:
    """Raise AssertionError unless so many events of a date are in the log or in the totals."""
    from django.db.models import Sum

    from app_metrics.core.periods import HOUR
    from app_metrics.models import Item, Total

    counted = (Item.objects.filter(day=day), Total.objects.filter(period=HOUR, start=day))
    expect(f"{alias}, {day}", sum(rows.aggregate(events=Sum("count"))["events"] or 0 for rows in counted), expected)


def write(alias: str, seconds: str) -> None:
    """Write a batch of ten slugs every ten milliseconds; print when each began and what it took, in seconds."""
    from app_metrics.transport.loading import load_backend

    from .writing import SLUGS, writing

    one = writing(load_backend("app_metrics.backends.db").write, SLUGS)
    writes = []
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        begun = time.monotonic()
        one()
        writes.append((begun, time.monotonic() - begun))
        time.sleep(0.01)
    print(json.dumps(writes))


def tabulated(results: Mapping[str, Sequence[Result]]) -> Table:
    rows = []
    for name, each in ((name, each) for name, found in results.items() for each in found):
        limit = f"{LIMIT:g}× {verdict(judged(name, each))}" if each["items"] == JUDGED else ""
        with_last = f"{each['last_ratio']:.2f}×" if "last_ratio" in each else ""
        took = [f"{each['seconds']:.2f}", f"{each['items'] / each['seconds']:,.0f}", f"{each['reference_seconds']:.2f}"]
        ratios = [f"{each['ratio']:.2f}×", f"{each['ratio_from']:.2f}–{each['ratio_to']:.2f}", with_last, limit]
        used = [f"{each['statements']:,.0f}", f"{each['memory']:.0f}"]
        rows.append([name, f"{each['items']:,}", f"{each['keys']:,}", *took, *ratios, *used])
    columns = ["database", "items", "keys", "s", "items/s", "by hand, s", "ratio", "spread", "with last", "at most"]
    return Table("An aggregation, and by hand", [*columns, "statements", "MiB"], rows)


def judged(name: str, each: Result) -> Result:
    what = f"aggregating {each['items']:,} items of {each['keys']:,} keys, {name}"
    return held(what, "GROUP BY and DELETE by hand", each, LIMIT)


def growth(name: str, alone: Sequence[Result]) -> Iterator[Result]:
    """Yield what the largest log took beside one of a tenth, if both were measured."""
    for shape in SHAPES:
        by_items = {each["items"]: each for each in alone if each["keys"] == shape[0] * shape[1]}
        if not {1_000_000, 10_000_000} <= by_items.keys():
            continue
        small, large = by_items[1_000_000], by_items[10_000_000]
        longer, grown = large["seconds"] / small["seconds"], large["memory"] - small["memory"]
        yield {
            "what": f"aggregating 10,000,000 items of {large['keys']:,} keys, {name}",
            "against": "1,000,000 items",
            "found": f"{longer:.1f}× as long, {grown:+.0f} MiB",
            "limit": f"{LONGER}×, +{GROWN} MiB",
            "met": longer <= LONGER and grown <= GROWN,
        }


def writers_table(results: Mapping[str, Result]) -> Table:
    rows = []
    for name, kind in ((name, kind) for name in results for kind in ("alone", "beside")):
        each = results[name][kind]
        waits = [f"{each[key] * 1e3:.1f}" for key in ("p50", "p99", "longest")]
        rows.append([f"{name}, {kind}", f"{each['writes']:,}", *waits])
    columns = ["writers", "writes", "median, ms", "p99, ms", "longest, ms"]
    return Table(f"What {WRITERS} writers wait, alone and beside an aggregation of {BACKLOG:,} items", columns, rows)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
