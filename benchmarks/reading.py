"""Time the trends of many metrics and a report, beside one hand-written GROUP BY on the same table.

The GROUP BY answers less: a week, the previous week and the same week a year earlier. Trends cover all closed and all
running periods, each with its comparisons.
"""

from datetime import date, timedelta
from functools import partial

from django.db import connection, transaction

from app_metrics.core.periods import DAY, MONTH, WEEK, YEAR
from app_metrics.models import Metric, MetricSet, Total
from app_metrics.reports.content import build_report
from app_metrics.reports.rendering import render
from app_metrics.trending import trends

from . import runner
from .runner import Case, Table, clock, expect, fact

TODAY = date(2026, 11, 23)
QUERIES = 2  # for trends, at most
# This finds three rows per metric by the index; adding up the days of these weeks takes longer in any form.
BY_HAND = f"""
    SELECT metric_id, {", ".join(["SUM(CASE WHEN start = %s THEN CAST(total AS REAL) END)"] * 3)}
    FROM app_metrics_total
    WHERE period = 'week' AND start IN (%s, %s, %s)
        AND metric_id IN (SELECT id FROM app_metrics_metric ORDER BY id LIMIT %s)
    GROUP BY metric_id"""
MILLISECONDS = [
    runner.name(), runner.number("ms", unit=1e3, digits=1),
    runner.reference("one GROUP BY by hand, ms", unit=1e3, digits=1), *runner.ratio("{:.1f}"),
]  # fmt: skip


def tables(scale):
    filled = scale.of({1: 2}, {1: 1000, 10: 100}, {1: 1000, 10: 1000})  # number of metrics by years of totals
    repeats, measured = scale.of(1, 9, 15), []
    with runner.database("sqlite"):
        for years, metrics in filled.items():
            table = f"{metrics:,}, {years} year{'s' if years > 1 else ''} ({fill(metrics, years):,} rows)"
            for number in scale.of([2], *[[size for size in (10, 100, 1000) if size <= metrics]] * 2):
                measured += runner.measure([trends_case(number, f"{number:,} metrics of {table}")], repeats)
        most = max(measured, key=lambda each: each.case.facts["queries"])
        title = f"Trends (SQLite), median of {repeats}; at most {QUERIES} queries"
        yield Table(title, [*MILLISECONDS, fact("queries")], measured, [most])
        yield reports(*scale.of((2, 1), (100, 10), (100, 10)), repeats=scale.of(1, 9, 9))


def fill(metrics, years):
    """Store only the totals of this many metrics and years; return the number of rows."""
    Metric.objects.all().delete()
    Metric.objects.bulk_create(Metric(name=f"Metric {number}", slug=f"metric-{number}") for number in range(metrics))
    filled = list(Metric.objects.all())
    MetricSet.objects.get_or_create(name="All")[0].metrics.set(filled)
    columns = "metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at"
    insert = f"INSERT INTO app_metrics_total ({columns}) VALUES (%s, %s, %s, 0, '{{}}', 5, %s, '1', '9', '3', 0)"
    first = date(TODAY.year - years, 1, 1)
    starts = [(period, day) for period in (DAY, WEEK, MONTH, YEAR) for day in period.starts_between(first, TODAY)]
    with transaction.atomic(), connection.cursor() as cursor:
        for metric in filled:
            # Each metric has its own numbers, so that mixing up metrics is detected.
            rows = [(metric.pk, period, f"{day}", f"{(day.toordinal() + metric.pk) % 97}") for period, day in starts]
            cursor.executemany(insert, rows)
    return Total.objects.count()


def trends_case(metrics, name):
    read = partial(read_trends, metrics)
    queries = len(runner.statements(read))
    found, met = (lambda _: f"{queries} queries"), (lambda _: queries <= QUERIES)
    limit = runner.Limit(str(QUERIES), found, met, "trends of any number of metrics", "-")

    def check(runs):
        same_weeks({metric.pk: found.closed["week"] for metric, found in read()})

    references = {"by hand": partial(clock, by_hand, metrics)}
    return Case(name, partial(clock, read), references, check, {"by hand": limit}, facts={"queries": queries})


def read_trends(metrics):
    """Compute the trends of the first metrics; raise AssertionError if one of them is empty."""
    first = list(Metric.objects.order_by("pk")[:metrics])
    found = trends(first, TODAY)
    full = [each for each in found.values() if each.closed["year"].comparisons["before"].now]
    expect("trends", len(full), metrics)
    return [(metric, found[metric.slug]) for metric in first]


def reports(metrics, years, repeats):
    rows = fill(metrics, years)
    build = partial(build_report, MetricSet.objects.get(), "week", TODAY - timedelta(weeks=1))
    report = build()

    def check(runs):
        expect("metrics of the report", len(report.lines), metrics)
        same_weeks({line.metric.pk: line.trend for line in report.lines})

    references, facts = {"by hand": partial(clock, by_hand, metrics)}, {"statements": len(runner.statements(build))}
    cases = [
        Case("build the weekly report", partial(clock, build), references, check, facts=facts),
        Case("render it as text and HTML", partial(clock, render, report)),
    ]
    title = f"Reports of {metrics} metrics with {years} years of totals ({rows:,} rows, SQLite), median of {repeats}"
    return Table(title, [*MILLISECONDS, fact("statements")], runner.measure(cases, repeats))


def by_hand(metrics):
    """Return the totals of the three weeks of the first metrics, by primary key."""
    monday = TODAY - timedelta(days=TODAY.weekday())
    weeks = [monday - timedelta(weeks=number) for number in (1, 2, 53)]
    with connection.cursor() as cursor:
        cursor.execute(BY_HAND, [*weeks, *weeks, metrics])
        return {key: sums for key, *sums in cursor.fetchall()}


def same_weeks(weeks):
    """Raise AssertionError unless the hand-written statement agrees with the trends of the week."""
    said = {
        key: [each.comparisons["before"].current, each.comparisons["before"].base, each.comparisons["year_before"].base]
        for key, each in weeks.items()
    }
    expect("the weeks by hand", by_hand(len(weeks)), said)
