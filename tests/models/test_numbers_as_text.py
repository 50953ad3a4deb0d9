"""Readings return numbers that print the same on every database: without zeros at the end and without an exponent."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY
from app_metrics.dashboard.metric_facts import facts_of
from app_metrics.models import Item, Metric, Milestone, Total
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record
from app_metrics.trending import trending_for_metric, trends

pytestmark = [pytest.mark.every_database, pytest.mark.usefixtures("database")]

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


@pytest.fixture
def orders():
    """A counter of 4.5 and 0.5 yesterday, and of 3 and 1 today, half of it pending."""
    with freeze_time(NOON):
        create_metric("Orders", "orders")
        for number, day in ((Decimal("4.5"), 9), (3, 10)):
            metric("orders", number, at=NOON.replace(day=day, hour=8))
        aggregate()
        for number, day in ((Decimal("0.5"), 9), (1, 10)):
            metric("orders", number, at=NOON.replace(day=day, hour=9))
        yield Metric.objects.get(slug="orders")


def test_totals_summaries_and_series(orders):
    assert str(orders.total("day")) == "4"
    assert [str(number) for number in orders.summary("week")[1:5]] == ["9", "0.5", "4.5", "1"]
    (point,) = orders.series("day", date(2026, 6, 9), date(2026, 6, 9))
    assert [str(number) for number in point[2:6]] == ["5", "0.5", "4.5", "0.5"]
    assert str(Metric.objects.with_total("day").get(slug="orders").period_total) == "4"


def test_rows_and_sums_of_rows(orders):
    assert str(Item.objects.get(day="2026-06-10").total) == "1"
    assert str(Total.objects.get(period=DAY, start="2026-06-10").total) == "3"
    aggregate()
    assert str(Total.objects.filter(period=DAY).get(start="2026-06-09").total) == "5"
    Milestone.objects.create(slug="orders", value=4, total=4, reached_at=NOON)
    assert str(Milestone.objects.get().value) == "4"


def test_trends_and_their_changes(orders):
    assert str(trending_for_metric(orders)["current_day"]) == "4"
    before = trends([orders])["orders"].so_far["day"].comparisons["before"]
    assert (str(before.current), str(before.base), str(before.change)) == ("4", "5", "-1")


def test_a_change_of_fractions_that_is_whole(orders):
    for day in (9, 10):
        metric("orders", Decimal("0.5"), at=NOON.replace(day=day, hour=7))
    before = trends([orders])["orders"].so_far["day"].comparisons["before"]
    assert (str(before.current), str(before.base), str(before.change)) == ("4.5", "5.5", "-1")


def test_the_best_day(orders):
    aggregate()
    assert str(facts_of(orders).best[1]) == "5"


def test_means_of_timers(orders):
    create_metric("Export", "export", "timer")
    for seconds in (3, 5):
        record("export", "timer", seconds)
    aggregate()
    assert str(trending_for_metric(Metric.objects.get(slug="export"))["current_day"]) == "4"
