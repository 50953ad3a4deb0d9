"""Alerts: when they fire and recover, and what signals and notifications say."""

import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import DatabaseError, connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation
from freezegun import freeze_time

from app_metrics import gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Alert, Metric, Notice
from app_metrics.models.creation import create_metric
from app_metrics.notifications import alerts
from app_metrics.notifications.alerts import check_alerts, compile_alerts
from app_metrics.recording.metrics import record
from app_metrics.signals import alert_fired, alert_recovered
from tests.support.paths import ROOT
from tests.testapp.models import Tag

BERLIN = ZoneInfo("Europe/Berlin")
# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=BERLIN)
TODAY, YESTERDAY = NOW.replace(hour=9), NOW.replace(day=9, hour=9)
# Counting began so long ago that every period was counted throughout.
LONG_AGO = datetime(2025, 1, 1, tzinfo=BERLIN)
HOUR = timedelta(hours=1)


class Kill(BaseException):
    pass


@pytest.fixture(autouse=True)
def _signups_are_counted(request):
    for name in {"database", "transactional_database"} & set(request.fixturenames):
        request.getfixturevalue(name)
        create_metric(name="Signups", slug="signups")
        metric("signups", 0, at=LONG_AGO)


@pytest.fixture
def heard():
    """Collect the calls of both signals: event, alert name, state and moment."""
    calls = []

    def fired(sender, alert, moment, **kwargs):
        assert sender is Alert
        calls.append(("fired", alert.name, alert.state, moment))

    def recovered(sender, alert, moment, **kwargs):
        calls.append(("recovered", alert.name, alert.state, moment))

    alert_fired.connect(fired)
    alert_recovered.connect(recovered)
    yield calls
    alert_fired.disconnect(fired)
    alert_recovered.disconnect(recovered)


def configure(settings, period="day", name="Signups", **rule):
    settings.APP_METRICS_ALERTS = {name: {"metric": "signups", "period": period} | rule}


def local(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def count(at, number=1, **options):
    metric("signups", number, at=at, **options)


def reported(done):
    return [alert.name for alert in done.fired], [alert.name for alert in done.recovered]


def fires(now=NOW):
    """Evaluate the only alert; return whether its state is "fired" afterwards."""
    done = check_alerts(now)
    assert done.failed == {}
    assert done.evaluated == [Alert.objects.get().name]
    return Alert.objects.get().state == "fired"


@pytest.mark.parametrize(
    ("test", "number", "expected"),
    [
        ({"below": 10}, 9, True),
        ({"below": 10}, 10, False),
        ({"below": 0.5}, 0, True),
        ({"below": Decimal("-2.5")}, -3, True),
        ({"above": 10}, 11, True),
        ({"above": 10}, 10, False),
        ({"above": Decimal("9.999999999")}, 10, True),
    ],
)
def test_a_limit_is_not_itself_beyond_the_limit(test, number, expected, database, settings):
    configure(settings, **test)
    count(YESTERDAY, number)
    assert fires() is expected
    alert = Alert.objects.get()
    assert (alert.value, alert.base, alert.evaluated_at, alert.error) == (number, None, NOW, "")
    assert (alert.changed_at, alert.reported_at) == ((NOW, NOW) if expected else (None, None))


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "waiting"])
def test_alerts_count_pending_items_like_totals(aggregated, database, settings):
    configure(settings, below=10)
    count(YESTERDAY, 7)
    aggregate()
    count(YESTERDAY, 3)
    if aggregated:
        aggregate()
    assert not fires()


CLOSED = [
    # The period, then the seconds at the edges of the latest closed one: last before, first in, last in, first after.
    ("hour", "2026-06-10 10:59:59", "2026-06-10 11:00:00", "2026-06-10 11:59:59", "2026-06-10 12:00:00"),
    ("day", "2026-06-08 23:59:59", "2026-06-09 00:00:00", "2026-06-09 23:59:59", "2026-06-10 00:00:00"),
    ("week", "2026-05-31 23:59:59", "2026-06-01 00:00:00", "2026-06-07 23:59:59", "2026-06-08 00:00:00"),
    ("month", "2026-04-30 23:59:59", "2026-05-01 00:00:00", "2026-05-31 23:59:59", "2026-06-01 00:00:00"),
]


@pytest.mark.parametrize(("period", "before", "first", "last", "after"), CLOSED)
def test_an_alert_evaluates_the_latest_closed_period(period, before, first, last, after, database, settings):
    configure(settings, period, above=0)
    for moment, number in ((before, 1000), (first, 1), (last, 10), (after, 100)):
        count(datetime.fromisoformat(moment).replace(tzinfo=BERLIN), number)
    assert fires()
    assert Alert.objects.get().value == 11


