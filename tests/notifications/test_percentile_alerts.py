"""Alerts about percentiles."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.checks import run_checks

from app_metrics import collect, distribution, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.checks import check_firing
from app_metrics.models import Alert, Metric, Notice, Total
from app_metrics.models.creation import create_metric
from app_metrics.notifications.alerts import check_alerts
from app_metrics.recording.metrics import record

# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
YESTERDAY = NOW.replace(day=9, hour=9)
NO_HISTOGRAM = (
    "The latest day has numbers without percentiles: they were recorded before there were any, or as another kind, or "
    "their histogram is damaged."
)


def take(seconds, weeks=0, labels=None):
    """Record that nine checkouts of a day took a second, and one took more."""
    at = YESTERDAY - timedelta(weeks=weeks)
    with collect():
        for each in (*[1] * 9, seconds):
            record("checkout_seconds", "timer", each, labels, at)


def check(settings, now=NOW, **rule):
    """Evaluate an alert about the 95th percentile of a day; return the result and the alert."""
    rule = {"metric": "checkout_seconds", "period": "day", "percentile": 95} | rule
    settings.APP_METRICS_ALERTS = {"Slow": rule}
    return check_alerts(now), Alert.objects.get()


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
def test_an_alert_watches_a_percentile_instead_of_the_mean(aggregated, database, settings):
    take(30)
    if aggregated:
        aggregate()
    done, alert = check(settings, above=20)
    assert (done.evaluated, done.failed, alert.state, alert.value) == (["Slow"], {}, "fired", 30)
    _, alert = check(settings, above=20, percentile=90)
    assert (alert.state, alert.value) == ("ok", 1)
    _, alert = check(settings, above=20, percentile=90.1)
    assert (alert.state, alert.value) == ("fired", 30)


def test_a_percentile_is_low_as_any_number(database, settings):
    take(30)
    assert check(settings, below=31)[1].state == "fired"
    assert check(settings, below=30)[1].state == "ok"


@pytest.mark.parametrize("rule", [{"change": 50}, {"worse": 50}], ids=str)
def test_a_percentile_is_compared_with_the_mean_of_those_of_previous_weeks(rule, database, settings):
    take(30)
    for weeks, seconds in ((1, 10), (2, 30), (3, 20), (4, 20)):
        take(seconds, weeks)
    take(20, 5)
    _, alert = check(settings, **rule)
    assert (alert.state, alert.value, alert.base) == ("fired", 30, 20)


def test_a_percentile_is_that_of_the_given_label_set(database, settings):
    take(30, labels={"plan": "pro"})
    take(5, labels={"plan": "free"})
    assert check(settings, above=20, labels={"plan": "free"})[1].value == 5
    assert check(settings, above=20, labels={"plan": "pro"})[1].value == 30


def test_distributions_have_percentiles_too(database, settings):
    distribution("order_value", 1999, at=YESTERDAY)
    assert check(settings, metric="order_value", above=1000)[1].state == "fired"


def test_without_numbers_an_alert_about_a_percentile_keeps_its_state(database, settings):
    take(30)
    assert check(settings, above=20)[1].state == "fired"
    done, alert = check(settings, NOW + timedelta(days=1), above=20)
    assert (done.evaluated, alert.state, alert.value, alert.error) == (["Slow"], "fired", None, "")


def test_an_alert_about_an_unknown_percentile_is_not_evaluated_and_says_why(database, settings):
    take(30)
    aggregate()
    Total.objects.update(histogram=None)
    done, alert = check(settings, above=20)
    assert (done.evaluated, done.waiting, done.failed) == ([], {"Slow": NO_HISTOGRAM}, {})
    assert (alert.state, alert.value, alert.error, alert.evaluated_at) == ("ok", None, NO_HISTOGRAM, NOW)


def test_the_base_leaves_out_weeks_without_percentiles(database, settings):
    for weeks in (3, 2):  # it was not counted throughout the first one
        take(10, weeks)
    aggregate()
    Total.objects.update(histogram=None)
    take(20, 1)
    take(30)
    _, alert = check(settings, change=50)
    assert (alert.state, alert.value, alert.base) == ("fired", 30, 20)


@pytest.mark.parametrize(
    ("language", "percent", "line"),
    [
        ("en", 95, "p95 of Checkout, day from 9 June 2026: 30 s"),
        ("de", Decimal("99.9"), "p99,9 von Checkout, Tag vom 9. Juni 2026: 30 s"),
        ("fr", Decimal("99.9"), "p99,9 de Checkout, jour du 9 juin 2026 : 30 s"),
    ],
)
def test_the_mail_names_the_percentile(language, percent, line, database, settings):
    settings.LANGUAGE_CODE = language
    create_metric(name="Checkout", slug="checkout_seconds", kind="timer")
    take(30)
    check(settings, percentile=percent, above=20, recipients=["team@example.com"])
    assert Notice.objects.get().text.splitlines()[0].replace("\u00a0", " ") == line


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_a_percentile_of_another_kind_is_an_error_and_a_check_finds_it(kind, database, settings):
    create_metric(name="Orders", slug="orders", kind=kind)
    metric("orders", 5, at=YESTERDAY)
    done, alert = check(settings, metric="orders", above=20)
    assert f"'orders' is a {kind}, and only timers and distributions have percentiles" in done.failed["Slow"]
    assert alert.error == done.failed["Slow"]
    (found,) = check_firing([database])
    assert (found.id, found.msg) == ("app_metrics.W026", "APP_METRICS_ALERTS['Slow'] cannot fire.")
    assert found.hint == done.failed["Slow"]
    Metric.objects.update(kind="timer")
    assert check_firing([database]) == []


@pytest.mark.parametrize(
    ("rule", "mistake", "hint"),
    [
        ({"percentile": 101}, "has percentile=101.", "Give a percentage from 0 to 100."),
        ({"percentile": -1}, "has percentile=-1.", "Give a percentage from 0 to 100."),
        ({"percentile": "95"}, "has percentile='95', which is not a number.", "Give a percentage from 0 to 100."),
        ({"percentile": None}, "has percentile=None, which is not a number.", "Give a percentage from 0 to 100."),
        ({"percentil": 95}, "has the unknown key 'percentil'.", "Did you mean 'percentile'?"),
    ],
    ids=repr,
)
def test_a_bad_percentile_gets_a_message_with_a_hint(rule, mistake, hint, settings):
    settings.APP_METRICS_ALERTS = {"Slow": {"metric": "checkout_seconds", "period": "day", "above": 2, **rule}}
    (message,) = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E019"]
    assert (message.msg, message.hint) == (f"APP_METRICS_ALERTS['Slow'] {mistake}", hint)


def test_a_rule_has_a_ratio_or_a_percentile(settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts", "to": "visits"}}
    rule = {"ratio": "conversion", "period": "day", "above": 2, "percentile": 95}
    settings.APP_METRICS_ALERTS = {"Odd": rule}
    (message,) = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E019"]
    assert message.msg == "APP_METRICS_ALERTS['Odd'] has a ratio and a percentile."
