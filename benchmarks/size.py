"""Time the pages and answers that show numbers, in a table of many metrics, label sets and years.

The database makes the totals, because recording them would take hours. They are in the order of time, as aggregations
write them, so that those of a metric are not adjacent.
"""

import time
from base64 import b64encode
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import Client, override_settings
from django.urls import reverse
from freezegun import freeze_time

from app_metrics.core.calendar import start_of
from app_metrics.core.histogram import Histogram
from app_metrics.core.labels import encode_labels
from app_metrics.core.periods import DAY, HOUR, PERIODS, WEEK, Period
from app_metrics.models import Metric, MetricSet, Total
from app_metrics.reports.content import build_report

from . import runner, server_pids
from .history import NOW, TODAY
from .machine import cpu_seconds
from .runner import Case, Limit, Subject, Table, expect

KINDS = [*["counter"] * 8, "gauge", "timer"]
MILLISECONDS = {"postgresql": 300, "sqlite": 1000}  # at most, for a page
REPORTED = 100  # metrics


class Size(NamedTuple):
    """How many totals there are.

    The totals of years and months cover all years, those of shorter periods the latest of each. The first `whole`
    metrics have the days of all years, and the second one has `most` label sets.
    """

    metrics: int
    years: int
    label_sets: int
    most: int
    whole: int
    latest: dict[Period, int]


TINY = Size(10, 1, 2, 5, 2, {HOUR: 9, DAY: 35, WEEK: 10})
SHORT = Size(100, 3, 20, 1000, 2, {HOUR: 9, DAY: 60, WEEK: 60})
FULL = Size(1000, 10, 20, 1000, 20, {HOUR: 9, DAY: 60, WEEK: 160})

INSERT = """
    INSERT INTO app_metrics_total
        (metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at, histogram)
    SELECT metric, %(period)s, %(start)s, %(hour)s, labels, number, {total}, '0.125', '3', '1', %(at)s,
        CASE kind WHEN 'timer' THEN {histogram} END
    FROM (SELECT id AS metric, kind, labels,
            CASE kind WHEN 'timer' THEN 100 ELSE factor * (1 + (%(day)s + id * 37) %% 211) END AS number
        FROM app_metrics_metric JOIN label_sets ON place < CASE id WHEN %(many)s THEN %(most)s ELSE %(usual)s END
        WHERE id < %(end)s) AS numbers"""
TYPES = {
    "postgresql": {"total": "number", "histogram": "CAST(%(histogram)s AS bytea)"},
    "sqlite": {"total": "CAST(number AS text)", "histogram": "%(histogram)s"},
}


def fill(alias, size):
    """Store only the totals up to now, and return their number."""
    connection = connections[alias]
    Metric.objects.all().delete()
    Metric.objects.bulk_create(
        Metric(name=f"Metric {number:04}", slug=f"metric-{number:04}", kind=KINDS[number % len(KINDS)])
        for number in range(size.metrics)
    )
    with connection.schema_editor() as editor:
        editor.remove_constraint(Total, Total._meta.constraints[0])
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute("SET session_replication_role = replica")  # foreign keys are not checked
        with transaction.atomic(using=alias):
            _fill(cursor, size)
        # An index that is made in the end is made in a fraction of the time.
        cursor.execute(
            "CREATE UNIQUE INDEX app_metrics_total_unique ON app_metrics_total (metric_id, period, start, hour, labels)"
        )
        if is_postgresql:
            # In a real table, autovacuum did this long ago; it should not start during a measurement.
            cursor.execute("VACUUM ANALYZE")
    return Total.objects.count()


def _fill(cursor, size):
    vendor, first = cursor.db.vendor, Metric.objects.order_by("pk")[0].pk
    cursor.execute("CREATE TEMPORARY TABLE label_sets (place integer, labels text, factor integer)")
    sets = [(place, encode_labels({"plan": f"plan {place:03}"}), factor_of(place)) for place in range(size.most)]
    cursor.executemany("INSERT INTO label_sets VALUES (%s, %s, %s)", sets)
    histogram = Histogram(seconds()).encode()
    usual = {
        "histogram": b64encode(histogram).decode() if vendor == "sqlite" else histogram,
        "many": first + 1, "most": size.most, "usual": size.label_sets,
    }  # fmt: skip
    for period, start, hour, metrics in sorted(_pieces(size), key=lambda piece: piece[1:3]):
        moment = datetime(start.year, start.month, start.day, hour, tzinfo=NOW.tzinfo)
        piece = {"period": period, "start": start, "hour": hour, "at": int(moment.timestamp()) * 1_000_000}
        if moment <= NOW:
            values = {**usual, **piece, "day": start.toordinal(), "end": first + metrics}
            cursor.execute(INSERT.format(**TYPES[vendor]), values)


def factor_of(place):
    return 1 + place % 6