# When counting began, and an evaluation at which the latest closed period was counted throughout, and one before.
BEGINNINGS = [
    ("hour", "2026-06-10 09:40", "2026-06-10 11:05", "2026-06-10 10:55"),
    ("day", "2026-06-08 15:00", "2026-06-10 00:30", "2026-06-09 23:30"),
    ("week", "2026-06-03 15:00", "2026-06-15 00:30", "2026-06-14 23:30"),
    ("month", "2026-04-02 15:00", "2026-06-01 00:30", "2026-05-31 23:30"),
]


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "waiting"])
@pytest.mark.parametrize(("period", "begun", "late_enough", "too_early"), BEGINNINGS)
def test_a_low_number_counts_from_the_first_period_that_was_counted_throughout(
    period, begun, late_enough, too_early, aggregated, database, settings
):
    configure(settings, period, name="No visits", metric="visits", below=1000)
    create_metric(name="Visits", slug="visits")
    metric("visits", at=local(begun))
    if aggregated:
        aggregate()
    done = check_alerts(local(too_early))
    assert (list(done.waiting), done.failed, reported(done)) == (["No visits"], {}, ([], []))
    assert Alert.objects.get().state == "ok"
    assert "begins with the first one that is" in Alert.objects.get().error
    assert reported(check_alerts(local(late_enough))) == (["No visits"], [])


def test_a_high_number_counts_from_the_first_event(database, settings):
    configure(settings, "hour", name="Errors", metric="errors", above=10)
    metric("errors", 11, at=local("2026-06-10 11:40"))
    aggregate()
    assert reported(check_alerts(NOW)) == (["Errors"], [])


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "waiting"])
@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
def test_before_the_first_full_hour_there_is_nothing_to_watch(kind, aggregated, database, settings):
    configure(settings, "hour", name="Errors", metric="errors", above=10)
    record("errors", kind, 11, at=local("2026-06-10 12:10"))
    if aggregated:
        aggregate()
    done = check_alerts(NOW)
    assert (done.evaluated, done.failed) == ([], {})
    assert done.waiting == {"Errors": "No hour is over since 'errors' was first recorded."}
    assert Alert.objects.get().error == done.waiting["Errors"]
    assert reported(check_alerts(NOW + HOUR)) == (["Errors"], [])


def test_a_gauge_is_low_from_its_first_value(database, settings):
    configure(settings, "hour", name="Stock", metric="stock", below=10)
    with freeze_time(NOW - HOUR):
        gauge("stock", 3)
    aggregate()
    assert reported(check_alerts(NOW)) == (["Stock"], [])


def test_the_base_of_a_change_leaves_out_weeks_before_counting_began(database, settings):
    """They would count as 0, and any number would be a rise."""
    configure(settings, "day", name="Rise", metric="visits", change=50)
    metric("visits", 7, at=local("2026-05-20 12:00"))  # a Wednesday
    for day in ("2026-05-26", "2026-06-02", "2026-06-09"):
        metric("visits", 100, at=local(f"{day} 12:00"))
    aggregate()
    assert reported(check_alerts(NOW)) == ([], [])
    assert Alert.objects.get().base == 100


@pytest.mark.parametrize(("period", "now"), [("day", "2026-06-10 00:00:00"), ("hour", "2026-06-10 00:00:00")])
def test_a_period_is_closed_at_its_very_end(period, now, database, settings):
    configure(settings, period, above=0)
    now = datetime.fromisoformat(now).replace(tzinfo=BERLIN)
    count(now - timedelta(seconds=1))
    assert not fires(now - timedelta(seconds=1))
    assert fires(now)


def test_alerts_follow_the_first_day_of_the_week(database, settings):
    settings.APP_METRICS_WEEK_START = "sunday"
    configure(settings, "week", above=0)
    for day, number in ((30, 1000), (31, 1)):
        count(datetime(2026, 5, day, 12, tzinfo=BERLIN), number)
    for day, number in ((6, 10), (7, 100)):
        count(datetime(2026, 6, day, 12, tzinfo=BERLIN), number)
    assert fires()
    assert Alert.objects.get().value == 11


def test_a_daily_alert_looks_at_yesterday_in_the_metrics_time_zone(database, settings):
    settings.APP_METRICS_TIME_ZONE = "Asia/Tokyo"
    configure(settings, above=0)
    count(datetime(2026, 6, 9, 14, 59, tzinfo=UTC), 1)
    count(datetime(2026, 6, 9, 15, 0, tzinfo=UTC), 10)
    fires(datetime(2026, 6, 10, 14, 0, tzinfo=UTC))
    assert Alert.objects.get().value == 1
    fires(datetime(2026, 6, 10, 15, 0, tzinfo=UTC))
    assert Alert.objects.get().value == 10


