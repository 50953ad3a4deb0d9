"""One round of the autopilot: which jobs it does, and what it leaves to others."""

from datetime import datetime, timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import OperationalError, connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.autopilot import lease
from app_metrics.autopilot import round as one_round
from app_metrics.autopilot.jobs import AGGREGATE, ALERTS, JOBS, PRUNE, REPORTS, Job
from app_metrics.models import Item, Metric, MetricSet, RecurringJob, Total
from tests.support.rounds import BERLIN, MORNING, fly

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock():
    with freeze_time(MORNING) as frozen:
        yield frozen


@pytest.fixture(autouse=True)
def _work(settings):
    """Give the jobs something to do; each test records the events itself."""
    settings.APP_METRICS_ALERTS = {"Very many": {"metric": "downloads", "period": "day", "above": 1_000_000}}
    settings.APP_METRICS_SETS = {"Shown": {"metrics": ["downloads"]}}


def stopped_after(transactions):
    """Return whether the process ends, asked after each transaction: after so many of them."""
    answers = iter([False] * transactions)
    return lambda: next(answers, True)


def done():
    return set(RecurringJob.objects.exclude(finished_at=None).values_list("name", flat=True))


def row(name):
    return RecurringJob.objects.get(name=name)


@pytest.mark.every_database
def test_the_first_round_does_every_job(transactional_database, clock):
    metric("downloads", 4)
    fly()
    assert (Total.objects.filter(period="day").get().total, Item.objects.count()) == (4, 0)
    assert done() == {AGGREGATE, ALERTS, REPORTS, PRUNE}


@pytest.mark.every_database
def test_a_job_rests_until_its_interval_is_over(transactional_database, clock):
    metric("downloads")
    fly()
    metric("uploads")
    clock.tick(59)
    fly()
    assert not Total.objects.filter(metric__slug="uploads").exists()
    clock.tick(1)
    fly()
    assert Total.objects.filter(metric__slug="uploads").exists()


@pytest.mark.every_database
def test_a_round_without_work_writes_nothing(transactional_database, clock, settings):
    settings.APP_METRICS_ALERTS = settings.APP_METRICS_SETS = {}
    fly()
    clock.tick(3600)
    with CaptureQueriesContext(connections[transactional_database]) as queries:
        fly()
    assert [each["sql"] for each in queries if not each["sql"].startswith("SELECT")] == []


def test_the_interval_of_aggregations_is_a_setting(clock, settings):
    settings.APP_METRICS_AUTOPILOT_INTERVAL = 5
    fly()
    metric("downloads")
    clock.tick(5)
    fly()
    assert Total.objects.exists()


@pytest.mark.every_database
def test_two_processes_get_a_lease_once(transactional_database, clock):
    assert [lease.claim(AGGREGATE, 60), lease.claim(AGGREGATE, 60)] == [True, False]
    clock.tick(60)
    assert [lease.claim(AGGREGATE, 60), lease.claim(AGGREGATE, 60)] == [True, False]


def test_a_killed_process_loses_its_lease(clock):
    metric("downloads")
    lease.claim(AGGREGATE, 60)  # and is killed
    clock.tick(61)
    fly()
    assert Total.objects.exists()


def test_a_lease_that_a_wrong_clock_left_in_the_future_is_void(clock):
    clock.tick(timedelta(days=365))
    fly()
    clock.move_to(MORNING)
    metric("downloads")
    fly()
    assert Total.objects.exists()


def test_naive_times_do_not_stop_it_for_the_hour_that_comes_twice(settings, clock):
    settings.USE_TZ = False
    clock.move_to(datetime(2026, 10, 25, 2, 59, 30, tzinfo=BERLIN))
    fly()
    metric("downloads")
    clock.tick(61)  # it is 02:00 again
    fly()
    assert Total.objects.exists()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("metrics_aggregate", AGGREGATE),
        ("metrics_check_alerts", ALERTS),
        ("metrics_send_mail", REPORTS),
        ("metrics_prune", PRUNE),
    ],
)
def test_a_job_that_a_scheduler_does_is_left_to_it(clock, command, name):
    call_command(command, verbosity=0)
    clock.tick(timedelta(minutes=10))
    metric("downloads")
    fly()
    assert done() == {AGGREGATE, ALERTS, REPORTS, PRUNE} - {name}


