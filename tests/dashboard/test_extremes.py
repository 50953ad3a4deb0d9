"""The best and the worst period of a chart."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.core.periods import DAY, HOUR, WEEK
from app_metrics.dashboard.charts import build_chart
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.extremes import extremes_of
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record

BERLIN = ZoneInfo("Europe/Berlin")
BEFORE = date(2026, 1, 1)


def at(*parts):
    return datetime(*parts, tzinfo=BERLIN)


@pytest.fixture
def now(database):
    with freeze_time(at(2026, 6, 10, 12)):
        yield


@pytest.fixture
def orders(now):
    return create_metric("Orders", "orders")


def recorded(numbers):
    for day, number in numbers.items():
        metric("orders", number, labels={"plan": ("free", "pro")[day % 2]}, at=at(2026, 6, day, 9))


def found(orders, since=BEFORE, split="", period=DAY, first=6, where=None):
    chart = build_chart(
        orders, Selection(period, date(2026, 6, first), date(2026, 6, 10), split, where=where or {}), since
    )
    return extremes_of(chart) and tuple(tuple(each) for each in extremes_of(chart))


@pytest.mark.parametrize("split", ["", "plan"])
def test_they_are_the_periods_with_the_largest_and_the_smallest_number(split, orders):
    recorded({6: 5, 7: 9, 8: 2, 9: 7})
    assert found(orders, split=split) == ((date(2026, 6, 7), 9), (date(2026, 6, 8), 2))


def test_they_count_the_overflow_series_unless_a_filter_is_active(orders, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    recorded({6: 5, 7: 9, 8: 2, 9: 7})
    metric("orders", 100, labels={"plan": "team"}, at=at(2026, 6, 8, 9))
    for split in ("", "plan"):
        assert found(orders, split=split)[0] == (date(2026, 6, 8), 102)
        assert found(orders, split=split, where={"plan": "pro"})[0] == (date(2026, 6, 7), 9)


def test_a_period_that_is_not_over_is_neither(orders):
    recorded({6: 5, 7: 9, 8: 6, 9: 7, 10: 1})
    assert found(orders) == ((date(2026, 6, 7), 9), (date(2026, 6, 6), 5))
    recorded({10: 100})
    assert found(orders) == ((date(2026, 6, 7), 9), (date(2026, 6, 6), 5))


def test_the_period_in_which_counting_began_is_neither(orders):
    recorded({6: 1, 7: 9, 8: 6, 9: 7})
    assert found(orders, since=date(2026, 6, 6)) == ((date(2026, 6, 7), 9), (date(2026, 6, 8), 6))
    assert found(orders, since=date(2026, 6, 2), period=WEEK, first=1) is None


def test_of_equal_periods_it_is_the_first(orders):
    recorded({6: 5, 7: 9, 8: 5, 9: 9})
    assert found(orders) == ((date(2026, 6, 7), 9), (date(2026, 6, 6), 5))


def test_periods_without_events_have_zero(orders):
    recorded({7: 9})
    assert found(orders) == ((date(2026, 6, 7), 9), (date(2026, 6, 6), 0))


def test_an_hour_is_given_by_its_time(orders):
    recorded({8: 3})
    best, worst = found(orders, period=HOUR, first=7)
    assert (best, worst) == ((at(2026, 6, 8, 9), 3), (at(2026, 6, 7), 0))


def test_there_are_none_if_all_periods_are_equal_or_nothing_was_aggregated(orders):
    recorded(dict.fromkeys(range(6, 10), 3))
    assert found(orders) is None
    recorded({6: 1})
    assert found(orders, since=None) is None


@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_gauges_and_timers_have_none(kind, now):
    load = create_metric("Load", "load", kind)
    for day in (6, 7):
        record("load", kind, day, at=at(2026, 6, day))
    assert found(load) is None