WEEKS = [timedelta(weeks=weeks) for weeks in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("change", "at_least", "bases", "number", "expected"),
    [
        (-50, 0, (10, 20, 30, 40), Decimal("12.5"), True),
        (-50, 0, (10, 20, 30, 40), Decimal("12.500000001"), False),
        (-100, 0, (1, 1, 1, 1), 0, True),
        (-100, 0, (1, 1, 1, 1), 1, False),
        (50, 0, (10, 20, 30, 40), Decimal("37.5"), True),
        (50, 0, (10, 20, 30, 40), Decimal("37.499999999"), False),
        (-50, 25, (10, 20, 30, 40), 1, True),
        (-50, Decimal("25.000000001"), (10, 20, 30, 40), 1, False),
        (-50, 0, (0, 0, 0, 0), 0, False),
        (50, 0, (0, 0, 0, 0), 1000, False),
        (50, 0, (-10, 0, 0, 0), 1000, False),
        (100, 0, (0, 0, 0, 1), Decimal("0.5"), True),
        # The mean may need more than nine decimals, so it is compared exactly.
        (-10, 0, (Decimal("0.000000001"), 0, 0, 0), Decimal("0.000000001"), False),
        (10, 0, (1, 1, 1, Decimal("1.000000001")), Decimal("1.100000000"), False),
    ],
)
def test_a_change_is_measured_at_the_mean_of_four_weeks(change, at_least, bases, number, expected, database, settings):
    configure(settings, change=change, at_least=at_least)
    for before, base in zip(WEEKS, bases, strict=True):
        count(YESTERDAY - before, base)
        count(YESTERDAY - before - timedelta(days=1), 1000)
    count(YESTERDAY - timedelta(weeks=5), 1000)
    count(YESTERDAY, number)
    assert fires() is expected
    mean = sum(Decimal(base) for base in bases) / 4
    assert abs(Alert.objects.get().base - mean) < Decimal("0.000000001")


@pytest.mark.parametrize(
    ("better", "number", "expected"),
    [
        ("up", 10, True),
        ("up", 11, False),
        ("up", 99, False),
        ("down", 30, True),
        ("down", 29, False),
        ("down", 0, False),
    ],
)
def test_worse_is_a_change_in_the_direction_that_is_bad_news(better, number, expected, database, settings):
    Metric.objects.update(better=better)
    configure(settings, worse=50, at_least=5)
    for before in WEEKS:
        count(YESTERDAY - before, 20)
    count(YESTERDAY, number)
    assert fires() is expected


@pytest.mark.parametrize(
    ("better", "worse", "error"),
    [
        ("neither", 50, "No change of 'signups' is worse: say which one is better"),
        ("up", 150, "'signups' cannot fall by more than 100 %"),
    ],
)
def test_worse_needs_a_direction_that_the_metric_has(better, worse, error, database, settings):
    Metric.objects.update(better=better)
    configure(settings, worse=worse)
    assert error in check_alerts(NOW).failed["Signups"]


def test_a_week_is_measured_at_the_four_weeks_before(database, settings):
    configure(settings, "week", change=-50)
    last_week = NOW.replace(day=3)
    count(last_week, 5)
    for before, base in zip(WEEKS, (10, 20, 30, 40), strict=True):
        count(last_week - before, base)
    count(last_week - timedelta(weeks=5), 1000)
    assert fires()
    assert (Alert.objects.get().value, Alert.objects.get().base) == (5, 25)


def test_an_hour_is_measured_at_the_same_hour_of_the_same_weekday(database, settings):
    configure(settings, "hour", change=-50)
    closed = NOW - HOUR
    count(closed, 5)
    for before in WEEKS:
        count(closed - before, 10)
        count(closed - before - HOUR, 1000)
        count(closed - before + HOUR, 1000)
    assert fires()
    assert (Alert.objects.get().value, Alert.objects.get().base) == (5, 10)


def test_an_hour_is_counted_from_midnight_over_a_clock_change(database, settings):
    """Clocks went forward on 29 March at 2:00, so the fifth hour of that day began at 5:00."""
    configure(settings, "hour", change=-50)
    count(datetime(2026, 3, 29, 5, 30, tzinfo=BERLIN), 1)
    for weeks in (1, 2, 3, 4):
        count(datetime(2026, 3, 29, 4, 30, tzinfo=BERLIN) - timedelta(weeks=weeks), 8)
        count(datetime(2026, 3, 29, 5, 30, tzinfo=BERLIN) - timedelta(weeks=weeks), 1000)
    assert fires(datetime(2026, 3, 29, 6, 10, tzinfo=BERLIN))
    assert (Alert.objects.get().value, Alert.objects.get().base) == (1, 8)


def test_an_hourly_alert_evaluates_both_hours_that_clocks_show_twice(database, settings):
    """Clocks went back on 25 October at 3:00, so 2:30 came twice."""
    configure(settings, "hour", above=0)
    count(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), 1)
    count(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), 10)
    fires(datetime(2026, 10, 25, 1, 10, tzinfo=UTC))
    assert Alert.objects.get().value == 1
    fires(datetime(2026, 10, 25, 2, 10, tzinfo=UTC))
    assert Alert.objects.get().value == 10


def test_the_25th_hour_of_a_day_has_nothing_to_be_compared_with(database, settings):
    configure(settings, "hour", change=-50)
    last = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)
    count(last, 0)
    for weeks in (1, 2, 3, 4):
        count(last - timedelta(weeks=weeks), 1000)
        count(last - timedelta(weeks=weeks) + HOUR, 1000)
    assert not fires(last + HOUR)
    assert Alert.objects.get().base is None


