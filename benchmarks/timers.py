"""What the histograms of timers cost beside gauges, which have none: in the fold of a scope, and in an aggregation.

`benchmarks.sketches` says how this is measured.
"""

from functools import partial
from random import Random

from app_metrics.core.histogram import Histogram
from app_metrics.core.summary import COUNTER, GAUGE, TIMER

from . import items, runner
from .runner import Case, Limit, Subject
from .sketches import SHAPES, added, added_text, aggregate, aggregations_table, fold, folds_table

RATIO = 1.3
VALUES = 1_000  # of a fold
ADDED = 0.25e-6  # seconds a value


def tables(scale):
    yield folds(scale.of(2, 61, 201))
    measured = []
    for kind in ("sqlite", *runner.available("postgresql", "mariadb", "mysql")):
        with runner.database(kind) as alias:
            for shape in SHAPES:
                measured += aggregated(alias, shape, scale.of(10_000, 100_000, 1_000_000), scale.of(1, 5, 5))
    yield aggregations(measured)


def folds(repeats):
    """Fold numbers of a timer beside those of a gauge and of a counter."""
    chance = Random(1)
    numbers = [chance.lognormvariate(-2, 1) for _ in range(VALUES)]
    timer = Subject(partial(fold, TIMER, numbers, lambda summary: summary.histogram.count))
    others = {GAUGE: Subject(partial(fold, GAUGE, numbers)), COUNTER: Subject(partial(fold, COUNTER, [1] * VALUES))}
    most = Limit(f"+{ADDED * 1e6:g} µs", added_text, lambda each: added(each) <= ADDED, "folding a number of a timer")
    return folds_table(f"A number of {VALUES:,} in a fold", Case("a timer", timer, others, most), repeats)


def aggregated(alias, shape, size, repeats):
    """Aggregate items of timers beside items of gauges with the same numbers."""

    def run(kind, *sketch):
        return Subject(lambda: aggregate(alias, shape, size, items.single_numbers(shape.series, kind), *sketch))

    database = "sqlite" if alias == "default" else alias
    case = Case(
        f"aggregating {size:,} numbers of timers of {shape.keys:,} keys, {database}",
        run(TIMER, "histogram", lambda data: Histogram.decode(data).count),
        {"gauges": run(GAUGE)},
        runner.at_most(RATIO),
        key="cpu",
        facts={"database": database, "items": size, "keys": shape.keys},
    )
    return runner.measure([case], repeats, warm=0)


def aggregations(measured):
    return aggregations_table("An aggregation of timers, and of gauges", measured, "histogram")
