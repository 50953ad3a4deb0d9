"""Alerts about ratios."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from app_metrics import collect, metric
from app_metrics.models import Alert, Notice
from app_metrics.notifications.alerts import check_alerts, compile_alerts

# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
YESTERDAY = NOW.replace(day=9, hour=9)
RATIOS = {
    "conversion": {"of": "checkouts", "to": "visits", "as": "percent"},
    "share": {"of": {"slug": "visits", "labels": {"page": "home"}}, "to": "visits"},
}
LOW = {"ratio": "conversion", "period": "day", "below": 2}


@pytest.fixture
def site(database, settings):
    """Both metrics were counted on each of the last 80 days: 20 checkouts of 1,000 visits."""
    settings.APP_METRICS_RATIOS = RATIOS
    with collect():
        for days in range(2, 80):
            count(20, 1000, days)
    return database


def count(checkouts, visits, days=1):
    at = NOW.replace(hour=9) - timedelta(days=days)
    metric("checkouts", checkouts, at=at)
    metric("visits", visits, at=at)


def state(settings, now=NOW, **rule):
    settings.APP_METRICS_ALERTS = {"Conversion": rule or LOW}
    done = check_alerts(now)
    assert done.failed == {}
    return Alert.objects.get().state if done.evaluated else done.waiting["Conversion"]


@pytest.mark.parametrize(("checkouts", "expected"), [(19, "fired"), (20, "ok")])
def test_the_limit_of_a_percentage_is_in_percent(site, settings, checkouts, expected):
    count(checkouts, 1000)
    assert state(settings) == expected
    assert Alert.objects.get().value == Decimal(checkouts) / 10


@pytest.mark.parametrize(
    ("test", "checkouts", "expected"),
    [
        ({"above": 3}, 31, "fired"),
        ({"above": 3}, 30, "ok"),
        ({"change": -50}, 10, "fired"),
        ({"change": -50}, 11, "ok"),
        ({"change": -50, "at_least": 2.5}, 10, "ok"),
        ({"worse": 50}, 10, "fired"),
        ({"worse": 50}, 40, "ok"),
    ],
)
def test_every_test_of_a_metric_works_for_a_ratio(site, settings, test, checkouts, expected):
    count(checkouts, 1000)
    assert state(settings, ratio="conversion", period="day", **test) == expected


def test_worse_follows_what_the_ratio_calls_better(site, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {**RATIOS["conversion"], "better": "down"}}
    count(40, 1000)
    assert state(settings, ratio="conversion", period="day", worse=50) == "fired"


def test_a_ratio_that_calls_nothing_better_is_never_worse(site, settings):
    settings.APP_METRICS_ALERTS = {"Share": {"ratio": "share", "period": "day", "worse": 50}}
    [reason] = check_alerts(NOW).failed.values()
    assert "No change of 'share' is worse: say which one is better in its entry of APP_METRICS_RATIOS" in reason


def test_without_a_denominator_the_state_stays(site, settings):
    count(10, 1000)
    assert state(settings) == "fired"
    assert state(settings, NOW + timedelta(days=1)) == "fired"
    assert Alert.objects.get().value is None


@pytest.mark.parametrize("test", [{"below": 2}, {"above": 0.05}])
def test_a_period_in_which_a_part_was_not_counted_throughout_is_left_out(database, settings, test):
    settings.APP_METRICS_RATIOS = RATIOS
    metric("visits", 1000, at=NOW - timedelta(days=30))
    metric("visits", 1000, at=YESTERDAY)
    metric("checkouts", 1, at=YESTERDAY)
    found = state(settings, ratio="conversion", period="day", **test)
    assert found.startswith("The latest day was not counted in full")


def test_an_unknown_metric_is_named(database, settings):
    settings.APP_METRICS_RATIOS = RATIOS
    metric("checkouts", at=YESTERDAY)
    assert state(settings).startswith("The metric 'visits' has no numbers yet")


@pytest.mark.parametrize("period", ["hour", "day", "week", "month"])
def test_every_period_is_watched(site, settings, period):
    assert state(settings, NOW - timedelta(days=2, hours=2), ratio="conversion", period=period, below=3) == "fired"


def test_the_mail_has_the_ratio_its_limit_and_a_link_to_its_page(site, settings):
    settings.APP_METRICS_BASE_URL = "https://example.com"
    count(10, 1000)
    state(settings, **LOW, recipients=["team@example.com"])
    lines = Notice.objects.get().text.replace("\u00a0", " ").splitlines()
    address = reverse("admin:app_metrics_dashboard_ratio", args=["conversion"])
    assert lines == [
        "conversion, day from 9 June 2026: 1 %",
        "The alert fires below 2 %.",
        f"Dashboard: https://example.com{address}",
    ]


@pytest.mark.parametrize(
    ("rule", "message", "hint"),
    [
        ({**LOW, "metric": "visits"}, "has a metric and a ratio", "Give exactly one of them."),
        ({**LOW, "labels": {"plan": "pro"}}, "has a ratio and labels", "Write the labels in the ratio's entry"),
        ({**LOW, "ratio": "convertion"}, "has the unknown ratio 'convertion'", "Did you mean 'conversion'?"),
        ({**LOW, "ratio": ["conversion"]}, "has the unknown ratio ['conversion']", "Did you mean 'conversion'?"),
        ({"ratio": "conversion", "below": 2}, "lacks 'period'", "Write it like this"),
    ],
)
def test_a_mistake_has_a_message_with_a_hint(settings, rule, message, hint):
    settings.APP_METRICS_RATIOS = RATIOS
    found, [mistake] = compile_alerts({"Conversion": rule})
    assert found == {}
    assert message in str(mistake)
    assert hint in mistake.hint


WEEKLY = {"of": {"slug": "checkouts", "days": 7}, "to": {"slug": "visits", "days": 7}, "as": "percent"}


def test_an_alert_watches_the_days_that_end_with_the_period(site, settings):
    settings.APP_METRICS_RATIOS = {"conversion": WEEKLY}
    count(6, 1000)
    assert state(settings) == "fired"
    assert Alert.objects.get().value == Decimal("1.8")


def test_a_change_is_compared_with_the_days_of_earlier_weeks(site, settings):
    settings.APP_METRICS_RATIOS = {"conversion": WEEKLY}
    count(20, 1000)
    assert state(settings, ratio="conversion", period="day", change=-10) == "ok"
    assert Alert.objects.get().base == 2


@pytest.mark.parametrize(("days", "expected"), [(8, "fired"), (7, "The latest day with the 7 days up to its end was")])
def test_an_alert_begins_when_all_of_its_days_were_counted(database, settings, days, expected):
    settings.APP_METRICS_RATIOS = {"conversion": WEEKLY}
    count(1, 1000, days), count(1, 1000)
    assert state(settings).startswith(expected)


def test_the_hours_of_a_ratio_of_days_are_a_mistake(settings):
    settings.APP_METRICS_RATIOS = {"conversion": WEEKLY}
    _, [mistake] = compile_alerts({"Hourly": {"ratio": "conversion", "period": "hour", "below": 2}})
    assert str(mistake) == "APP_METRICS_ALERTS['Hourly'] watches the hours of the ratio 'conversion'."
    assert mistake.hint == "Choose day, week or month: in APP_METRICS_RATIOS, it has 'days', which are whole days."