@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_an_alert_without_values_does_not_change_its_state(kind, database, settings, heard):
    Metric.objects.update(kind=kind)
    configure(settings, below=10)
    assert not fires()
    count(YESTERDAY, 5)
    assert fires()
    tomorrow = NOW + timedelta(days=1)
    assert fires(tomorrow)
    alert = Alert.objects.get()
    assert (alert.value, alert.evaluated_at, alert.error) == (None, tomorrow, "")
    assert [call[0] for call in heard] == ["fired"]


def test_a_gauge_is_its_last_value_and_a_timer_its_mean(database, settings):
    Metric.objects.update(kind="gauge")
    configure(settings, above=6)
    for number, hour in ((100, 8), (7, 22), (7, 9)):
        count(YESTERDAY.replace(hour=hour), number)
    assert fires()
    assert Alert.objects.get().value == 7
    Metric.objects.update(kind="timer")
    assert fires()
    assert Alert.objects.get().value == 38


def test_the_base_of_a_gauge_is_the_mean_of_recorded_weeks(database, settings):
    Metric.objects.update(kind="gauge")
    configure(settings, change=-50)
    count(YESTERDAY, 5)
    assert not fires()
    assert Alert.objects.get().base is None
    count(YESTERDAY - timedelta(weeks=2), 10)
    count(YESTERDAY - timedelta(weeks=4), 20)
    assert fires()
    assert Alert.objects.get().base == 15


def test_an_alert_reads_the_given_label_set_or_all(database, settings):
    for labels, number in ((None, 1), ({"plan": "pro"}, 10), ({"plan": "pro", "country": "de"}, 100)):
        count(YESTERDAY, number, labels=labels)
    for labels, value in (({"plan": "pro"}, 10), ({"country": "de", "plan": "pro"}, 100), ({}, 1), (None, 111)):
        configure(settings, above=0, **({} if labels is None else {"labels": labels}))
        fires()
        assert Alert.objects.get().value == value


def test_only_changes_are_reported(database, settings, heard):
    configure(settings, below=10, recipients=["team@example.com"], quiet=0)
    count(TODAY - timedelta(days=2), 5)
    moments = [NOW + timedelta(days=days) for days in (-2, -1, 0, 0, 1)]
    count(YESTERDAY, 50)
    results = [reported(check_alerts(moment)) for moment in moments]
    assert results == [(["Signups"], []), ([], []), ([], ["Signups"]), ([], []), (["Signups"], [])]
    assert [(call[0], call[2], call[3]) for call in heard] == [
        ("fired", "fired", moments[0]),
        ("recovered", "ok", moments[2]),
        ("fired", "fired", moments[4]),
    ]
    assert [each.subject for each in Notice.objects.order_by("pk")] == [
        "Alert: Signups",
        "Recovered: Signups",
        "Alert: Signups",
    ]


def test_an_alert_that_never_fired_does_not_recover(database, settings, heard):
    configure(settings, below=1)
    count(YESTERDAY)
    assert reported(check_alerts(NOW)) == ([], [])
    assert heard == []


@pytest.fixture
def switch(settings):
    """Return a function that evaluates the alert as fired or not, a number of hours after NOW."""
    configure(settings, above=0, quiet=6, recipients=["team@example.com"])

    def switch(hours, fired):
        settings.APP_METRICS_ALERTS["Signups"]["above"] = -1 if fired else 0
        return reported(check_alerts(NOW + timedelta(hours=hours)))

    return switch


def test_within_the_quiet_time_a_change_is_stored_and_reported_after_it(database, switch, heard):
    assert switch(0, fired=True) == (["Signups"], [])
    assert switch(1, fired=False) == ([], [])
    alert = Alert.objects.get()
    assert (alert.state, alert.reported_state, alert.changed_at) == ("ok", "fired", NOW + HOUR)
    assert switch(5.99, fired=False) == ([], [])
    assert switch(6, fired=False) == ([], ["Signups"])
    assert Alert.objects.get().reported_at == NOW + 6 * HOUR
    assert switch(7, fired=True) == ([], [])
    assert switch(11.99, fired=True) == ([], [])
    assert switch(12, fired=True) == (["Signups"], [])
    assert Notice.objects.count() == len(heard) == 3


def test_after_a_report_with_the_clock_a_year_ahead_changes_are_reported_again(database, switch):
    assert switch(0, fired=False) == ([], [])
    assert switch(24 * 365, fired=True) == (["Signups"], [])
    assert switch(1, fired=False) == ([], ["Signups"])
    assert Alert.objects.get().reported_at == NOW + HOUR


def test_an_alert_reported_in_the_future_counts_as_never_reported_even_without_a_change(database, switch):
    switch(0, fired=True)
    Alert.objects.update(reported_at=NOW + timedelta(days=365))
    assert switch(1, fired=True) == ([], [])
    assert Alert.objects.get().reported_at is None


