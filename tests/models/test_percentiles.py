"""Percentiles of any period and label set, of totals and of what is pending, in one statement."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, distribution, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY, PERIODS, YEAR
from app_metrics.core.summary import percentile
from app_metrics.models import Metric
from app_metrics.models.percentiles import PERCENTS, measured_series
from tests.support.summaries import measured

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)


def prices(count):
    chance = random.Random(count)
    return [Decimal(f"{chance.lognormvariate(3, 1):.2f}") for _ in range(count)]


def expected(numbers):
    return {percent: percentile(measured(*numbers), percent) for percent in PERCENTS}


@freeze_time(NOON)
@pytest.mark.parametrize("when", ["pending", "aggregated", "half"])
def test_percentiles_of_every_period_cover_totals_and_pending_items(database, when):
    numbers = prices(30)
    with collect():
        for number in numbers[:20]:
            distribution("price", number)
    if when == "half":
        aggregate()
    for number in numbers[20:]:
        distribution("price", number)
    if when == "aggregated":
        aggregate()
    price = Metric.objects.get(slug="price")
    for period in PERIODS:
        found = {percent: price.percentile(period, percent) for percent in PERCENTS}
        assert found == expected(numbers), period


def test_percentiles_of_all_label_sets_are_those_of_all_numbers(database):
    numbers = prices(30)
    for place, number in enumerate(numbers):
        distribution("price", number, labels={"plan": "abc"[place % 3]}, at=NOON)
        if place == 20:
            aggregate()
    price = Metric.objects.get(slug="price")
    day = date(2026, 5, 31)
    assert price.percentile(DAY, 95, day) == expected(numbers)[95]
    assert price.percentile(DAY, 95, day, {"plan": "b"}) == expected(numbers[1::3])[95]


def test_a_series_has_the_percentiles_of_each_period_in_one_query(database):
    numbers = prices(30)
    for place, number in enumerate(numbers):
        distribution("price", number, at=NOON + timedelta(days=place % 2))
    aggregate()
    price = Metric.objects.get(slug="price")
    with CaptureQueriesContext(connections[database]) as queries:
        found = measured_series(price, DAY, date(2026, 5, 30), date(2026, 6, 1))
    assert len(queries) == 1
    assert [each.percentiles for each in found] == [
        dict.fromkeys(PERCENTS), expected(numbers[::2]), expected(numbers[1::2])
    ]  # fmt: skip
    assert [each.point for each in found] == price.series(DAY, date(2026, 5, 30), date(2026, 6, 1))


def test_counters_have_no_percentiles(database):
    metric("orders", 5, at=NOON)
    metric("orders", 7, at=NOON)
    aggregate()
    assert Metric.objects.get(slug="orders").percentile(YEAR, 50, date(2026, 5, 31)) is None


def test_numbers_that_were_also_recorded_as_a_counter_make_percentiles_unknown(database):
    distribution("price", 5, at=NOON)
    metric("price", 7, at=NOON)
    price = Metric.objects.get(slug="price")
    assert price.percentile(YEAR, 50, date(2026, 5, 31)) is None
    aggregate()
    assert price.percentile(YEAR, 50, date(2026, 5, 31)) is None


def test_other_readings_do_not_read_histograms(database):
    distribution("price", 5, at=NOON)
    aggregate()
    price = Metric.objects.get(slug="price")
    with CaptureQueriesContext(connections[database]) as queries:
        assert price.series(DAY, date(2026, 5, 31), date(2026, 5, 31))[0].total == 5
    assert not any("histogram" in query["sql"] for query in queries)


@freeze_time(NOON)
@pytest.mark.parametrize("stored", [b"\0\0\0", "no Base64!"])
def test_a_damaged_histogram_costs_the_percentiles_only(database, stored):
    if isinstance(stored, str) and connections[database].vendor != "sqlite":
        pytest.skip("it stores bytes")
    with collect():
        distribution("price", 3)
        distribution("price", 5)
    aggregate()
    with connections[database].cursor() as cursor:
        cursor.execute("UPDATE app_metrics_total SET histogram = %s", [stored])
    price = Metric.objects.get(slug="price")
    assert (price.percentile("day", 95), price.summary("day").total) == (None, 8)
