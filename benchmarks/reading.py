"""How long the trends of many metrics take, and how many queries: 10 to 1,000 metrics, 1 and 10 years of totals.

The reference is one hand-written GROUP BY over the same table, which answers less: a week, the one before and the one a
year earlier, where the trends are all closed periods and all that run, each with what it is compared with.
"""

import sys
from functools import partial
from typing import Any

from .measuring import FULL, Result, expect, measure, save, site, verdict
from .reports import FIGURES, TODAY, by_hand, check, figures, fill
from .tables import Table

REPEATS = 15 if FULL else 9
MOST_QUERIES = 6
# Years of totals, and of how many metrics the tables hold them.
FILLED = {1: 1000, 10: 1000 if FULL else 100}
METRICS = (10, 100, 1000)


def main() -> int:
    results: dict[str, Result] = {}
    with site():
        for years, filled in FILLED.items():
            rows = fill(filled, years)
            for metrics in (number for number in METRICS if number <= filled):
                name = f"{metrics:,} metrics of {filled:,}, {years} year{'s' if years > 1 else ''} ({rows:,} rows)"
                results[name] = measured(metrics)
    table, limits = tabulated(results), [judged(results)]
    print(table.text())
    save("reading", tables=[table], limits=limits, results=results)
    return 0


def measured(metrics: int) -> Result:
    check({metric.pk: found.closed["week"] for metric, found in read(metrics)})
    return measure(partial(read, metrics), partial(by_hand, metrics), REPEATS)


def read(metrics: int) -> list[tuple[Any, Any]]:
    """Compute the trends of the first metrics; raise AssertionError where one of them is empty."""
    from app_metrics.models import Metric
    from app_metrics.trending import trends

    first = list(Metric.objects.order_by("pk")[:metrics])
    found = trends(first, TODAY)
    full = [each for each in found.values() if each.closed["year"].comparisons["before"].now]
    expect("trends", len(full), metrics)
    return [(metric, found[metric.slug]) for metric in first]


def judged(results: dict[str, Result]) -> Result:
    """Return whether no reading needed more queries than there may be, however many metrics it was of."""
    most = max(each["statements"] for each in results.values())
    what, found = "trends of any number of metrics", f"{most} queries"
    return {"what": what, "against": "-", "found": found, "limit": str(MOST_QUERIES), "met": most <= MOST_QUERIES}


def tabulated(results: dict[str, Result]) -> Table:
    rows = [[name, *figures(each), str(each["statements"])] for name, each in results.items()]
    title = f"Trends (SQLite), median of {REPEATS}; at most {MOST_QUERIES} queries: {verdict(judged(results))}"
    return Table(title, ["", *FIGURES, "queries"], rows)


if __name__ == "__main__":
    sys.exit(main())