def test_changes_within_the_quiet_time_are_not_reported(database, switch, heard):
    switch(0, fired=True)
    for hours, fired in ((1, False), (2, True), (3, False), (5, True)):
        assert switch(hours, fired=fired) == ([], [])
    assert switch(8, fired=True) == ([], [])
    assert len(heard) == 1


def test_a_delayed_recovery_is_reported_after_the_quiet_time(database, settings, heard):
    Metric.objects.update(kind="gauge")
    configure(settings, "hour", below=10, quiet=2, recipients=["team@example.com"])
    count(NOW - HOUR, 5)
    count(NOW, 50)
    assert reported(check_alerts(NOW)) == (["Signups"], [])
    assert reported(check_alerts(NOW + HOUR)) == ([], [])
    assert reported(check_alerts(NOW + 2 * HOUR)) == ([], ["Signups"])
    assert ": –\n" in Notice.objects.last().text


def test_the_quiet_time_is_one_hour_by_default(database, settings, switch):
    del settings.APP_METRICS_ALERTS["Signups"]["quiet"]
    assert switch(0, fired=True) == (["Signups"], [])
    assert switch(0.99, fired=False) == ([], [])
    assert switch(1, fired=False) == ([], ["Signups"])


def test_the_mail_of_an_alert_shows_the_comparison(database, settings):
    Metric.objects.update(name="New\r\nusers", unit="people")
    name = "Signups\r\nBcc: thief@example.com"
    labels = {"plan": "pro", "country": "de"}
    recipients = ["Team@example.com", "boss@example.com"]
    configure(settings, name=name, change=-50, labels=labels, recipients=recipients)
    count(YESTERDAY, 1000, labels=labels)
    for before in WEEKS:
        count(YESTERDAY - before, 2500, labels=labels)
    check_alerts(NOW)
    notifications = Notice.objects.order_by("pk")
    assert [each.address for each in notifications] == recipients
    assert [each.recipient for each in notifications] == ["team@example.com", "boss@example.com"]
    assert {(each.status, each.planned_at) for each in notifications} == {("waiting", NOW)}
    assert {each.subject for each in notifications} == {"Alert: Signups Bcc: thief@example.com"}
    assert notifications[0].text.split("\n") == [
        "New users, day from 9 June 2026: 1,000 people",
        "The alert fires at a change of −50 %; the mean of the previous weeks is 2,500 people.",
        "Labels: country=de, plan=pro",
    ]


@pytest.mark.parametrize(
    ("period", "test", "lines"),
    [
        ("day", {"below": 1}, ["Signups, day from 9 June 2026: 0 pieces", "The alert fires below 1 pieces."]),
        ("hour", {"above": -1.5}, ["Signups, hour from 10 June 2026, 11 a.m.: 0 pieces",
                                   "The alert fires above −1.5 pieces."]),
    ],
)  # fmt: skip
def test_the_mail_says_which_limit_was_passed(period, test, lines, database, settings):
    Metric.objects.update(unit="pieces")
    configure(settings, period, recipients=["team@example.com"], **test)
    check_alerts(NOW)
    assert Notice.objects.get().text.splitlines() == lines


def test_the_mail_links_to_the_metric_s_page(database, settings):
    settings.APP_METRICS_BASE_URL = "https://example.com/"
    configure(settings, below=1, recipients=["team@example.com"])
    check_alerts(NOW)
    *_, last = Notice.objects.get().text.splitlines()
    assert last == "Dashboard: https://example.com/admin/app_metrics/dashboard/metric/signups/"


def test_mails_are_written_in_the_site_s_language(database, settings):
    settings.LANGUAGE_CODE = "de"
    configure(settings, above=1, recipients=["team@example.com"])
    count(YESTERDAY, 1_000_000)
    with translation.override("en"):
        check_alerts(NOW)
    assert "1.000.000" in Notice.objects.get().text


def test_a_failed_alert_is_reported_and_does_not_stop_other_alerts(database, settings, heard, caplog):
    rule = {"metric": "signups", "period": "day", "below": 1}
    settings.APP_METRICS_ALERTS = {"Mistaken": {**rule, "period": "year"}, "Good": rule}
    done = check_alerts(NOW)
    assert done.evaluated == ["Good"]
    assert reported(done) == (["Good"], [])
    assert done.failed.keys() == {"Mistaken"}
    assert "period='year'. Choose one of day, hour, month, week." in done.failed["Mistaken"]
    assert caplog.records == []  # who calls it reports it


def test_an_alert_whose_metric_has_no_numbers_yet_waits_for_them_and_the_admin_says_so(database, settings, caplog):
    settings.APP_METRICS_ALERTS = {"No orders": {"metric": "orders", "period": "day", "below": 1}}
    with caplog.at_level(logging.ERROR, logger="app_metrics"):
        done = check_alerts(NOW)
    assert (done.evaluated, done.failed, caplog.records) == ([], {}, [])
    assert done.waiting == {"No orders": "The metric 'orders' has no numbers yet; if it should have, check the slug."}
    alert = Alert.objects.get()
    assert (alert.error, alert.state, alert.evaluated_at) == (done.waiting["No orders"], "ok", NOW)
    metric("orders", at=NOW)
    aggregate()
    assert check_alerts(NOW + timedelta(days=2)).waiting == {}
    assert Alert.objects.get().error == ""


