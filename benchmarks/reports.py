"""How long a report takes: 100 metrics with ten years of totals, beside one hand-written GROUP BY over the same rows.

`make bench` calls this. It prints a table with the median and the spread of several repeats, measured alternately, and
writes the same as JSON with versions.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

METRICS = 100
YEARS = 10
REPEATS = 9
TODAY = date(2026, 11, 23)
FIRST = date(TODAY.year - YEARS, 1, 1)
RESULTS = Path(__file__).parent / "results" / "reports.json"

# What a developer would write for the latest closed week, the one before and the one a year earlier, of each metric.
BY_HAND = """
    SELECT metric_id,
           SUM(CASE WHEN start BETWEEN %s AND %s THEN CAST(total AS REAL) ELSE 0 END),
           SUM(CASE WHEN start BETWEEN %s AND %s THEN CAST(total AS REAL) ELSE 0 END),
           SUM(CASE WHEN start BETWEEN %s AND %s THEN CAST(total AS REAL) ELSE 0 END)
    FROM app_metrics_total
    WHERE period = 'day' AND start >= %s
    GROUP BY metric_id
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["APP_METRICS_TEST_DIRECTORY"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        rows = fill()
        results = {name: measure(subject) for name, subject in subjects().items()}
    show(rows, results)
    return 0


def fill() -> int:
    """Store the totals of all metrics; return how many rows there are."""
    from django.db import connection, transaction

    from app_metrics.models import Metric, MetricSet, Total

    Metric.objects.bulk_create(Metric(name=f"Metric {number}", slug=f"metric-{number}") for number in range(METRICS))
    metrics = list(Metric.objects.all())
    MetricSet.objects.create(name="All").metrics.set(metrics)
    columns = "metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at"
    insert = f"INSERT INTO app_metrics_total ({columns}) VALUES (%s, %s, %s, 0, '{{}}', 5, %s, '1', '9', '3', 0)"
    with transaction.atomic(), connection.cursor() as cursor:
        for metric in metrics:
            cursor.executemany(insert, [(metric.pk, *row) for row in totals()])
    return Total.objects.count()


def totals() -> Iterator[tuple[str, str, str]]:
    from app_metrics.periods import DAY, MONTH, WEEK, YEAR, starts_between

    for period in (DAY, WEEK, MONTH, YEAR):
        for start in starts_between(period, FIRST, TODAY):
            yield period, start.isoformat(), str(start.toordinal() % 97)


def subjects() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return what is measured, each with its reference."""
    from app_metrics.models import Metric, MetricSet
    from app_metrics.rendering import render
    from app_metrics.reports import build_report
    from app_metrics.trending import trends

    metric_set = MetricSet.objects.get()
    report = build_report(metric_set, "week", TODAY - timedelta(weeks=1))
    if len(report.lines) != METRICS or any(line.summary is None for line in report.lines):
        raise AssertionError("The report does not hold every metric.")
    return {
        "build the weekly report": (lambda: build_report(metric_set, "week", TODAY - timedelta(weeks=1)), by_hand),
        "render it as text and HTML": (lambda: render(report), by_hand),
        "trends of all metrics": (lambda: trends(Metric.objects.all(), TODAY), by_hand),
    }


def by_hand() -> list[Any]:
    from django.db import connection

    monday = TODAY - timedelta(days=TODAY.weekday())
    weeks = [monday - timedelta(weeks=number) for number in (1, 2, 53)]
    bounds = [day for start in weeks for day in (start, start + timedelta(days=6))]
    with connection.cursor() as cursor:
        cursor.execute(BY_HAND, [*bounds, weeks[-1]])
        rows = cursor.fetchall()
    if len(rows) != METRICS:
        raise AssertionError(f"The reference finds {len(rows)} of {METRICS} metrics.")
    return list(rows)


def measure(pair: tuple[Callable[[], Any], Callable[[], Any]]) -> dict[str, Any]:
    """Time a subject and its reference alternately; return seconds, ratio and the statements of the subject."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    subject, reference = pair
    with CaptureQueriesContext(connection) as queries:
        subject()
    reference()
    times: list[tuple[float, float]] = [(clock(subject), clock(reference)) for _ in range(REPEATS)]
    ratios = [mine / other for mine, other in times]
    return {
        "seconds": statistics.median(mine for mine, _ in times),
        "reference_seconds": statistics.median(other for _, other in times),
        "ratio": statistics.median(ratios),
        "ratio_from": min(ratios),
        "ratio_to": max(ratios),
        "statements": len(queries),
    }


def clock(subject: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    subject()
    return time.perf_counter() - begin


def show(rows: int, results: dict[str, dict[str, Any]]) -> None:
    import django

    print(f"Reports of {METRICS} metrics with {YEARS} years of totals ({rows:,} rows, SQLite), median of {REPEATS}")
    print(f"{'':28}{'time':>10}{'by hand':>10}{'ratio':>8}{'spread':>16}{'statements':>12}")
    for name, each in results.items():
        spread = f"{each['ratio_from']:.2f}–{each['ratio_to']:.2f}"
        print(
            f"{name:28}{each['seconds'] * 1000:>7.1f} ms{each['reference_seconds'] * 1000:>7.1f} ms"
            f"{each['ratio']:>7.2f}×{spread:>16}{each['statements']:>12}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    versions = {"python": platform.python_version(), "django": django.get_version(), "machine": platform.machine()}
    RESULTS.write_text(json.dumps({"versions": versions, "rows": rows, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