def _pieces(size):
    """Yield period, start and hour of each piece, and how many metrics have totals of it."""
    first = TODAY.replace(year=TODAY.year - size.years)
    for period in PERIODS:
        number = size.latest.get(period)
        since = period.shift(start_of(period, TODAY), 1 - number) if number else date.min
        for start in period.starts_between(since if period == HOUR else first, TODAY):
            for hour in range(24) if period == HOUR else [0]:
                yield period, start, hour, size.metrics if start >= since else size.whole


def seconds():
    """Return the numbers of a timer, 100 of them, as requests take them."""
    random = Random(1)
    return [Decimal(random.randrange(50, 3000)).scaleb(-3) for _ in range(100)]


def tables(scale):
    size, repeats = scale.of(TINY, SHORT, FULL), scale.of(1, 3, 5)
    urls = override_settings(ROOT_URLCONF="tests.support.api_urls")
    for kind in ["sqlite", *runner.available("postgresql")]:
        with runner.database(kind) as alias, freeze_time(NOW), urls:
            yield pages(alias, kind, size, repeats)


def pages(alias, kind, size, repeats):
    """Fill a database and measure each page; the processor time includes that of the database."""
    totals, measured = fill(alias, size), []
    for name, (visit, most) in visits().items():
        facts, subject = {"queries": len(runner.statements(visit, alias))}, Subject(partial(processor_seconds, visit))
        measured += runner.measure([Case(name, subject, limit=limited(name, kind, most), facts=facts)], repeats)
    title = (
        f"{size.metrics:,} metrics × {size.years} years × {size.label_sets} label sets ({totals:,} totals, {kind}), "
        f"processor time, median of {repeats}"
    )
    columns = [runner.name("page"), runner.fact("queries"), runner.number("ms"), runner.spread("ms"), runner.AT_MOST]
    return Table(title, columns, measured)


def limited(name, kind, most):
    """Limit the queries of a page, which do not depend on the size, and its milliseconds."""

    def found(measured):
        return measured.case.facts["queries"], measured.median() * 1e3

    def met(measured):
        queries, milliseconds = found(measured)
        return queries <= most and milliseconds <= MILLISECONDS[kind]

    text = "{} queries, {:.0f} ms".format
    return Limit(text(most, MILLISECONDS[kind]), lambda each: text(*found(each)), met, f"at size, {kind}: {name}", "-")


def visits():
    """Return what is measured: a call that fails if it is not answered, and the most queries that it may make."""
    counter, many, timer = (Metric.objects.get(slug=f"metric-{number:04}") for number in (0, 1, 9))
    client, metric = superuser(), "admin:app_metrics_dashboard_metric"
    overview = reverse("admin:app_metrics_dashboard_changelist")
    page_of = {each: reverse(metric, args=[each.slug]) for each in (counter, many, timer)}
    series_of = {each: reverse("app_metrics:api-series", args=[each.slug]) for each in (counter, many, timer)}
    long = f"?start={TODAY - timedelta(days=999)}"
    addresses = {
        "overview": (overview, 13),
        "overview, most today first": (f"{overview}?sort=-today", 13),
        "metric": (page_of[counter], 15),
        "metric, split": (f"{page_of[counter]}?split=plan", 15),
        "metric, a timer": (page_of[timer], 15),
        "metric of many label sets": (page_of[many], 15),
        "API, a series of 30 days": (series_of[counter], 6),
        "API, 1,000 days": (series_of[counter] + long, 6),
        "API, days of a timer": (series_of[timer] + long, 6),
        "API, days of many label sets": (series_of[many] + long, 6),
        "API, totals of many label sets": (reverse("app_metrics:api-totals", args=[many.slug]), 5),
        "Prometheus": (reverse("app_metrics:prometheus"), 5),
    }
    found = {name: (partial(answered, client, address), most) for name, (address, most) in addresses.items()}
    check_sums(client, counter, series_of[counter])
    named = MetricSet.objects.create(name="Some")
    named.metrics.set(Metric.objects.order_by("pk")[:REPORTED])
    last_week = WEEK.previous(start_of(WEEK, TODAY))
    return {**found, f"report on {REPORTED} metrics": (partial(build_report, named, WEEK, last_week), 5)}


def superuser():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def answered(client, address):
    """Request a page; raise AssertionError unless it is answered."""
    response = client.get(address)
    expect(f"status of {address}", response.status_code, 200)
    return response


def check_sums(client, metric, address):
    """Raise AssertionError unless a series has the sums of the totals that were made."""
    sums = {str(each["start"]): int(each["value"]) for each in answered(client, address).json()["results"]}
    label_sets = metric.totals.filter(period=DAY, start=TODAY).count()
    expected = {
        f"{day}": (1 + (day.toordinal() + metric.pk * 37) % 211) * sum(map(factor_of, range(label_sets)))
        for day in DAY.latest(TODAY, len(sums))
    }
    expect(f"sums of {metric}", sums, expected)


def processor_seconds(visit):
    """Return the processor time of a call in this process and in the database servers."""
    begin = time.process_time() + cpu_seconds(*server_pids)
    visit()
    return time.process_time() + cpu_seconds(*server_pids) - begin