def test_an_error_keeps_the_state_and_goes_when_the_evaluation_succeeds(database, settings, heard):
    configure(settings, below=1)
    check_alerts(NOW)
    settings.APP_METRICS_ALERTS["Signups"]["period"] = "days"
    later = NOW + HOUR
    assert list(check_alerts(later).failed) == ["Signups"]
    alert = Alert.objects.get()
    assert (alert.state, alert.value, alert.evaluated_at) == ("fired", 0, later)
    assert "Did you mean 'day'?" in alert.error
    settings.APP_METRICS_ALERTS["Signups"]["period"] = "day"
    assert check_alerts(later + HOUR).failed == {}
    assert Alert.objects.get().error == ""
    assert len(heard) == 1


def test_a_database_error_of_one_rule_leaves_the_others(transactional_database, settings):
    create_metric(name="Broken", slug="broken")
    rule = {"metric": "signups", "period": "day", "below": 1}
    settings.APP_METRICS_ALERTS = {"Broken": {**rule, "labels": {"broken": "yes"}}, "Good": rule}

    def fail(execute, sql, params, *arguments):
        if params and any("broken" in str(each) and "yes" in str(each) for each in params):
            raise DatabaseError("the disk\nis gone\0 \ud800")
        return execute(sql, params, *arguments)

    with connections[transactional_database].execute_wrapper(fail):
        done = check_alerts(NOW)
    assert done.failed == {"Broken": "the disk is gone"}
    assert reported(done) == (["Good"], [])
    assert Alert.objects.get(name="Broken").error == "the disk is gone"


def test_an_error_that_cannot_be_stored_is_in_the_result(transactional_database, settings):
    rule = {"metric": "signups", "period": "day", "below": 1}
    settings.APP_METRICS_ALERTS = {"Bad\0": rule, "B\ud800d": rule, "Good": rule}
    done = check_alerts(NOW)
    assert done.failed.keys() == {"Bad\0", "B\ud800d"}
    assert reported(done) == (["Good"], [])


@pytest.mark.parametrize("value", [None, ["No signups"], {5: {}}], ids=repr)
def test_a_setting_that_maps_nothing_is_one_failure(value, database, settings):
    settings.APP_METRICS_ALERTS = value
    done = check_alerts(NOW)
    assert list(done.failed) == ["APP_METRICS_ALERTS"]
    assert done.evaluated == []
    assert not Alert.objects.exists()


def test_without_alerts_nothing_is_asked_of_the_database(database, settings):
    settings.APP_METRICS_ALERTS = {}
    with CaptureQueriesContext(connections[database]) as queries:
        done = check_alerts()
    assert (len(queries), done.evaluated, done.failed) == (0, [], {})


def test_now_is_the_moment_of_the_call(database, settings):
    configure(settings, above=0)
    count(YESTERDAY)
    with freeze_time(NOW):
        done = check_alerts()
    assert reported(done) == (["Signups"], [])
    assert Alert.objects.get().reported_at == NOW


def test_an_alert_taken_out_of_the_settings_stays_as_it_is(database, settings):
    configure(settings, below=1)
    check_alerts(NOW)
    configure(settings, name="Another", above=5)
    check_alerts(NOW + HOUR)
    assert dict(Alert.objects.values_list("name", "evaluated_at")) == {"Signups": NOW, "Another": NOW + HOUR}


def test_a_receiver_that_raises_is_logged_and_the_change_counts_as_reported(database, settings, heard, caplog):
    def fail(**kwargs):
        raise RuntimeError("no pager")

    configure(settings, below=1, recipients=["team@example.com"])
    alert_fired.connect(fail)
    try:
        with caplog.at_level(logging.ERROR, logger="app_metrics"):
            assert reported(check_alerts(NOW)) == (["Signups"], [])
    finally:
        alert_fired.disconnect(fail)
    assert len(heard) == Notice.objects.count() == 1
    assert "alert_fired" in caplog.records[-1].getMessage()
    assert reported(check_alerts(NOW + 5 * HOUR)) == ([], [])


def test_a_kill_leaves_state_mail_and_signal_or_nothing(transactional_database, settings, monkeypatch, heard):
    configure(settings, below=1, recipients=["team@example.com"])

    def killed(*arguments, **options):
        raise Kill

    for name in ("plan_notifications", "send"):
        with monkeypatch.context() as patched:
            patched.setattr(alerts, name, killed)
            with pytest.raises(Kill):
                check_alerts(NOW)
        assert (Alert.objects.get().state, Alert.objects.get().reported_at, Notice.objects.count()) == ("ok", None, 0)
    assert reported(check_alerts(NOW)) == (["Signups"], [])
    assert len(heard) == Notice.objects.count() == 1


