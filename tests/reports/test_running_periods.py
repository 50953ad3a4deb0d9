"""A report on a period that is not over."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.content import build_report
from app_metrics.reports.rendering import render

# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture
def shop(database):
    with freeze_time(NOW):
        orders = create_metric("Orders")
        with collect():
            for days in range(70):
                metric("orders", 2 if days == 0 else 10 + days % 3, at=NOW - timedelta(days=days))
        yield create_metric_set("Shop", [orders])


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_it_has_the_number_so_far_and_no_change_that_looks_like_a_fall(period, shop):
    report = build_report(shop, period, NOW.date())
    (line,) = report.lines
    assert line.number == line.metric.total(period)
    assert {each.verdict for each in line.trend.comparisons.values()} == {"n/a"}
    assert "\u2212" not in render(report).text


@pytest.mark.parametrize("period", ["day", "week"])
def test_its_worst_day_is_over(period, shop):
    (line,) = build_report(shop, period, NOW.date()).lines
    assert line.worst.start < NOW.date()
    assert line.worst.value >= 10


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_a_period_that_is_over_has_its_changes(period, shop):
    (line,) = build_report(shop, period).lines
    assert line.trend.comparisons["before"].verdict in ("up", "down", "same")
