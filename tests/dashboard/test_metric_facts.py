"""What the dashboard says about a metric besides its chart."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.summary import headline
from app_metrics.dashboard import metric_facts
from app_metrics.dashboard.metric_facts import SHOWN_MILESTONES, facts_of
from app_metrics.models import Milestone, Total
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record

pytestmark = pytest.mark.every_database

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def orders(database):
    return create_metric("Orders", "orders")


def at(*parts):
    return datetime(*parts, tzinfo=BERLIN)


@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
@pytest.mark.parametrize("aggregated", range(5))
def test_all_time_is_everything_that_was_ever_recorded(kind, aggregated, database):
    orders = create_metric("Orders", "orders", kind)
    create_metric("Other", "other", kind)
    for number, (year, labels) in enumerate([(1999, None), (2020, {"plan": "pro"}), (2020, None), (2026, {"a": "b"})]):
        if number == aggregated:
            aggregate()
        record("orders", kind, 10**number, labels, at(year, 12, 31, 23))
        record("other", kind, 5, None, at(year, 12, 31, 23))
    if aggregated == 4:
        aggregate()
    whole = facts_of(orders).whole
    assert whole[:5] == (4, 1111, 1, 1000, 1000)
    assert headline(kind, whole) == {"counter": 1111, "gauge": 1000, "timer": Decimal("277.75")}[kind]


def test_a_metric_that_was_never_recorded_has_no_facts(orders):
    facts = facts_of(orders)
    assert (facts.whole, list(facts.labels), facts.best, facts.milestones) == (None, [], None, [])


@pytest.mark.parametrize("aggregated", [False, True])
def test_the_labels_are_listed_in_order_and_without_that_of_the_overflow(aggregated, orders, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    with collect():
        for labels in (dict.fromkeys("zyxbca", "1"), {"country": "de"}, {"lost": "1"}, {"lost": "2"}, None):
            metric("orders", labels=labels)
    settings.APP_METRICS_MAX_LABEL_SETS = 10
    if aggregated:
        aggregate()
    assert list(facts_of(orders).labels) == ["a", "b", "c", "country", "x", "y", "z"]
    assert facts_of(orders).whole.count == 5


def test_the_best_day_is_the_one_with_the_largest_total_of_all_label_sets(orders):
    for day, number, plan in [(1, 7, "pro"), (2, 5, "pro"), (2, 5, "free"), (3, 9, "free")]:
        metric("orders", number, labels={"plan": plan}, at=at(2026, 6, day))
    aggregate()
    assert facts_of(orders).best == (date(2026, 6, 2), 10)


def test_the_best_day_of_too_many_days_and_label_sets_is_not_looked_for(orders, monkeypatch):
    with freeze_time(at(2026, 6, 3)):
        for day, plan in [(1, "pro"), (2, "free")]:
            metric("orders", labels={"plan": plan}, at=at(2026, 6, day))
        aggregate()
        for most, found in [(6, (date(2026, 6, 1), 1)), (5, None)]:
            monkeypatch.setattr(metric_facts, "MOST_ADDED_DAYS", most)
            assert facts_of(orders).best == found


def test_the_first_of_equal_days_is_the_best(orders):
    for day in (9, 3, 5):
        metric("orders", 4, at=at(2026, 6, day))
        aggregate()
    metric("orders", 3, at=at(2026, 6, 1))
    aggregate()
    assert facts_of(orders).best == (date(2026, 6, 3), 4)


def test_numbers_are_compared_as_numbers(orders):
    for day, number in [(1, 9), (2, 10), (3, -100), (4, Decimal("9.5"))]:
        metric("orders", number, at=at(2026, 6, day))
    aggregate()
    assert facts_of(orders).best == (date(2026, 6, 2), 10)


def test_a_metric_that_only_fell_has_a_best_day_too(orders):
    for day, number in [(1, -5), (2, -3)]:
        metric("orders", number, at=at(2026, 6, day))
    aggregate()
    assert facts_of(orders).best == (date(2026, 6, 2), -3)


@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_gauges_and_timers_have_no_best_day(kind, database):
    load = create_metric("Load", "load", kind)
    record("load", kind, 5)
    aggregate()
    assert facts_of(load).best is None


def test_other_metrics_have_their_own_best_day(orders):
    metric("orders", 1, at=at(2026, 6, 1))
    metric("other", 5, at=at(2026, 6, 2))
    aggregate()
    assert facts_of(orders).best == (date(2026, 6, 1), 1)


def test_milestones_of_a_metric_are_listed_with_the_latest_first(orders):
    start = datetime(2026, 6, 1, tzinfo=UTC)
    for number in range(8):
        reached = start + timedelta(days=number // 2)
        Milestone.objects.create(slug="orders", value=10**number, total=10**number, reached_at=reached)
    Milestone.objects.create(slug="other", value=1, total=1, reached_at=start + timedelta(days=99))
    found = facts_of(orders).milestones
    assert [each.value for each in found] == [10**7, 10**6, 10**5, 10**4, 10**3]
    assert len(found) == SHOWN_MILESTONES


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_facts_take_three_queries_and_a_counter_one_more(kind, database, django_assert_num_queries):
    load = create_metric("Load", "load", kind)
    for number in range(20):
        record("load", kind, number, {"host": str(number)}, at(2000 + number, 1, 1))
    aggregate()
    record("load", kind, 5)
    with django_assert_num_queries(3 + (kind == "counter"), using=database):
        facts_of(load)


def test_a_gauge_says_its_latest_value(database):
    queue = create_metric("Queue", "queue", "gauge")
    gauge("queue", 5, at=at(2026, 6, 2))
    aggregate()
    gauge("queue", 3, at=at(2026, 6, 1))
    assert facts_of(queue).whole.last == 5


def test_counting_began_on_the_first_stored_day_or_month(database):
    orders = create_metric("Orders")
    assert facts_of(orders).since is None
    for moment in (at(2026, 3, 5), at(2026, 3, 20), at(2026, 5, 1)):
        metric("orders", at=moment)
    aggregate()
    assert facts_of(orders).since == date(2026, 3, 5)
    Total.objects.filter(period="day", start__lt=date(2026, 4, 1)).delete()
    assert facts_of(orders).since == date(2026, 3, 1)


def test_before_the_first_aggregation_counting_began_with_the_first_pending_event(orders):
    for day in (6, 5):
        metric("orders", at=at(2026, 3, day, 12))
    assert facts_of(orders).since == date(2026, 3, 5)