@pytest.mark.parametrize("before", [NOW, NOW - HOUR, None], ids=["same moment", "earlier", "never"])
def test_an_overtaken_evaluation_reports_nothing(before, database, settings, heard, monkeypatch):
    configure(settings, above=0, quiet=0, recipients=["team@example.com"])
    if before:
        check_alerts(before)
    count(YESTERDAY)
    find = alerts._find

    def overtaken(*arguments):
        monkeypatch.setattr(alerts, "_find", find)
        check_alerts(NOW)
        return find(*arguments)

    monkeypatch.setattr(alerts, "_find", overtaken)
    assert reported(check_alerts(NOW)) == ([], [])
    assert len(heard) == Notice.objects.count() == 1


def test_an_alert_created_by_another_process_meanwhile_is_reused(database, settings, heard, monkeypatch):
    configure(settings, below=1)
    retried = alerts.retried

    def late(transact):
        Alert.objects.get_or_create(name="Signups")
        return retried(transact)

    monkeypatch.setattr(alerts, "retried", late)
    assert reported(check_alerts(NOW)) == (["Signups"], [])
    assert Alert.objects.count() == 1


def test_an_evaluation_overtaken_by_two_changes_reports_nothing(database, settings, heard, monkeypatch):
    configure(settings, below=1, quiet=0, recipients=["team@example.com"])
    find = alerts._find

    def overtaken(*arguments):
        found = find(*arguments)
        monkeypatch.setattr(alerts, "_find", find)
        check_alerts(NOW + HOUR)
        count(YESTERDAY, 5)
        check_alerts(NOW + 2 * HOUR)
        return found

    monkeypatch.setattr(alerts, "_find", overtaken)
    assert reported(check_alerts(NOW)) == ([], [])
    assert [call[0] for call in heard] == ["fired", "recovered"]
    assert Alert.objects.get().state == "ok"


def test_simultaneous_evaluations_report_once(transactional_database, settings):
    configure(settings, below=1, recipients=["team@example.com"])

    def write(**kwargs):
        Tag.objects.create(name="fired")

    alert_fired.connect(write)
    barrier = threading.Barrier(4)
    results = []

    def work():
        barrier.wait()
        results.append(check_alerts(NOW))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        alert_fired.disconnect(write)
    assert [result.failed for result in results] == [{}] * 4
    assert sum(len(result.fired) for result in results) == 1
    assert Tag.objects.count() == Notice.objects.count() == Alert.objects.count() == 1


def test_on_sqlite_a_transaction_writes_before_it_reads(transactional_database, settings):
    connection = connections[transactional_database]
    if connection.vendor != "sqlite":
        pytest.skip("other databases lock rows, not the file")
    configure(settings, below=1, recipients=["team@example.com"])
    with CaptureQueriesContext(connection) as queries:
        check_alerts(NOW)
    words = [query["sql"].split()[0] for query in queries]
    firsts = {word for before, word in pairwise(words) if before == "BEGIN"}
    assert "UPDATE" in firsts
    assert firsts <= {"INSERT", "UPDATE"}


RULE = {"metric": "signups", "period": "day", "below": 1}


def without(key):
    return {each: value for each, value in RULE.items() if each != key}


def changed(**keys):
    return {"Signups": {**without("below"), **keys}}


MISTAKES = [
    (None, 'Write it like this: {"No signups": {"metric": "new_user_signup", "period": "day", "below": 1}}.'),
    ({"": RULE}, "Give it 1 to 200 characters."),
    ({"x" * 201: RULE}, "Give it 1 to 200 characters."),
    ({"\0": RULE}, "Give it 1 to 200 characters."),
    ({"Signups": "signups"}, 'Write it like this: {"metric": "new_user_signup", "period": "day", "below": 1}.'),
    ({"Signups": without("metric")}, 'Write it like this: {"metric": "new_user_signup"'),
    ({"Signups": without("period")}, 'Write it like this: {"metric": "new_user_signup"'),
    ({"Signups": without("below")}, "Give exactly one of them."),
    ({"Signups": {**RULE, "above": 5}}, "Give exactly one of them."),
    ({"Signups": {**RULE, "bellow": 5}}, "Did you mean 'below'?"),
    ({"Signups": {**RULE, "metric": "sign ups"}}, "Use a slug such as 'sign-ups'."),
    ({"Signups": {**RULE, "period": "year"}}, "Choose one of day, hour, month, week."),
    ({"Signups": {**RULE, "period": ["day"]}}, "Did you mean 'day'?"),
    ({"Signups": {**RULE, "below": "1"}}, "Give a number."),
    ({"Signups": {**RULE, "below": float("inf")}}, "Give a number."),
    (changed(above=None), "Give a number."),
    (changed(change=0), "Give a percentage of at least -100, other than 0."),
    (changed(change=-101), "Give a percentage of at least -100, other than 0."),
    (changed(change=-50, period="month"), "choose hour, day or week."),
    (changed(change=-50, at_least=-1), "Give a number, 0 or more."),
    (changed(worse=0), "Give a percentage above 0."),
    (changed(worse=50, period="month"), "choose hour, day or week."),
    (changed(worse=50, change=50), "Give exactly one of them."),
    ({"Signups": {**RULE, "at_least": 5}}, "Remove it: only a change is compared with a base."),
    ({"Signups": {**RULE, "quiet": -1}}, "Give hours, at most a year."),
    ({"Signups": {**RULE, "quiet": 8785}}, "Give hours, at most a year."),
    ({"Signups": {**RULE, "quiet": "1h"}}, "Give hours, at most a year."),
    ({"Signups": {**RULE, "labels": ["plan"]}}, "Labels must be a mapping of str to str"),
    ({"Signups": {**RULE, "labels": {"plan": 5}}}, "Labels must map str to str"),
    ({"Signups": {**RULE, "recipients": "team@example.com"}}, 'List e-mail addresses: ["team@example.com"].'),
    ({"Signups": {**RULE, "recipients": [None]}}, 'Give an e-mail address: "team@example.com".'),
]


