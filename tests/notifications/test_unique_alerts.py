"""Alerts watch how many different ones there were; milestones do not."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.checks import Tags, run_checks

from app_metrics import collect, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Alert, Milestone, Notice, Total
from app_metrics.notifications.alerts import check_alerts

# A Wednesday, the 1st of the month before being long ago.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
YESTERDAY = NOW.replace(day=9, hour=9)


def come(users, days=0, **labels):
    with collect():
        for user in users:
            unique("users", user, labels=labels or None, at=YESTERDAY - timedelta(days=days))


def check(settings, **rule):
    settings.APP_METRICS_ALERTS = {"Users": {"metric": "users", "recipients": ["ada@example.com"]} | rule}
    done = check_alerts(NOW)
    return done, Alert.objects.get()


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"period": "day", "above": 2}, 3),
        ({"period": "day", "below": 4}, 3),
        ({"period": "week", "above": 2}, 3),  # the week before
        ({"period": "month", "below": 5}, 4),
    ],
    ids=str,
)
def test_alerts_watch_distinct_counts(rule, value, aggregated, database, settings):
    come([9], 80), come([1, 2, 3, 1], 0), come([1, 2], 4), come([2, 3], 5), come([1, 2, 2], 15), come([2, 3, 4], 16)
    if aggregated:
        aggregate()
    # The week: 4 and 5 days before yesterday are the Friday and the Thursday of the week before. The month is May.
    done, alert = check(settings, **rule)
    assert (done.failed, alert.state, alert.value) == ({}, "fired", value)


def test_a_change_of_distinct_counts_is_compared_with_earlier_weeks(database, settings):
    come([9], 30)
    for weeks in range(1, 5):
        come([1, 2, 3, 4], 7 * weeks)
    come([1, 1, 1, 1], 0)
    aggregate()
    _, alert = check(settings, period="day", change=-50)
    assert (alert.state, alert.value) == ("fired", 1)


def test_too_few_are_reported_only_of_days_that_were_counted_in_full(database, settings):
    come([1], 0)
    aggregate()
    _, alert = check(settings, period="day", below=5)
    assert alert.state != "fired"
    assert not Notice.objects.exists()


def test_an_alert_on_a_damaged_sketch_says_that_the_count_is_unknown(database, settings):
    come([9], 30), come([1, 2], 0)
    aggregate()
    Total.objects.filter(period="day").update(uniques=b"nonsense")
    done, alert = check(settings, period="day", below=5)
    assert alert.state != "fired"
    assert "unique count of the latest day is unknown" in f"{done}{alert.error}"
    assert not Notice.objects.exists()


def test_a_mail_shows_the_error_of_an_estimate(database, settings):
    come([1], 30), come(range(1500), 0)
    aggregate()
    check(settings, period="day", above=1200)
    text = Notice.objects.get().text
    assert ": about 1," in text
    assert "above 1,200." in text


def test_no_milestone_of_a_unique_count_is_announced(database, settings):
    settings.APP_METRICS_MILESTONES = {"users": [5], "signups": [5]}
    aggregate()
    come([1, 2, 3] * 5)
    metric("signups", 6)
    aggregate()
    assert [each.slug for each in Milestone.objects.all()] == ["signups"]


def test_a_milestone_of_a_unique_count_is_found_by_check(database, settings):
    come([1])
    aggregate()
    settings.APP_METRICS_MILESTONES = {"users": [10_000]}
    [message] = [
        each for each in run_checks(tags=[Tags.database], databases=[database]) if each.id == "app_metrics.W026"
    ]
    assert message.msg == "APP_METRICS_MILESTONES['users'] cannot fire."
    assert "count them with a counter" in message.hint