def test_a_command_in_a_terminal_is_no_scheduler(clock, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    call_command("metrics_aggregate", verbosity=0)
    metric("downloads")
    fly()
    assert AGGREGATE in done()


def test_a_rehearsal_of_a_command_is_no_schedule(clock):
    call_command("metrics_send_mail", "--dry-run", verbosity=0)
    call_command("metrics_aggregate", "--dry-run", verbosity=0)
    call_command("metrics_prune", "--dry-run", verbosity=0)
    metric("downloads")
    fly()
    assert {AGGREGATE, REPORTS, PRUNE} <= done()


@pytest.mark.parametrize("options", [{"sets": []}, {"date": "2026-11-20"}])
def test_a_partial_sending_is_no_schedule(clock, options):
    call_command("metrics_send_mail", verbosity=0, **options)
    fly()
    assert REPORTS in done()


def test_a_scheduler_that_stopped_is_replaced(clock):
    call_command("metrics_aggregate", verbosity=0)
    metric("downloads")
    clock.tick(timedelta(minutes=16))
    fly()
    assert Total.objects.exists()


def test_reports_are_sent_from_six_in_the_morning_on(clock, settings):
    settings.APP_METRICS_SETS = {
        "Files": {"metrics": ["downloads"], "recipients": ["team@example.com"], "send": ["daily"]}
    }
    metric("downloads")
    fly()
    mail.outbox.clear()
    clock.move_to(datetime(2026, 11, 25, 5, 59, tzinfo=BERLIN))
    fly()
    assert not mail.outbox
    clock.move_to(datetime(2026, 11, 25, 6, 0, tzinfo=BERLIN))
    fly()
    assert [each.to for each in mail.outbox] == [["team@example.com"]]
    clock.tick(timedelta(hours=1))
    fly()
    assert len(mail.outbox) == 1


def test_without_sets_nothing_is_mailed(clock, settings):
    settings.APP_METRICS_SETS = {}
    metric("downloads")
    fly()
    clock.tick(timedelta(days=1))
    fly()
    assert not mail.outbox


def test_alerts_are_evaluated(clock, settings):
    settings.APP_METRICS_ALERTS = {
        "Many": {"metric": "downloads", "period": "hour", "above": 1, "recipients": ["team@example.com"]}
    }
    metric("downloads", 5)
    clock.tick(timedelta(hours=1))
    fly()
    assert [each.subject for each in mail.outbox] == ["Alert: Many"]


def test_old_totals_are_pruned(clock, settings):
    settings.APP_METRICS_RETENTION = {"hour": 1}
    metric("downloads")
    fly()
    clock.tick(timedelta(days=3))
    fly()
    assert not Total.objects.filter(period="hour").exists()


def test_a_job_that_fails_is_noted_and_stops_no_other(clock, settings, caplog):
    settings.APP_METRICS_RETENTION = {"decade": 1}
    settings.APP_METRICS_ALERTS = {"Many": {"metric": "downloads", "above": "x"}}
    metric("downloads")
    fly()
    assert "decade" in row(PRUNE).problem
    assert "Many" in row(ALERTS).problem
    assert not row(AGGREGATE).problem
    assert "The autopilot of app_metrics failed: prune: " in caplog.text


def test_a_problem_is_forgotten_once_the_job_succeeds(clock, settings):
    settings.APP_METRICS_RETENTION = {"decade": 1}
    fly()
    settings.APP_METRICS_RETENTION = {}
    clock.tick(timedelta(days=1))
    fly()
    assert not row(PRUNE).problem


def test_missing_tables_are_reported_with_what_to_do(monkeypatch, caplog):
    def fail():
        raise OperationalError("no such table: app_metrics_recurringjob")

    monkeypatch.setattr(lease, "rows", fail)
    fly()
    assert "no such table: app_metrics_recurringjob" in caplog.text
    assert "The database lacks tables of app_metrics; run manage.py migrate." in caplog.text


@pytest.mark.every_database
def test_a_column_that_only_a_new_version_has_is_reported_with_what_to_do(transactional_database, clock, caplog):
    metric("downloads")
    connection = connections[transactional_database]
    connection.cursor().execute("ALTER TABLE app_metrics_metric RENAME COLUMN better TO missing")
    try:
        fly()
    finally:
        connection.cursor().execute("ALTER TABLE app_metrics_metric RENAME COLUMN missing TO better")
    assert "The autopilot of app_metrics failed: aggregate: " in caplog.text
    assert "The database lacks tables of app_metrics; run manage.py migrate" in caplog.text
    assert "run manage.py migrate" in row(AGGREGATE).problem


def test_a_process_that_ends_stops_between_transactions_and_gives_the_lease_up(clock, monkeypatch):
    monkeypatch.setattr("app_metrics.autopilot.jobs.MOST_ITEMS", 2)
    for number in range(6):
        metric(f"downloads_{number}")
    fly(stopped_after(0))
    assert (Total.objects.filter(period="day").count(), Item.objects.count()) == (2, 4)
    fly()
    assert Total.objects.filter(period="day").count() == 6


def test_a_process_that_ends_sends_no_further_mail_and_leaves_the_others_to_the_next_process(clock, settings):
    people = [f"{number}@example.com" for number in range(3)]
    settings.APP_METRICS_SETS = {"Files": {"metrics": ["downloads"], "recipients": people, "send": ["daily"]}}
    metric("downloads")
    fly()
    clock.move_to(datetime(2026, 11, 25, 7, tzinfo=BERLIN))
    metric("downloads")
    # One transaction of the job that aggregates, and one of the job that mails.
    fly(stopped_after(2))
    assert [each.to for each in mail.outbox] == [[people[0]]]
    fly()
    assert [each.to for each in mail.outbox] == [[each] for each in people]


def test_a_process_that_ends_sends_no_further_notification(clock, settings):
    people = [f"{number}@example.com" for number in range(3)]
    settings.APP_METRICS_ALERTS = {"Many": {"metric": "downloads", "period": "hour", "above": 1, "recipients": people}}
    metric("downloads", 5)
    clock.tick(timedelta(hours=1))
    fly(stopped_after(1))
    assert len(mail.outbox) == 1
    fly()
    assert [each.to for each in mail.outbox] == [[each] for each in people]


def test_a_long_job_keeps_its_lease(clock, monkeypatch):
    seen = []

    def long(advance):
        for _ in range(4):
            clock.tick(25)
            advance(1)
            seen.append(lease.claim("long", 60))
        return []

    monkeypatch.setattr(one_round, "JOBS", [Job("long", lambda: 60, timedelta(0), long)])
    fly()
    assert seen == [False] * 4


def test_jobs_have_different_names():
    assert len({job.name for job in JOBS}) == len(JOBS)


def test_a_set_of_the_admin_is_reported(clock):
    metric("downloads")
    fly()
    made = MetricSet.objects.create(name="Files", email_addresses="team@example.com", send_daily=True)
    made.metrics.add(Metric.objects.get(slug="downloads"))
    clock.tick(timedelta(days=1))
    fly()
    assert len(mail.outbox) == 1


@pytest.mark.every_database
def test_a_command_succeeds_before_the_tables_of_the_autopilot_exist(transactional_database, clock, monkeypatch):
    monkeypatch.setattr(RecurringJob._meta, "db_table", "app_metrics_missing")
    metric("downloads")
    call_command("metrics_aggregate", verbosity=0)
    assert Total.objects.exists()