@pytest.mark.parametrize(("value", "hint"), MISTAKES, ids=repr)
def test_a_mistake_gets_one_message_with_a_hint(value, hint, settings):
    settings.APP_METRICS_ALERTS = value
    (message,) = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E019"]
    assert "APP_METRICS_ALERTS" in message.msg
    assert hint in message.hint


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ({"Signups": {**RULE, "at_least": 5}}, "has at_least without change or worse."),
        (changed(worse="50"), "has worse='50', which is not a number."),
        (changed(worse=True), "has worse=True, which is not a number."),
    ],
    ids=repr,
)
def test_a_mistake_is_named_in_the_words_of_the_setting(value, mistake, settings):
    settings.APP_METRICS_ALERTS = value
    (message,) = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E019"]
    assert message.msg == f"APP_METRICS_ALERTS['Signups'] {mistake}"


def test_good_rules_get_no_message(settings):
    settings.APP_METRICS_ALERTS = {
        "x" * 200: RULE,
        "Änderung": changed(change=-100, at_least=0, period="week", quiet=0.5, labels={}, recipients=())["Signups"],
        "Month": {**RULE, "period": "month", "quiet": 8784, "labels": {"plan": "pro"}, "recipients": ["a@example.com"]},
    }
    rules, errors = compile_alerts(settings.APP_METRICS_ALERTS)
    assert errors == []
    assert rules["Änderung"].quiet == timedelta(minutes=30)
    assert [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E019"] == []


def test_the_documentation_s_rules_are_right():
    page = (ROOT / "docs" / "howto" / "watching.md").read_text()
    (block,) = re.findall(r"^```python\n(APP_METRICS_ALERTS = .*?)^```", page, re.DOTALL | re.MULTILINE)
    names = {}
    exec(block, names)
    rules, errors = compile_alerts(names["APP_METRICS_ALERTS"])
    assert (len(rules), errors) == (3, [])


def test_the_admin_shows_alerts_and_changes_nothing(database, settings, client):
    configure(settings, below=1)
    check_alerts(NOW)
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "secret"))
    page = client.get(reverse("admin:app_metrics_alert_changelist"), {"q": "Signups", "state": "fired"})
    (row,) = page.context["cl"].result_list
    assert client.get(reverse("admin:app_metrics_alert_change", args=[row.pk])).status_code == 200
    for name, arguments in (("add", []), ("delete", [row.pk])):
        assert client.get(reverse(f"admin:app_metrics_alert_{name}", args=arguments)).status_code == 403


def test_the_admin_shows_that_an_alert_could_not_be_evaluated_instead_of_its_last_state(database, settings, client):
    client.force_login(User.objects.create_superuser("ada"))
    for name, state, error in (("A", "ok", ""), ("B", "ok", "no numbers"), ("C", "fired", ""), ("D", "fired", "why")):
        Alert.objects.create(name=name, state=state, error=error)

    def states(**chosen):
        page = client.get(reverse("admin:app_metrics_alert_changelist"), chosen).context["cl"]
        return {alert.name: page.model_admin.shown_state(alert) for alert in page.result_list}

    shown = {"A": "ok", "B": "not evaluated", "C": "fired", "D": "fired, then not evaluated"}
    assert states() == shown
    for state, names in {"ok": "A", "fired": "C", "unknown": "BD"}.items():
        assert states(state=state) == {name: shown[name] for name in names}
    page = client.get(reverse("admin:app_metrics_alert_change", args=[Alert.objects.get(name="B").pk]))
    assert "not evaluated" in page.content.decode()


def test_a_gauge_recorded_by_hand_is_watched_like_any_metric(database, settings):
    gauge("load", 0.75)
    aggregate()
    settings.APP_METRICS_ALERTS = {"Load": {"metric": "load", "period": "hour", "above": 0.5}}
    assert reported(check_alerts(datetime.now(UTC) + HOUR)) == (["Load"], [])
