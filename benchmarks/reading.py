"""Time the trends of many metrics and a report, beside one hand-written GROUP BY on the same table.

The GROUP BY answers less: a week, the previous week and the same week a year earlier. Trends cover all closed and all
running periods, each with its comparisons.
"""

from datetime import date, timedelta
from functools import partial

from django.db import connection

from app_metrics.models import Metric, MetricSet
from app_metrics.reports.content import build_report
from app_metrics.reports.rendering import render
from app_metrics.trending import trends

from . import history, runner
from .history import TODAY
from .runner import Case, Subject, Table, clock, expect

QUERIES = 2  # for trends, at most
# This finds three rows per metric by the index; adding up the days of these weeks takes longer in any form.
BY_HAND = f"""
    SELECT metric_id, {", ".join(["SUM(CASE WHEN start = %s THEN CAST(total AS REAL) END)"] * 3)}
    FROM app_metrics_total
    WHERE period = 'week' AND start IN (%s, %s, %s)
        AND metric_id IN (SELECT id FROM app_metrics_metric ORDER BY id LIMIT %s)
    GROUP BY metric_id"""
TIMES = [
    runner.name(), runner.number("ms"), runner.reference("one GROUP BY by hand, ms"), *runner.ratio("{:.1f}"),
    runner.fact("statements"),
]  # fmt: skip


def tables(scale):
    filled = scale.of({1: 2}, {1: 1000, 10: 100}, {1: 1000, 10: 1000})  # number of metrics by years of totals
    repeats, measured = scale.of(1, 9, 15), []
    with runner.database("sqlite"):
        for years, metrics in filled.items():
            table = f"{metrics:,}, {years} year{'s' if years > 1 else ''} ({fill(metrics, years):,} rows)"
            for number in scale.of([2], *[[size for size in (10, 100, 1000) if size <= metrics]] * 2):
                measured += runner.measure([trends_case(number, f"{number:,} metrics of {table}")], repeats)
        most = max(measured, key=lambda each: each.case.facts["statements"])
        title = f"Trends (SQLite), median of {repeats}; at most {QUERIES} queries"
        yield Table(title, TIMES, measured, [most])
        yield reports(*scale.of((2, 1), (100, 10), (100, 10)), repeats=scale.of(1, 9, 9))


def fill(metrics, years):
    """Store this many closed years, and the current one."""
    number = history.fill("default", metrics, date(TODAY.year - years, 1, 1))
    MetricSet.objects.get_or_create(name="All")[0].metrics.set(Metric.objects.all())
    return number


def trends_case(metrics, name):
    def read():
        """Compute the trends of the first metrics; raise AssertionError if one of them is empty."""
        first = list(Metric.objects.order_by("pk")[:metrics])
        found = trends(first, TODAY)
        expect("trends", sum(bool(each.closed["year"].comparisons["before"].now) for each in found.values()), metrics)
        return {metric.pk: found[metric.slug].closed["week"] for metric in first}

    number = len(runner.statements(read))
    limit = runner.Limit(
        f"{QUERIES}", lambda _: f"{number} queries", lambda _: number <= QUERIES, "trends of any number of metrics", "-"
    )
    subject = Subject(partial(clock, read), lambda runs: same_weeks(read()))
    return Case(name, subject, by_hand_beside(metrics), limit, facts={"statements": number})


def reports(metrics, years, repeats):
    rows = fill(metrics, years)
    build = partial(build_report, MetricSet.objects.get(), "week", TODAY - timedelta(weeks=1))
    report, facts = build(), {"statements": len(runner.statements(build))}
    expect("metrics of the report", len(report.lines), metrics)
    weeks = {line.metric.pk: line.trend for line in report.lines}
    cases = [
        Case(
            "build the weekly report", Subject(partial(clock, build), lambda runs: same_weeks(weeks)),
            by_hand_beside(metrics), facts=facts,
        ),
        Case("render it as text and HTML", Subject(partial(clock, render, report))),
    ]  # fmt: skip
    title = f"Reports of {metrics} metrics with {years} years of totals ({rows:,} rows, SQLite), median of {repeats}"
    return Table(title, TIMES, runner.measure(cases, repeats))


def by_hand_beside(metrics):
    return {"by hand": Subject(partial(clock, by_hand, metrics))}


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
