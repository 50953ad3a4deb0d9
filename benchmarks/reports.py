"""How long a report takes: 100 metrics with ten years of totals, beside one hand-written GROUP BY over the same rows.

`benchmarks.reading` fills its tables by this module, too.
"""

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from .measuring import Result, Subject, expect, measure, save, site
from .tables import Table

METRICS = 100
YEARS = 10
REPEATS = 9
TODAY = date(2026, 11, 23)

# What a developer would write for the latest closed week, the one before and the one a year earlier, of each metric.
BY_HAND = """
    SELECT metric_id,
           SUM(CASE WHEN start BETWEEN %s AND %s THEN CAST(total AS REAL) ELSE 0 END),
           SUM(CASE WHEN start BETWEEN %s AND %s THEN CAST(total AS REAL) ELSE 0 END),
           SUM(CASE WHEN start BETWEEN %s AND %s THEN CAST(total AS REAL) ELSE 0 END)
    FROM app_metrics_total
    WHERE period = 'day' AND start >= %s AND metric_id IN (SELECT id FROM app_metrics_metric ORDER BY id LIMIT %s)
    GROUP BY metric_id
"""


def main() -> int:
    with site():
        rows = fill(METRICS, YEARS)
        results = {name: measure(*pair, REPEATS) for name, pair in subjects().items()}
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
            cursor.executemany(insert, [(metric.pk, *row) for row in rows])
    return Total.objects.count()


def totals(first: date) -> Iterator[tuple[str, str, str]]:
    from app_metrics.periods import DAY, MONTH, WEEK, YEAR, starts_between

    for period in (DAY, WEEK, MONTH, YEAR):
        for start in starts_between(period, first, TODAY):
            yield period, start.isoformat(), str(start.toordinal() % 97)


def subjects() -> dict[str, tuple[Subject, Subject]]:
    """Return what is measured, each with its reference."""
    from app_metrics.models import MetricSet
    from app_metrics.rendering import render
    from app_metrics.reports import build_report

    metric_set = MetricSet.objects.get()
    report = build_report(metric_set, "week", TODAY - timedelta(weeks=1))
    if len(report.lines) != METRICS or any(line.summary is None for line in report.lines):
        raise AssertionError("The report does not hold every metric.")
    return {
        "build the weekly report": (lambda: build_report(metric_set, "week", TODAY - timedelta(weeks=1)), by_hand),
        "render it as text and HTML": (lambda: render(report), by_hand),
    }


def by_hand(metrics: int = METRICS) -> list[Any]:
    """Read the week of the first metrics, the one before and the one a year earlier, with the statement above."""
    from django.db import connection

    monday = TODAY - timedelta(days=TODAY.weekday())
    weeks = [monday - timedelta(weeks=number) for number in (1, 2, 53)]
    bounds = [day for start in weeks for day in (start, start + timedelta(days=6))]
    with connection.cursor() as cursor:
        cursor.execute(BY_HAND, [*bounds, weeks[-1], metrics])
        rows = cursor.fetchall()
    expect("the statement written by hand", len(rows), metrics)
    return list(rows)


def tabulated(rows: int, results: dict[str, Result]) -> Table:
    title = f"Reports of {METRICS} metrics with {YEARS} years of totals ({rows:,} rows, SQLite), median of {REPEATS}"
    lines = [[name, *figures(each), str(each["statements"])] for name, each in results.items()]
    return Table(title, ["", *FIGURES, "statements"], lines)


FIGURES = ["ms", "one GROUP BY by hand, ms", "ratio", "spread"]


def figures(result: Result) -> list[str]:
    """Return what FIGURES names."""
    times = [f"{result[key] * 1000:.1f}" for key in ("seconds", "reference_seconds")]
    return [*times, f"{result['ratio']:.2f}×", f"{result['ratio_from']:.2f}–{result['ratio_to']:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
