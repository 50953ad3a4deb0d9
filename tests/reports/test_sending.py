"""Which reports are due, and who gets them: each once, and only for closed periods."""

from datetime import date, datetime, timedelta
from io import StringIO
from itertools import pairwise
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import mail, signing
from django.core.management import CommandError, call_command
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation.run import Aggregation, aggregate
from app_metrics.models import Delivery, Item, Metric, MetricSet, Milestone, Schedule, Total
from app_metrics.models.creation import create_metric
from app_metrics.reports import planning, sending
from app_metrics.reports.recipients import SALT, unsubscribe
from app_metrics.reports.sending import build_report, send_reports

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
TEAM = "team@example.com"


def moment(text):
    """Parse a local time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def run(text, **options):
    """Send the reports at a local time in Berlin; return the outcome."""
    with freeze_time(moment(text)):
        return send_reports(**options)


def count(text, slug="downloads", number=1):
    """Record a number at a local time in Berlin."""
    with freeze_time(moment(text)):
        metric(slug, number)


def run_daily(first, last, hour=6):
    """Run every morning; return each report that was sent as (day of the run, period, start)."""
    sent, day = [], date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        before = set(Delivery.objects.filter(status="sent").values_list("pk", flat=True))
        run(f"{day} {hour:02}:00")
        new = Delivery.objects.filter(status="sent").exclude(pk__in=before).order_by("pk")
        sent += [(str(day), period, str(start)) for period, start in new.values_list("period", "start")]
        day += timedelta(days=1)
    return sent


def sent(**options):
    """Return the period and start of each report that was sent, oldest first."""
    rows = Delivery.objects.filter(status="sent", **options).order_by("pk")
    return [(period, str(start)) for period, start in rows.values_list("period", "start")]


def statuses():
    return set(Delivery.objects.values_list("status", flat=True))


@pytest.fixture
def downloads():
    """A metric that has been counted for years."""
    count("2020-01-01 12:00")
    return Metric.objects.create(name="Downloads", slug="downloads")


@pytest.fixture
def make_set(downloads):
    def make(*sends, name="Growth", addresses=TEAM):
        made = MetricSet.objects.create(
            name=name,
            email_addresses=addresses,
            send_daily="daily" in sends,
            send_weekly="weekly" in sends,
            send_monthly="monthly" in sends,
        )
        made.metrics.add(downloads)
        return made

    return make


# The beginning


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "waiting"])
def test_nothing_is_reported_about_a_time_before_counting_began(aggregated):
    count("2026-11-23 15:00", "visits")
    if aggregated:
        aggregate()
    made = MetricSet.objects.create(name="New", email_addresses=TEAM, send_weekly=True)
    made.metrics.add(Metric.objects.get_or_create(slug="visits", defaults={"name": "Visits"})[0])
    run("2026-11-23 16:00")
    assert set(Delivery.objects.values_list("status", "error")) == {("skipped", "Counting began later.")}
    assert mail.outbox == []
    run("2026-11-24 06:00")
    run("2026-11-25 06:00")
    assert sent() == [("day", "2026-11-23"), ("day", "2026-11-24")]
    assert "Nothing was recorded." in mail.outbox[1].body


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "waiting"])
def test_a_report_on_the_period_in_which_counting_began_says_so(aggregated):
    count("2026-11-18 15:00", "visits")
    if aggregated:
        aggregate()
    made = MetricSet.objects.create(name="New", email_addresses=TEAM, send_daily=True, send_weekly=True)
    made.metrics.add(Metric.objects.get_or_create(slug="visits", defaults={"name": "Visits"})[0])
    count("2026-11-19 15:00", "visits")
    for day in ("2026-11-19", "2026-11-20", "2026-11-23"):
        run(f"{day} 06:00")
    line = "Counting began on Wednesday, 18 November."
    assert {(each.subject, line in each.body, line in each.alternatives[0].content) for each in mail.outbox} == {
        ("New: Wednesday, 18 November 2026", True, True),
        ("New: Thursday, 19 November 2026", False, False),
        ("New: Friday, 20 November 2026", False, False),
        ("New: Saturday, 21 November 2026", False, False),
        ("New: Sunday, 22 November 2026", False, False),
        ("New: Week 47, 16–22 November 2026", True, True),
    }


@pytest.mark.parametrize(("address", "is_named"), [("webmaster@localhost", False), ("team@example.org", True)])
def test_a_mail_names_an_address_to_write_to_only_if_the_site_has_one(make_set, settings, address, is_named):
    settings.DEFAULT_FROM_EMAIL = address
    make_set("daily")
    run("2026-11-23 06:00")
    assert (address in mail.outbox[0].body) is is_named
    assert "To stop these mails, write to" in mail.outbox[0].body


# Due dates


@pytest.mark.parametrize("hour", ["00:00:00", "06:00:00", "23:59:59"])
def test_a_day_is_reported_by_the_first_run_of_the_next_day(make_set, hour):
    make_set("daily")
    run(f"2026-11-23 {hour}")
    assert sent() == [("day", "2026-11-22")]


def test_a_day_is_not_reported_before_it_is_over(make_set):
    make_set("daily")
    run("2026-11-23 06:00")
    run("2026-11-23 23:59:59")
    assert sent() == [("day", "2026-11-22")]
    run("2026-11-24 00:00")
    assert sent() == [("day", "2026-11-22"), ("day", "2026-11-23")]


def test_days_are_those_of_the_metrics_time_zone(make_set, settings):
    settings.APP_METRICS_TIME_ZONE = "America/New_York"
    make_set("daily")
    run("2026-11-23 05:59")  # 23:59 in New York
    assert sent() == [("day", "2026-11-21")]
    run("2026-11-23 06:00")
    assert sent() == [("day", "2026-11-21"), ("day", "2026-11-22")]


def test_days_on_which_clocks_change_are_reported_once(make_set):
    make_set("daily")
    for hour in ("2026-10-25 00:30", "2026-10-25 02:30", "2026-10-25 23:30", "2026-10-26 00:30", "2026-10-26 01:30"):
        run(hour)
    assert sent() == [("day", "2026-10-24"), ("day", "2026-10-25")]


def test_a_week_is_reported_on_the_first_run_of_the_next_and_no_day_besides(make_set):
    make_set("weekly")
    sent = run_daily("2026-11-16", "2026-12-01")
    assert sent == [
        ("2026-11-16", "week", "2026-11-09"),
        ("2026-11-23", "week", "2026-11-16"),
        ("2026-11-30", "week", "2026-11-23"),
    ]


def test_a_month_is_reported_on_the_first_run_of_the_next_and_no_day_besides(make_set):
    make_set("monthly")
    sent = run_daily("2028-01-31", "2028-03-02")
    assert sent == [
        ("2028-01-31", "month", "2027-12-01"),
        ("2028-02-01", "month", "2028-01-01"),
        ("2028-03-01", "month", "2028-02-01"),
    ]


def test_a_week_is_reported_on_tuesday_if_no_command_ran_on_monday(make_set):
    make_set("weekly")
    run("2026-11-22 06:00")
    run("2026-11-24 06:00")
    run("2026-11-25 06:00")
    assert sent() == [("week", "2026-11-09"), ("week", "2026-11-16")]


def test_weeks_begin_on_the_weekday_of_the_setting(make_set, settings):
    settings.APP_METRICS_WEEK_START = "sunday"
    make_set("weekly")
    assert run_daily("2026-11-20", "2026-11-23") == [
        ("2026-11-20", "week", "2026-11-08"),
        ("2026-11-22", "week", "2026-11-15"),
    ]


@pytest.mark.parametrize("order", [("monday", "sunday"), ("sunday", "monday")])
def test_weekly_reports_continue_after_a_change_of_the_first_weekday(make_set, settings, order):
    settings.APP_METRICS_WEEK_START = order[0]
    make_set("weekly")
    run("2026-11-18 06:00")
    settings.APP_METRICS_WEEK_START = order[1]
    run_daily("2026-11-19", "2026-12-01")
    weeks = [date.fromisoformat(start) for _, start in sent()]
    assert len(set(weeks)) == len(weeks) <= 4
    assert all((after - before).days <= 8 for before, after in pairwise(weeks))
    assert weeks[-1] >= date(2026, 11, 22)


def test_a_set_gets_all_kinds_of_reports_it_asks_for(make_set):
    make_set("daily", "weekly", "monthly")
    run("2026-11-30 06:00")
    run("2026-12-01 06:00")
    assert sent() == [
        ("day", "2026-11-29"),
        ("week", "2026-11-23"),
        ("month", "2026-10-01"),
        ("day", "2026-11-30"),
        ("month", "2026-11-01"),
    ]


def test_a_new_set_begins_with_the_latest_closed_periods(make_set):
    make_set("daily", "weekly", "monthly", name="Old")
    run("2026-11-20 06:00")
    make_set("daily", "weekly", "monthly", name="New")
    run("2026-11-25 06:00")
    assert sent(metric_set__name="New") == [("day", "2026-11-24"), ("week", "2026-11-16"), ("month", "2026-10-01")]


def test_a_period_turned_on_later_starts_with_its_next_report(make_set):
    made = make_set("daily")
    run("2026-11-24 06:00")
    MetricSet.objects.update(send_weekly=True, send_monthly=True)
    assert run_daily("2026-11-25", "2026-12-01") == [
        ("2026-11-25", "day", "2026-11-24"),
        ("2026-11-26", "day", "2026-11-25"),
        ("2026-11-27", "day", "2026-11-26"),
        ("2026-11-28", "day", "2026-11-27"),
        ("2026-11-29", "day", "2026-11-28"),
        ("2026-11-30", "day", "2026-11-29"),
        ("2026-11-30", "week", "2026-11-23"),
        ("2026-12-01", "day", "2026-11-30"),
        ("2026-12-01", "month", "2026-11-01"),
    ]
    assert made.schedules.count() == 3


def test_a_period_turned_off_sends_no_report_about_that_time(make_set):
    make_set("daily")
    run("2026-11-20 06:00")
    MetricSet.objects.update(send_daily=False)
    run_daily("2026-11-21", "2026-11-23")
    MetricSet.objects.update(send_daily=True)
    run_daily("2026-11-24", "2026-11-25")
    assert sent() == [("day", "2026-11-19"), ("day", "2026-11-23"), ("day", "2026-11-24")]


# Catching up


def test_missed_reports_are_sent_late_the_oldest_first(make_set):
    make_set("daily")
    run("2026-11-20 06:00")
    run("2026-11-23 06:00")
    assert sent() == [("day", "2026-11-19"), ("day", "2026-11-20"), ("day", "2026-11-21"), ("day", "2026-11-22")]
    assert [int(m.subject.count("22")) for m in mail.outbox][-1] > 0


@pytest.mark.parametrize("catch_up", [1, 3, 5])
def test_after_a_year_of_pause_no_more_are_sent_than_are_caught_up(make_set, settings, catch_up):
    settings.APP_METRICS_CATCH_UP = catch_up
    make_set("daily", "weekly", "monthly")
    run("2025-11-24 06:00")
    mail.outbox.clear()
    run("2026-11-24 06:00")
    days = [("day", f"2026-11-{23 - back}") for back in range(catch_up)]
    weeks = [("week", str(date(2026, 11, 16) - timedelta(weeks=back))) for back in range(catch_up)]
    months = [("month", f"2026-{10 - back:02}-01") for back in range(catch_up)]
    assert sent()[3:] == [*reversed(days), *reversed(weeks), *reversed(months)]
    assert len(mail.outbox) == 3 * catch_up
    run("2026-11-24 07:00")
    assert len(mail.outbox) == 3 * catch_up
    assert statuses() == {"sent"}


@pytest.mark.parametrize("planned_before", [False, True])
def test_only_one_of_two_simultaneous_senders_plans_a_report(database, make_set, planned_before):
    made = make_set("daily")
    if planned_before:
        run("2026-11-23 06:00")
    original, adds = planning._move_on, []

    def beaten(*arguments):
        with patch.object(planning, "_move_on", original):
            planning.plan(made, date(2026, 11, 24))  # the other sender
        return original(*arguments)

    def noted(metric_set, period, starts, now):
        adds.extend((period, start) for start in starts)

    with (
        patch.object(planning, "_move_on", beaten),
        patch.object(
            planning, "_add", side_effect=lambda of, period, starts, now: adds.extend((period, s) for s in starts)
        ),
    ):
        run("2026-11-24 06:00")
    assert adds == [("day", date(2026, 11, 23))]
    assert made.schedules.count() == 3


def test_deliveries_prevent_a_second_report_without_a_schedule(database, make_set):
    make_set("daily")
    run("2026-11-24 06:00")
    Schedule.objects.all().delete()
    run("2026-11-24 07:00")
    assert len(mail.outbox) == 1


def test_a_failed_report_is_retried_until_it_is_too_old(make_set):
    make_set("daily")
    with patch.object(sending, "message", side_effect=OSError("no template")):
        run("2026-11-20 06:00")
        run("2026-11-21 06:00")
        run("2026-11-22 06:00")
    run("2026-11-23 06:00")  # too late to catch up on the 19th
    assert sent() == [("day", "2026-11-20"), ("day", "2026-11-21"), ("day", "2026-11-22")]
    assert Delivery.objects.get(start="2026-11-19").status == "failed"


# Dates, named sets and `force`


def test_a_date_stands_for_today(make_set):
    make_set("daily", "weekly", "monthly")
    run("2026-11-24 06:00", day=date(2026, 11, 3))
    assert sent() == [("day", "2026-11-02"), ("week", "2026-10-26"), ("month", "2026-10-01")]


def test_a_date_that_was_planned_already_sends_nothing_again(make_set):
    made = make_set("daily")
    run_daily("2026-11-20", "2026-11-24")
    run("2026-11-24 07:00", day=date(2026, 11, 21))
    assert len(mail.outbox) == 5
    made.email_addresses += "\nnew@example.com"
    made.save()
    run_daily("2026-11-25", "2026-11-25")
    assert [m.to[0] for m in mail.outbox[5:]] == [TEAM, "new@example.com"]
    assert sent()[5:] == [("day", "2026-11-24")] * 2


def test_a_date_in_the_future_is_refused_and_changes_nothing(make_set):
    make_set("daily")
    with pytest.raises(ValueError, match="2026-11-25 is in the future"):
        run("2026-11-24 23:59", day=date(2026, 11, 25))
    assert not Delivery.objects.exists()
    assert not Schedule.objects.exists()
    run("2026-11-25 00:00", day=date(2026, 11, 25))
    assert sent() == [("day", "2026-11-24")]


def test_only_the_sets_that_are_named_are_sent(make_set):
    make_set("daily", name="One")
    make_set("daily", name="Two")
    run("2026-11-24 06:00", sets=["Two"])
    assert [str(each.metric_set) for each in Delivery.objects.all()] == ["Two"]
    run("2026-11-24 07:00")
    assert [str(each.metric_set) for each in Delivery.objects.order_by("pk")] == ["Two", "One"]


def test_an_unknown_set_name_raises_an_error_that_names_the_existing_sets(make_set):
    make_set("daily", name="One")
    with pytest.raises(ValueError, match="no metric set 'Tow'; choose one of 'One'"):
        run("2026-11-24 06:00", sets=["One", "Tow"])
    assert mail.outbox == []


def test_force_sends_the_latest_reports_once_more_to_everybody_and_no_others(make_set):
    make_set("daily", "weekly", addresses="ann@example.com\nbob@example.com")
    run_daily("2026-11-20", "2026-11-24")
    mail.outbox.clear()
    run("2026-11-24 07:00", force=True)
    assert sorted((m.to[0], m.subject) for m in mail.outbox) == sorted(
        (address, m.subject) for address in ("ann@example.com", "bob@example.com") for m in mail.outbox[::2]
    )
    assert len(mail.outbox) == 4
    assert statuses() == {"sent"}
    run("2026-11-24 08:00")
    assert len(mail.outbox) == 4


def test_force_sends_to_recipients_added_after_the_planning(make_set):
    made = make_set("daily")
    run("2026-11-24 06:00")
    made.email_addresses += "\nnew@example.com"
    made.save()
    mail.outbox.clear()
    run("2026-11-24 07:00")
    assert mail.outbox == []
    run("2026-11-24 08:00", force=True)
    assert sorted(m.to[0] for m in mail.outbox) == ["new@example.com", TEAM]


def test_force_with_a_date_sends_the_report_of_that_date(make_set):
    make_set("daily")
    run_daily("2026-11-18", "2026-11-24")
    mail.outbox.clear()
    run("2026-11-24 07:00", day=date(2026, 11, 21), force=True)
    forced = Delivery.objects.filter(sent_at=moment("2026-11-24 07:00"))
    assert [str(each.start) for each in forced] == ["2026-11-20"]
    assert len(mail.outbox) == 1


def test_a_forced_mail_is_a_new_one_to_mail_programs(make_set):
    make_set("daily")
    run("2026-11-24 06:00")
    run("2026-11-24 07:00", force=True)
    first, second = (m.extra_headers["Message-ID"] for m in mail.outbox)
    assert first != second


# Recipients


def test_recipients_are_active_users_with_an_address_and_plain_addresses_each_once(make_set):
    made = make_set("daily", addresses="Team@Example.com\n\n  ann@example.com  \nteam@example.com")
    made.email_recipients.add(
        User.objects.create(username="ann", email="Ann@example.com"),
        User.objects.create(username="gone", email="gone@example.com", is_active=False),
        User.objects.create(username="none", email=" "),
    )
    run("2026-11-24 06:00")
    assert [m.to for m in mail.outbox] == [["Ann@example.com"], ["Team@Example.com"]]
    assert all(m.cc == [] and m.bcc == [] for m in mail.outbox)


def test_recipients_removed_after_the_planning_get_no_mail(make_set):
    made = make_set("daily", addresses="ann@example.com\nbob@example.com\ncid@example.com")
    with freeze_time(moment("2026-11-24 06:00")):
        planning.plan(made, date(2026, 11, 24))
    made.unsubscriptions.create(recipient="ann@example.com", address="ann@example.com")
    made.email_addresses = "ann@example.com\nbob@example.com"
    made.save()
    outcome = run("2026-11-24 06:01")
    assert [m.to for m in mail.outbox] == [["bob@example.com"]]
    assert (outcome.sent, outcome.skipped, outcome.problems) == (1, 2, [])
    assert set(Delivery.objects.filter(status="skipped").values_list("address", "error")) == {
        ("ann@example.com", "No longer a recipient."),
        ("cid@example.com", "No longer a recipient."),
    }


def test_an_unsubscription_holds_for_the_user_and_for_the_address(make_set):
    made = make_set("daily", addresses="Shared@example.com")
    ann = User.objects.create(username="ann", email="ann@example.com")
    bob = User.objects.create(username="bob", email="bob@example.com")
    made.email_recipients.add(ann, bob)
    made.unsubscriptions.create(recipient=f"user:{ann.pk}", address="ann@example.com")
    made.unsubscriptions.create(recipient="user:0", address="SHARED@example.com")
    User.objects.filter(pk=ann.pk).update(email="elsewhere@example.com")
    run("2026-11-24 06:00")
    assert [m.to for m in mail.outbox] == [["bob@example.com"]]


def test_a_user_gets_the_mail_at_the_current_address(make_set):
    made = make_set("daily", addresses="")
    ann = User.objects.create(username="ann", email="old@example.com")
    made.email_recipients.add(ann)
    with freeze_time(moment("2026-11-24 06:00")):
        planning.plan(made, date(2026, 11, 24))
    User.objects.update(email="new@example.com")
    run("2026-11-24 06:01")
    run("2026-11-24 06:02")
    assert [m.to for m in mail.outbox] == [["new@example.com"]]
    assert Delivery.objects.get().address == "new@example.com"


def test_reports_of_a_set_that_was_turned_off_after_they_were_planned_are_skipped(make_set):
    made = make_set("daily", "weekly")
    with freeze_time(moment("2026-11-24 06:00")):
        planning.plan(made, date(2026, 11, 24))
    MetricSet.objects.update(send_daily=False)
    outcome = run("2026-11-24 06:01")
    assert sent() == [("week", "2026-11-16")]
    assert outcome.skipped == 1
    assert Delivery.objects.get(period="day").error == "This report is no longer sent."


def test_a_set_without_metrics_sends_nothing(make_set):
    make_set("daily").metrics.clear()
    outcome = run("2026-11-24 06:00")
    assert (len(mail.outbox), outcome.skipped) == (0, 1)
    assert Delivery.objects.get().error == "The set has no metrics."


DECLARED = {"metrics": ["downloads"], "recipients": [TEAM], "send": ["daily"]}


def test_sets_of_the_settings_are_sent_until_they_are_taken_out(settings, downloads):
    settings.APP_METRICS_SETS = {"Declared": DECLARED}
    run("2026-11-23 06:00")
    run("2026-11-24 06:00")
    run("2026-11-24 07:00")
    assert [m.to for m in mail.outbox] == [[TEAM]]
    settings.APP_METRICS_SETS = {}
    run("2026-11-25 06:00")
    assert len(mail.outbox) == 1


def test_a_new_set_of_the_settings_is_not_sent_for_periods_that_were_over_before_it(settings, downloads):
    settings.APP_METRICS_SETS = {"Declared": {**DECLARED, "send": ["daily", "weekly", "monthly"]}}
    assert run_daily("2026-11-28", "2026-12-01") == [
        ("2026-11-29", "day", "2026-11-28"),
        ("2026-11-30", "day", "2026-11-29"),
        ("2026-11-30", "week", "2026-11-23"),
        ("2026-12-01", "day", "2026-11-30"),
        ("2026-12-01", "month", "2026-11-01"),
    ]


def test_renaming_a_declared_set_sends_no_report_again_and_keeps_unsubscriptions(settings, downloads):
    recipients = [TEAM, "quiet@example.com"]
    settings.APP_METRICS_SETS = {"Old": {**DECLARED, "recipients": recipients}}
    run("2026-11-23 06:00")
    unsubscribe(signing.dumps([MetricSet.objects.get().pk, "quiet@example.com"], salt=SALT))
    run("2026-11-24 06:00")
    settings.APP_METRICS_SETS = {"New": {**DECLARED, "recipients": recipients}}
    run("2026-11-24 07:00")
    run("2026-11-25 06:00")
    assert [(m.to, m.subject.split()[0]) for m in mail.outbox] == [([TEAM], "Old:"), ([TEAM], "New:")]


# Contents


def test_a_report_includes_pending_items(make_set):
    make_set("daily")
    count("2026-11-23 12:00", number=4242)
    assert Item.objects.exists()
    run("2026-11-24 00:00")
    assert not Item.objects.exists()
    assert Total.objects.exists()
    assert "4,242" in mail.outbox[0].body


def test_a_metric_of_the_settings_is_in_the_mail_on_the_day_it_was_first_recorded(settings):
    settings.APP_METRICS_SETS = {"Declared": {**DECLARED, "metrics": ["signups"]}}
    run("2026-11-23 06:00")
    count("2026-11-23 12:00", slug="signups", number=4242)
    run("2026-11-24 00:00")
    assert "4,242" in mail.outbox[0].body


def test_a_report_is_made_once_for_all_its_recipients(make_set):
    make_set("daily", "weekly", addresses="\n".join(f"{number}@example.com" for number in range(5)))
    with patch.object(sending, "build_report", wraps=build_report) as build:
        run("2026-11-24 06:00")
    assert build.call_count == 2
    assert len(mail.outbox) == 10


@pytest.mark.parametrize(
    ("recorded", "mails"), [("2026-11-23 00:00", 1), ("2026-11-23 23:59:59", 1), ("2026-11-24 00:00", 0), (None, 0)]
)
def test_without_zero_activity_the_reported_period_decides_and_not_today(make_set, settings, recorded, mails):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    make_set("daily")
    if recorded:
        count(recorded)
    run("2026-11-24 12:00")
    assert len(mail.outbox) == mails
    assert statuses() == ({"sent"} if mails else {"skipped"})


def test_with_zero_activity_an_empty_period_is_reported(make_set):
    make_set("daily")
    run("2026-11-24 12:00")
    assert len(mail.outbox) == 1


def test_zero_activity_is_judged_for_each_period_by_itself(make_set, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    make_set("daily", "weekly", "monthly")
    count("2026-11-18 12:00")
    run("2026-11-24 12:00")
    assert sent() == [("week", "2026-11-16")]


def test_a_report_skipped_without_activity_is_not_sent_later(make_set, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    make_set("daily")
    run("2026-11-24 06:00")
    metric("downloads", at=moment("2026-11-23 12:00"))
    run("2026-11-24 07:00")
    assert mail.outbox == []


# Milestones


@pytest.fixture
def reports():
    """Collect each mailed report as (period, start, values of its milestones)."""
    made = []

    def rendered(report, *arguments):
        made.append((report.period, str(report.start), [int(each.value) for each in report.milestones]))
        return original(report, *arguments)

    original = sending.rendered
    with patch.object(sending, "rendered", rendered):
        yield made


@pytest.fixture
def milestones(settings):
    settings.APP_METRICS_MILESTONES = {"downloads": [10, 20, 30]}
    run("2026-11-20 06:00")  # milestones count from here on


def reach(text, number):
    """Record a number of downloads at a local time in Berlin, and let an aggregation notice it."""
    count(text, number=number)
    with freeze_time(moment(text)):
        aggregate()


def test_a_milestone_is_in_the_report_of_the_period_it_was_reached_in_and_in_no_other(make_set, milestones, reports):
    make_set("daily", "weekly")
    run("2026-11-20 07:00")
    reach("2026-11-20 12:00", 10)
    run_daily("2026-11-21", "2026-11-24")
    assert reports == [
        ("day", "2026-11-19", []),
        ("week", "2026-11-09", []),
        ("day", "2026-11-20", [10]),
        ("day", "2026-11-21", []),
        ("day", "2026-11-22", []),
        ("week", "2026-11-16", [10]),
        ("day", "2026-11-23", []),
    ]


def test_a_late_first_report_names_no_milestone_reached_after_its_period(make_set, milestones, reports):
    reach("2026-11-29 12:00", 10)
    run("2026-11-29 13:00")
    make_set("weekly")
    run("2026-11-29 14:00")
    run("2026-11-30 06:00")
    assert reports == [("week", "2026-11-16", []), ("week", "2026-11-23", [10])]


def test_a_milestone_reached_long_before_a_late_report_was_planned_is_in_the_next(make_set, milestones, reports):
    make_set("weekly")
    run("2026-11-20 07:00")
    reach("2026-11-24 12:00", 10)
    run("2026-11-27 06:00")
    run("2026-11-30 06:00")
    assert reports[1:] == [("week", "2026-11-16", []), ("week", "2026-11-23", [10])]


def test_each_of_several_reports_names_the_milestones_of_its_period(make_set, milestones, reports):
    make_set("daily")
    run("2026-11-20 07:00")
    reach("2026-11-20 12:00", 10)
    reach("2026-11-22 12:00", 10)
    run("2026-11-23 06:00")
    assert reports == [
        ("day", "2026-11-19", []),
        ("day", "2026-11-20", [10]),
        ("day", "2026-11-21", []),
        ("day", "2026-11-22", [20]),
    ]


def test_the_first_report_of_a_set_names_the_milestones_since_its_period_began(make_set, milestones, reports):
    reach("2026-11-20 12:00", 10)
    run("2026-11-22 23:59")
    reach("2026-11-23 00:00", 10)
    run("2026-11-23 00:01")
    make_set("daily")
    run("2026-11-24 06:00")
    assert reports == [("day", "2026-11-23", [20])]


def test_a_milestone_that_is_committed_after_the_report_was_planned_stands_in_the_next(make_set, milestones, reports):
    made = make_set("daily")
    run("2026-11-20 07:00")
    run("2026-11-21 06:00")
    made.metrics.add(create_metric("Late", "late"))
    Milestone.objects.create(slug="late", value=7, total=8, reached_at=moment("2026-11-20 23:59"))
    run("2026-11-22 06:00")
    run("2026-11-23 06:00")
    assert reports[-2:] == [("day", "2026-11-21", [7]), ("day", "2026-11-22", [])]


def test_reports_are_caught_up_for_at_most_a_year(make_set, settings, reports):
    settings.APP_METRICS_CATCH_UP = 10**6
    make_set("monthly")
    run("2026-11-20 07:00")
    assert reports == [("month", "2026-10-01", [])]


def test_a_report_that_failed_names_the_same_milestones_when_it_is_sent(make_set, milestones, reports):
    make_set("daily")
    run("2026-11-20 07:00")
    reach("2026-11-20 12:00", 10)
    with patch.object(sending, "message", side_effect=OSError("no template")):
        run("2026-11-21 06:00")
    reach("2026-11-21 12:00", 10)
    run("2026-11-21 13:00")
    run("2026-11-22 06:00")
    assert reports == [
        ("day", "2026-11-19", []),
        ("day", "2026-11-20", [10]),
        ("day", "2026-11-21", [20]),
    ]


def test_a_forced_report_names_only_the_milestones_of_its_period(make_set, milestones, reports):
    made = make_set("daily")
    run("2026-11-20 07:00")
    reach("2026-11-20 12:00", 10)
    run("2026-11-21 06:00")
    reach("2026-11-21 12:00", 10)
    made.email_addresses += "\nnew@example.com"
    made.save()
    run("2026-11-21 13:00", force=True)
    run("2026-11-22 06:00")
    assert reports == [
        ("day", "2026-11-19", []),
        ("day", "2026-11-20", [10]),
        ("day", "2026-11-20", [10]),
        ("day", "2026-11-20", [10]),
        ("day", "2026-11-21", [20]),
        ("day", "2026-11-21", [20]),
    ]


def test_a_milestone_is_reported_even_without_other_activity(make_set, milestones, reports, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    make_set("daily")
    run("2026-11-20 12:00")
    count("2026-11-20 13:00", number=10)
    run("2026-11-21 12:00")  # notices the milestone
    run("2026-11-22 12:00")  # nothing happened on the 21st, but its report names the milestone
    run("2026-11-23 12:00")
    assert [values for _, _, values in reports] == [[], [10]]
    assert Milestone.objects.count() == 1


# Wrong clocks


def test_after_a_run_with_the_clock_a_year_ahead_the_reports_go_on(make_set):
    make_set("daily", "weekly")
    run("2026-11-20 06:00")
    run("2027-11-20 06:00")
    before = len(sent())
    run("2026-11-21 06:00")
    run("2026-11-23 06:00")
    assert sent()[before:] == [
        ("day", "2026-11-20"),
        ("day", "2026-11-21"),
        ("day", "2026-11-22"),
        ("week", "2026-11-16"),
    ]


def test_after_a_run_with_the_clock_a_year_behind_nothing_is_sent_twice(make_set):
    make_set("daily")
    run_daily("2026-11-16", "2026-11-20")
    run("2025-11-20 06:00")
    before = len(sent())
    run("2026-11-20 07:00")
    run("2026-11-21 06:00")
    assert sent()[before:] == [("day", "2026-11-20")]


def test_a_report_that_a_wrong_clock_skipped_is_sent_in_its_time(make_set, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    make_set("daily")
    run("2026-11-22 06:00")
    assert statuses() == {"skipped"}
    run("2026-11-20 06:00")
    count("2026-11-21 12:00")
    run("2026-11-22 06:00")
    assert sent() == [("day", "2026-11-21")]


def test_a_milestone_reached_by_a_wrong_clock_is_in_the_next_report(make_set, milestones, reports):
    make_set("daily")
    run("2026-11-20 07:00")
    reach("2027-11-20 12:00", 10)
    run("2026-11-21 06:00")
    run("2026-11-22 06:00")
    assert [values for _, _, values in reports] == [[], [10], []]


def test_a_schedule_less_than_a_day_ahead_gives_no_warning(make_set):
    make_set("daily")
    run("2026-11-20 00:10")
    assert command("2026-11-19 23:50")[1] == ""
    assert sent() == [("day", "2026-11-19")]


def test_the_command_names_schedules_in_the_future_until_a_run_has_mended_them(make_set):
    make_set("daily")
    run("2027-11-20 06:00")
    _, err, error = command("2026-11-20 06:00")
    assert "Growth, day: the last report, 2027-11-19, is in the future and counts as unknown" in err
    assert "check the clocks" in err
    assert error is None
    assert command("2026-11-20 06:01")[1] == ""


# The command


def command(text, *arguments, **options):
    """Run the command at a local time in Berlin; return stdout, stderr and the error message or None."""
    out, err, error = StringIO(), StringIO(), None
    with freeze_time(moment(text)):
        try:
            call_command("metrics_send_mail", *arguments, stdout=out, stderr=err, **options)
        except CommandError as raised:
            error = str(raised)
    return out.getvalue(), err.getvalue(), error


def test_the_command_prints_a_summary(make_set):
    make_set("daily")
    expected = "Sent 1 report and 0 notifications, 0 skipped, 0 with problems.\n"
    assert command("2026-11-24 06:00") == (expected, "", None)
    assert command("2026-11-25 06:00", verbosity=0) == ("", "", None)


def test_the_command_has_a_line_for_every_problem_and_fails(make_set):
    make_set("daily", addresses="ann@example.com\nbob@example.com")
    with patch.object(sending, "message", side_effect=OSError("no\ntemplate")):
        out, err, error = command("2026-11-24 06:00")
    assert out == "Sent 0 reports and 0 notifications, 0 skipped, 2 with problems.\n"
    assert err.splitlines() == [
        "Growth, day 2026-11-23, ann@example.com: OSError: no template",
        "Growth, day 2026-11-23, bob@example.com: OSError: no template",
    ]
    assert error.startswith("Mails that failed or are undecided: 2.")
    out, err, error = command("2026-11-24 06:05")
    assert (err, error) == ("", None)
    assert sorted(m.to[0] for m in mail.outbox) == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--date", "2026-11-25"], "2026-11-25 is in the future"),
        (["--date", "tomorrow"], "'tomorrow' is not a date; give one such as 2026-11-23"),
        (["--set", "Tow"], "There is no metric set 'Tow'; choose one of 'Growth'."),
        (["--preview", "Tow"], "There is no metric set 'Tow'"),
        (["--dry-run", "--set", "Tow"], "There is no metric set 'Tow'"),
        (["--dry-run", "--date", "2026-11-25"], "2026-11-25 is in the future"),
    ],
)
def test_a_bad_argument_of_the_command_is_refused(make_set, arguments, said):
    make_set("daily")
    assert said in command("2026-11-24 06:00", *arguments)[2]
    assert mail.outbox == []


def test_the_arguments_reach_the_reports(make_set):
    make_set("daily", name="One")
    make_set("daily", name="Two")
    make_set("daily", name="Three")
    arguments = ["--set", "Two", "--set", "Three", "--date", "2026-11-21"]
    assert command("2026-11-24 06:00", *arguments)[2] is None
    assert command("2026-11-24 06:00", *arguments, "--force")[2] is None
    assert len(mail.outbox) == 4
    assert set(Delivery.objects.values_list("metric_set__name", "start")) == {
        ("Two", date(2026, 11, 20)),
        ("Three", date(2026, 11, 20)),
    }


@pytest.mark.parametrize("day", ["2026-11-21", date(2026, 11, 21), moment("2026-11-21 12:00")], ids=str)
def test_code_may_give_the_options_as_text_or_as_values(make_set, day):
    make_set("daily", name="One")
    make_set("daily", name="Two")
    assert command("2026-11-24 06:00", date=day, sets="Two")[2] is None
    assert set(Delivery.objects.values_list("metric_set__name", "start")) == {("Two", date(2026, 11, 20))}


def test_the_error_about_a_bad_date_says_what_to_give(make_set):
    assert "'tomorrow' is not a date; give one such as 2026-11-23" in command("2026-11-24 06:00", date="tomorrow")[2]
    assert "2026-12-01 is in the future" in command("2026-11-24 06:00", date="2026-12-01")[2]


def test_numbers_that_could_not_be_drained_are_named_and_fail_the_command(make_set):
    make_set("daily")
    failure = "The spool could not be drained: PermissionError()"
    with patch.object(sending, "aggregate", return_value=Aggregation(failures=[failure])):
        out, err, error = command("2026-11-24 06:00")
    assert out == "Sent 1 report and 0 notifications, 0 skipped, 0 with problems.\n"
    assert err == failure + "\n"
    assert error == "Some pending batches could not be drained; the next run tries again."


def test_a_dry_run_lists_due_reports_and_changes_nothing(make_set, settings):
    settings.APP_METRICS_SETS = {"Declared": DECLARED}
    make_set("daily", "weekly")
    count("2026-11-23 12:00")
    out, err, error = command("2026-11-24 06:00", "--dry-run", "--force")
    assert out.splitlines() == [
        f"Declared, day 2026-11-23, {TEAM}",
        f"Growth, day 2026-11-23, {TEAM}",
        f"Growth, week 2026-11-16, {TEAM}",
        "3 reports and 0 notifications would be sent. Nothing was changed.",
    ]
    assert (err, error, mail.outbox) == ("", None, [])
    assert MetricSet.objects.count() == 1
    assert Item.objects.count() == 2
    for model in (Delivery, Schedule, Total):
        assert not model.objects.exists()
    command("2026-11-24 06:00")
    nothing = "0 reports and 0 notifications would be sent. Nothing was changed.\n"
    assert command("2026-11-24 06:01", "--dry-run")[0] == nothing


def test_a_preview_shows_the_next_reports_and_changes_nothing(make_set, tmp_path):
    make_set("daily", "weekly")
    count("2026-11-23 12:00", number=4242)
    out, err, error = command("2026-11-24 06:00", "--preview", "Growth")
    assert out.count("4,242") >= 2
    assert (err, error, mail.outbox) == ("", None, [])
    command("2026-11-24 06:00", "--preview", "Growth", "--output", str(tmp_path / "new"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "growth-day.html",
        "growth-day.txt",
        "growth-week.html",
        "growth-week.txt",
    ]
    for model in (Delivery, Schedule, Total):
        assert not model.objects.exists()


def test_a_preview_of_a_set_that_sends_nothing_shows_all_kinds(make_set, tmp_path):
    make_set()
    command("2026-11-24 06:00", "--preview", "Growth", "--output", str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 6


def test_a_preview_names_the_milestones_of_the_next_report(make_set, milestones, reports):
    make_set("daily")
    run("2026-11-20 07:00")
    reach("2026-11-20 12:00", 10)
    reports.clear()
    with patch("app_metrics.management.commands.metrics_send_mail.rendered", sending.rendered):
        command("2026-11-21 06:00", "--preview", "Growth")
    run("2026-11-21 06:01")
    assert reports == [("day", "2026-11-20", [10]), ("day", "2026-11-20", [10])]
