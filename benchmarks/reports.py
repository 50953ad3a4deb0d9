"""How long a report takes: 100 metrics with ten years of totals, beside one hand-written GROUP BY.

`benchmarks.reading` fills its tables by this module, too.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from .measuring import Result, Subject, alternate, clock, expect, measure, middle, save, site
from .tables import Table

if TYPE_CHECKING:
    from app_metrics.trending import Trend

METRICS = 100
YEARS = 10
REPEATS = 9
TODAY = date(2026, 11, 23)

# What a developer would write for the latest closed week, the one before and the one a year earlier, of each metric: it
# finds the three rows by the index. Adding up the days of these weeks takes longer, however it is put.
BY_HAND = """
    SELECT metric_id,
           SUM(CASE WHEN start = %s THEN CAST(total AS REAL) END),
           SUM(CASE WHEN start = %s THEN CAST(total AS REAL) END),
           SUM(CASE WHEN start = %s THEN CAST(total AS REAL) END)
    FROM app_metrics_total
    WHERE period = 'week' AND start IN (%s, %s, %s)
        AND metric_id IN (SELECT id FROM app_metrics_metric ORDER BY id LIMIT %s)
    GROUP BY metric_id
"""
BUILD, RENDER = "build the weekly report", "render it as text and HTML"

# The totals of the three weeks, by the key of a metric.
Sums = dict[int, list[float | None]]


def main() -> int:
    with site():
        rows = fill(METRICS, YEARS)
        results = measured()
    table = tabulated(rows, results)
    print(table.text())
    save("reports", tables=[table], rows=rows, results=results)
    return 0


def fill(metrics: int, years: int) -> int:
    """Store the totals of so many metrics and years, and nothing else; return how many rows there are."""
    from django.db import connection, transaction

    from app_metrics.models import Metric, MetricSet, Total

    Metric.objects.all().delete()
    Metric.objects.bulk_create(Metric(name=f"Metric {number}", slug=f"metric-{number}") for number in range(metrics))
    filled = list(Metric.objects.all())
    MetricSet.objects.get_or_create(name="All")[0].metrics.set(filled)
    columns = "metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at"
    insert = f"INSERT INTO app_metrics_total ({columns}) VALUES (%s, %s, %s, 0, '{{}}', 5, %s, '1', '9', '3', 0)"
    rows = list(totals(date(TODAY.year - years, 1, 1)))
    with transaction.atomic(), connection.cursor() as cursor:
        for metric in filled:
            # The numbers differ from metric to metric, so that one taken for another is found out.
            cursor.executemany(insert, [(metric.pk, *start, str((day + metric.pk) % 97)) for *start, day in rows])
    return Total.objects.count()


def totals(first: date) -> Iterator[tuple[str, str, int]]:
    """Return each period that there are totals of: its name, its start, and that as a number."""
    from app_metrics.core.periods import DAY, MONTH, WEEK, YEAR

    for period in (DAY, WEEK, MONTH, YEAR):
        for start in period.starts_between(first, TODAY):
            yield period, start.isoformat(), start.toordinal()


def measured() -> dict[str, Result]:
    from app_metrics.models import MetricSet
    from app_metrics.reports.content import build_report
    from app_metrics.reports.rendering import render

    build = partial(build_report, MetricSet.objects.get(), "week", TODAY - timedelta(weeks=1))
    report = build()
    expect("metrics of the report", len(report.lines), METRICS)
    check({line.metric.pk: line.trend for line in report.lines})
    return {BUILD: measure(build, by_hand, REPEATS), RENDER: timed(partial(render, report))}


def timed(subject: Subject) -> Result:
    """Time a subject that nothing is comparable with."""
    low, median, high = middle(alternate({"subject": partial(clock, subject)}, REPEATS)["subject"])
    return {"seconds": median, "seconds_from": low, "seconds_to": high}


def by_hand(metrics: int = METRICS) -> Sums:
    """Read the week of the first metrics, the one before and the one a year earlier, with the statement above."""
    from django.db import connection

    monday = TODAY - timedelta(days=TODAY.weekday())
    weeks = [monday - timedelta(weeks=number) for number in (1, 2, 53)]
    with connection.cursor() as cursor:
        cursor.execute(BY_HAND, [*weeks, *weeks, metrics])
        return {key: sums for key, *sums in cursor.fetchall()}


def check(weeks: Mapping[int, "Trend"]) -> None:
    """Raise AssertionError unless the statement says of the first metrics what their trends of the week say."""
    sums = by_hand(len(weeks))
    expect("metrics of the statement written by hand", sums.keys(), weeks.keys())
    for key, week in weeks.items():
        compared = week.comparisons
        said = [compared["before"].current, compared["before"].base, compared["year_before"].base]
        expect(f"the weeks of metric {key} by hand", sums[key], said)


def tabulated(rows: int, results: dict[str, Result]) -> Table:
    title = f"Reports of {METRICS} metrics with {YEARS} years of totals ({rows:,} rows, SQLite), median of {REPEATS}"
    built, rendered = results[BUILD], results[RENDER]
    lines = [[BUILD, *figures(built), str(built["statements"])], [RENDER, milliseconds(rendered["seconds"]), *[""] * 4]]
    return Table(title, ["", *FIGURES, "statements"], lines)


FIGURES = ["ms", "one GROUP BY by hand, ms", "ratio", "spread"]


def figures(result: Result) -> list[str]:
    """Return what FIGURES names."""
    times = [milliseconds(result[key]) for key in ("seconds", "reference_seconds")]
    return [*times, f"{result['ratio']:.1f}×", f"{result['ratio_from']:.1f}–{result['ratio_to']:.1f}"]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


if __name__ == "__main__":
    sys.exit(main())
