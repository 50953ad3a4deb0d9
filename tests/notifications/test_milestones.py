"""Milestones: announced exactly once, whatever happens meanwhile."""

import logging
import re
import subprocess
import time
from decimal import Decimal
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation
from freezegun import freeze_time

from app_metrics import gauge, metric
from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.models import HighWaterMark, Metric, Milestone, Notice
from app_metrics.models.creation import create_metric
from app_metrics.notifications import milestones
from app_metrics.notifications.milestones import MilestoneRule, compile_milestones
from app_metrics.signals import milestone_reached
from tests.soak import milestone_workers
from tests.soak.workers import KILLS_A_SECOND
from tests.support.paths import ROOT
from tests.support.processes import start
from tests.testapp.models import Tag


class Kill(BaseException):
    pass


@pytest.fixture
def connect():
    """Connect receivers until the test ends."""
    connected = []

    def connect(receiver):
        milestone_reached.connect(receiver)
        connected.append(receiver)

    yield connect
    for receiver in connected:
        milestone_reached.disconnect(receiver)


@pytest.fixture
def heard(connect):
    """Collect the calls of the signal: slug, milestone, total."""
    calls = []

    def hear(sender, metric, milestone, total, moment, **kwargs):
        assert sender is Metric
        calls.append((metric.slug, milestone, total))

    connect(hear)
    return calls


def configure(settings, **rules):
    settings.APP_METRICS_MILESTONES = rules


def count(slug, *numbers, **options):
    """Record numbers, and aggregate after each."""
    for number in numbers:
        metric(slug, number, **options)
        aggregate()


def test_a_milestone_is_announced_once_with_the_metric_the_total_and_the_moment(database, settings, connect):
    configure(settings, orders=[1000])
    calls = []

    def hear(**arguments):
        calls.append(arguments)

    connect(hear)
    count("orders", 999)
    assert calls == []
    with freeze_time("2026-05-31 12:00:00+00:00"):
        count("orders", 1)
    count("orders", 5000)
    (call,) = calls
    assert call["sender"] is Metric
    assert call["metric"] == Metric.objects.get(slug="orders")
    assert (call["milestone"], call["total"]) == (1000, 1000)
    assert call["moment"].isoformat() == "2026-05-31T12:00:00+00:00"
    stored = Milestone.objects.get()
    assert (stored.slug, stored.value, stored.total, stored.announced) == ("orders", 1000, 1000, True)
    assert stored.reached_at == call["moment"]


def test_the_first_aggregation_of_a_metric_announces_its_milestones(database, settings, heard):
    configure(settings, orders=[1000, 2000, 3000])
    count("orders", 2500)
    assert heard == [("orders", 1000, 2500), ("orders", 2000, 2500)]


def test_milestones_passed_before_their_configuration_are_not_announced(database, settings, heard):
    count("orders", 5000)
    configure(settings, orders=[1000, 5000, 6000])
    count("orders", 500, 500)
    assert heard == [("orders", 6000, 6000)]


def test_items_pending_at_the_configuration_count_as_new(database, settings, heard):
    count("orders", 900)
    metric("orders", 200)
    configure(settings, orders=[500, 1000])
    aggregate()
    assert heard == [("orders", 1000, 1100)]


def test_a_milestone_that_is_added_below_the_total_is_not_announced(database, settings, heard):
    configure(settings, orders=[1000])
    count("orders", 700)
    configure(settings, orders=[500, 1000])
    count("orders", 100, 200)
    assert heard == [("orders", 1000, 1000)]


def test_a_jump_by_mistake_announces_the_latest_hundred_multiples(database, settings, heard):
    configure(settings, orders={"every": 1000})
    count("orders", 10**13)
    assert len(heard) == 100
    assert heard[0] == ("orders", 10**13 - 99_000, 10**13)
    assert heard[-1] == ("orders", 10**13, 10**13)


def test_the_numbers_of_the_signal_have_no_zeros_behind_the_point(database, settings):
    told = []

    def hear(sender, milestone, total, **kwargs):
        told.append((str(milestone), str(total)))

    milestone_reached.connect(hear)
    try:
        configure(settings, orders=[1000, Decimal("1000.5")])
        count("orders", Decimal("1000.75"))
    finally:
        milestone_reached.disconnect(hear)
    assert told == [("1000", "1000.75"), ("1000.5", "1000.75")]


def test_a_jump_over_several_multiples_announces_each_in_order(database, settings, heard):
    configure(settings, orders={"every": 1000})
    count("orders", 500, 3000, 499, 1)
    assert [milestone for _, milestone, _ in heard] == [1000, 2000, 3000, 4000]
    assert [total for *_, total in heard] == [3500, 3500, 3500, 4000]


def test_a_milestone_of_both_kinds_is_announced_once(database, settings, heard):
    configure(settings, orders={"at": [1500, 2000, 1500], "every": 1000})
    count("orders", 2500)
    assert [milestone for _, milestone, _ in heard] == [1000, 1500, 2000]


def test_milestones_of_different_metrics_are_independent(database, settings, heard):
    configure(settings, orders=[10], Orders=[10], visits={"every": 7})
    count("orders", 9)
    count("Orders", 10)
    count("visits", 7)
    count("other", 100)
    assert heard == [("Orders", 10, 10), ("visits", 7, 7)]


def test_label_sets_and_years_add_up(database, settings, heard):
    configure(settings, orders=[30])
    with freeze_time("2024-06-01"):
        metric("orders", 10, labels={"plan": "pro"})
    with freeze_time("2025-06-01"):
        metric("orders", 10, labels={"plan": "free"})
    aggregate()
    count("orders", 9, 1)
    assert heard == [("orders", 30, 30)]


def test_decimals_are_exact(database, settings, heard):
    large = Decimal(10) ** 17
    tiny = Decimal("0.000000001")
    configure(settings, price=[Decimal("0.3")], weight=[large + 2 * tiny], part={"every": Decimal("0.1")})
    count("price", *[Decimal("0.1")] * 3)
    count("weight", large, tiny)
    assert heard == [("price", Decimal("0.3"), Decimal("0.3"))]
    count("weight", tiny)
    assert heard[1:] == [("weight", large + 2 * tiny, large + 2 * tiny)]
    count("part", Decimal("0.3"))
    assert [milestone for _, milestone, _ in heard[2:]] == [Decimal("0.1"), Decimal("0.2"), Decimal("0.3")]


def test_a_milestone_written_in_another_number_format_is_not_announced_again(database, settings, heard):
    configure(settings, orders=[10])
    count("orders", 10)
    HighWaterMark.objects.update(total=5)
    configure(settings, orders={"at": [Decimal("10.0")], "every": 5.0})
    count("orders", 1)
    assert heard == [("orders", 10, 10)]
    HighWaterMark.objects.update(total=5)
    Milestone.objects.all().delete()
    configure(settings, orders=[10])
    count("orders", 1)
    assert [str(value) for value in Milestone.objects.values_list("value", flat=True)] == ["10"]


def test_numbers_are_compared_as_numbers_and_not_as_text(database, settings, heard):
    configure(settings, orders=[9, 10, 100])
    count("orders", 9, 1, 89, 1)
    assert [milestone for _, milestone, _ in heard] == [9, 10, 100]


def test_a_total_that_falls_and_rises_again_announces_nothing_twice(database, settings, heard):
    configure(settings, orders={"at": [100, 120], "every": 90})
    count("orders", 110, -60, 65)
    assert [milestone for _, milestone, _ in heard] == [90, 100]
    assert HighWaterMark.objects.get().total == 115
    count("orders", -200)
    assert HighWaterMark.objects.get().total == 115
    count("orders", 204, 1)
    assert [milestone for _, milestone, _ in heard] == [90, 100, 120]


def test_a_total_below_zero_counts_up_to_the_first_milestone_above_zero(database, settings, heard):
    count("orders", -1500)
    configure(settings, orders={"every": 1000})
    count("orders", 2600)
    assert [milestone for _, milestone, _ in heard] == [1000]


def test_a_timer_counts_in_seconds_and_a_gauge_not_at_all(database, settings, heard):
    create_metric(name="Seconds", slug="seconds", kind="timer")
    configure(settings, seconds=[60], level=[10])
    gauge("level", 1000)
    count("seconds", 61)
    gauge("level", 1000)
    aggregate()
    assert heard == [("seconds", 60, 61)]


def test_a_receiver_that_raises_is_logged_and_does_not_stop_other_receivers(database, settings, connect, caplog):
    configure(settings, orders=[1, 2])
    calls = []

    def fail(**kwargs):
        raise RuntimeError("no champagne")

    def hear(milestone, **kwargs):
        Tag.objects.create(name=str(milestone))
        calls.append(milestone)

    connect(fail)
    connect(hear)
    with caplog.at_level(logging.ERROR, logger="app_metrics"):
        count("orders", 2)
    assert calls == [1, 2]
    assert Tag.objects.count() == 2
    assert not Milestone.objects.filter(announced=False).exists()
    record = caplog.records[-1]
    assert record.name == "app_metrics"
    assert "milestone_reached" in record.getMessage()
    assert "fail" in record.getMessage()
    assert str(record.exc_info[1]) == "no champagne"


def broken_by_the_orm(**kwargs):
    Tag.objects.bulk_create([Tag(pk=1, name="one"), Tag(pk=1, name="one again")])


def broken_by_sql(**kwargs):
    with connections[Tag.objects.db].cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


@pytest.mark.parametrize("fail", [broken_by_the_orm, broken_by_sql])
def test_a_database_error_of_a_receiver_stops_neither_the_aggregation_nor_the_next_signal(
    fail, transactional_database, settings, connect, heard
):
    configure(settings, orders=[1, 2])
    connect(fail)
    count("orders", 2)
    assert [milestone for _, milestone, _ in heard] == [1, 2]
    aggregate()
    assert len(heard) == 2
    assert not Milestone.objects.filter(announced=False).exists()


def test_a_receiver_that_confines_its_database_error_disturbs_no_other(database, settings, connect):
    configure(settings, orders=[1])

    def fail(**kwargs):
        with transaction.atomic(using=database):
            broken_by_the_orm()

    def write(**kwargs):
        Tag.objects.create(name="written")

    connect(fail)
    connect(write)
    count("orders", 1)
    assert [tag.name for tag in Tag.objects.all()] == ["written"]


def test_milestones_of_a_killed_run_are_announced_by_the_next(database, settings, heard, monkeypatch):
    configure(settings, orders=[10])

    def killed():
        raise Kill

    with monkeypatch.context() as patched:
        patched.setattr(milestones, "announce", killed)
        metric("orders", 10)
        with pytest.raises(Kill):
            aggregate()
    assert (backlog().items, heard) == (0, [])
    aggregate()
    assert heard == [("orders", 10, 10)]


def test_a_run_killed_between_the_note_and_the_signal_leaves_the_signal_to_the_next(
    transactional_database, settings, heard, monkeypatch
):
    configure(settings, orders={"at": [10], "recipients": ["team@example.com"]})

    def killed(*arguments, **options):
        raise Kill

    with monkeypatch.context() as patched:
        patched.setattr(milestones, "send", killed)
        metric("orders", 10)
        with pytest.raises(Kill):
            aggregate()
    assert (Milestone.objects.get().announced, heard) == (False, [])
    aggregate()
    aggregate()
    assert heard == [("orders", 10, 10)]
    assert Notice.objects.count() == 1


def kill_at(connection, number, monkeypatch):
    """Return an execute wrapper that kills at step `number`: a statement is one step, a commit two."""
    seen = []

    def step(name):
        seen.append(name)
        if len(seen) == number:
            raise Kill

    def wrapper(execute, sql, *arguments):
        step(sql)
        return execute(sql, *arguments)

    commit = connection.commit

    def stepped_commit():
        try:
            step("before COMMIT")
        except Kill:
            connection.rollback()  # as the server does when the process is gone
            raise
        commit()
        step("after COMMIT")

    monkeypatch.setattr(connection, "commit", stepped_commit)
    return wrapper


@pytest.mark.slow
@pytest.mark.parametrize("slug", ["orders", "orders-{}"], ids=["known", "new"])
def test_a_kill_at_any_statement_or_commit_leaves_one_signal_and_one_mail_per_milestone(
    slug, transactional_database, settings, connect, monkeypatch
):
    connect(milestone_workers.write_down)
    connection = connections[transactional_database]
    number, kills = 0, 0
    while kills == number:
        number += 1
        name = slug.format(number)
        configure(settings, **{name: {"every": 10, "recipients": ["team@example.com"]}})
        metric(name, 10)
        with monkeypatch.context() as patched, connection.execute_wrapper(kill_at(connection, number, patched)):
            try:
                aggregate()
            except Kill:
                kills += 1
                connection.close()
        aggregate()
        assert Tag.objects.count() == number
        assert Notice.objects.count() == number
        assert Milestone.objects.filter(announced=True).count() == number
    assert kills >= 20
    milestones_of_all = {(row.slug, row.value) for row in Milestone.objects.all()}
    assert milestones_of_all == {
        (slug.format(each), Decimal(10 * each if slug == "orders" else 10)) for each in range(1, number + 1)
    }


def test_a_run_with_an_older_total_announces_nothing_again(database, settings, heard):
    configure(settings, orders={"every": 10, "recipients": ["team@example.com"]})
    count("orders", 5)
    metric("orders", 10)
    rule = compile_milestones(settings.APP_METRICS_MILESTONES)[0]["orders"]
    aggregate()
    orders = Metric.objects.get()
    count("orders", 20)
    for total in (Decimal(35), Decimal(15), Decimal(5)):
        milestones._reach(rule, orders, total, Milestone.objects.first().reached_at)
        assert HighWaterMark.objects.get().total == 35
    milestones.announce()
    assert [milestone for _, milestone, _ in heard] == [10, 20, 30]
    assert Notice.objects.count() == 3
    assert HighWaterMark.objects.get().total == 35


def test_two_runs_that_see_the_same_milestone_send_one_signal(database, settings, heard):
    configure(settings, orders=[10])
    count("orders", 10)
    Milestone.objects.update(announced=False)
    (milestone,), orders = Milestone.objects.all(), Metric.objects.get()
    heard.clear()
    for _ in range(2):
        milestones._send(milestone, orders)
    assert heard == [("orders", 10, 10)]


def test_an_aggregation_keeps_a_high_water_mark_that_another_one_stored_meanwhile(
    database, settings, heard, monkeypatch
):
    configure(settings, orders=[10])
    count("orders", 5)
    HighWaterMark.objects.all().delete()

    def late(slugs):
        HighWaterMark.objects.create(slug="orders", total=3)
        return {"orders": 50}

    with monkeypatch.context() as patched:
        patched.setattr(milestones, "_totals", late)
        milestones.remember()
    assert HighWaterMark.objects.get().total == 3


def test_a_deleted_high_water_mark_makes_no_milestone_announced_twice(database, settings, heard):
    configure(settings, orders={"at": [10, 20], "recipients": ["team@example.com"]})
    count("orders", 12, -5)
    HighWaterMark.objects.all().delete()
    count("orders", 15)
    assert [milestone for _, milestone, _ in heard] == [10, 20]
    assert Notice.objects.count() == 2


def test_a_metric_deleted_before_its_signal_says_nothing_and_stops_nothing(
    database, settings, heard, monkeypatch, caplog
):
    configure(settings, orders=[10], visits=[10])
    metric("orders", 10)
    metric("visits", 10)
    with monkeypatch.context() as patched:
        patched.setattr(milestones, "send", lambda *arguments, **options: None)
        aggregate()
    Milestone.objects.update(announced=False)
    Metric.objects.filter(slug="orders").delete()
    aggregate()
    assert heard == [("visits", 10, 10)]
    assert [record for record in caplog.records if record.name == "app_metrics"] == []
    assert not Milestone.objects.filter(announced=False).exists()


@pytest.mark.slow
def test_every_milestone_is_announced_once_while_aggregators_are_killed(
    transactional_database, settings, connect, monkeypatch
):
    seconds = 3
    monkeypatch.setattr(milestones, "MOST", milestone_workers.MOST)
    configure(settings, **milestone_workers.RULES)
    killer = start("tests.soak.milestone_workers", transactional_database, seconds, stdout=subprocess.PIPE)
    recorded = 0
    while killer.poll() is None:
        metric("orders", recorded % 7)
        recorded += recorded % 7 or 1
        time.sleep(0.005)
    kills = int(killer.communicate()[0] or 0)
    announced_meanwhile = Tag.objects.count()
    connect(milestone_workers.write_down)
    deadline = time.monotonic() + 60
    while backlog().items or Milestone.objects.filter(announced=False).exists():
        assert time.monotonic() < deadline, "items still wait"
        aggregate()
    aggregate()

    assert killer.returncode == 0
    assert kills >= seconds * KILLS_A_SECOND
    total = Metric.objects.get(slug="orders").total("year")
    expected = [Decimal(value) for value in range(milestone_workers.EVERY, int(total) + 1, milestone_workers.EVERY)]
    assert len(expected) > 10
    assert announced_meanwhile > 1
    assert sorted(Decimal(tag.name) for tag in Tag.objects.all()) == expected
    assert sorted(Milestone.objects.values_list("value", flat=True)) == expected
    assert Notice.objects.count() == len(expected)


@pytest.mark.parametrize("value", [{}, None, ["orders"], {"bad slug": [1]}, {"orders": [-1]}], ids=repr)
def test_without_a_good_rule_nothing_is_asked_of_the_database(value, database, settings):
    settings.APP_METRICS_MILESTONES = value
    with CaptureQueriesContext(connections[database]) as queries:
        milestones.remember()
        milestones.announce()
    assert len(queries) == 0


def test_the_number_of_queries_does_not_depend_on_the_number_of_metrics(database, settings):
    needed = []
    for number in (2, 30):
        slugs = [f"slug-{each}" for each in range(number)]
        configure(settings, **{slug: [10] for slug in slugs})
        for slug in slugs:
            metric(slug, 5)
        aggregate()
        with CaptureQueriesContext(connections[database]) as queries:
            milestones.remember()
            milestones.announce()
        needed.append(len(queries))
    assert needed[0] == needed[1] <= 5


def test_on_sqlite_a_transaction_writes_before_it_reads(transactional_database, settings, heard):
    connection = connections[transactional_database]
    if connection.vendor != "sqlite":
        pytest.skip("other databases lock rows, not the file")
    configure(settings, orders={"at": [10], "recipients": ["team@example.com"]})
    metric("orders", 10)
    with CaptureQueriesContext(connection) as queries:
        aggregate()
    words = [query["sql"].split()[0] for query in queries]
    assert heard
    assert {word for before, word in pairwise(words) if before == "BEGIN"} <= {"DELETE", "INSERT", "UPDATE"}


def test_recipients_get_a_mail_each(database, settings):
    settings.APP_METRICS_TIME_ZONE = "Asia/Tokyo"
    create_metric(name="Items sold", slug="items", unit="pieces")
    recipients = ["Team@example.com", "boss@example.com", "team@example.com"]
    configure(settings, items={"at": [1_000_000], "recipients": recipients})
    with freeze_time("2026-05-31 22:30:00+00:00"):
        count("items", Decimal("1000000.50"))
    mails = Notice.objects.order_by("pk")
    assert [mail.recipient for mail in mails] == ["team@example.com", "boss@example.com"]
    assert {(mail.status, mail.planned_at) for mail in mails} == {("waiting", Milestone.objects.get().reached_at)}
    assert {mail.subject for mail in mails} == {"Milestone reached: Items sold 1,000,000 pieces"}
    assert mails[0].text.split("\n") == [
        "Items sold reached 1,000,000 pieces.",
        "All-time total: 1,000,000.5 pieces",
        "Detected: 1 June 2026, 7:30 a.m.",
    ]


def test_the_mail_links_to_the_metric_s_page(database, settings):
    settings.APP_METRICS_BASE_URL = "https://example.com"
    configure(settings, orders={"at": [1], "recipients": ["team@example.com"]})
    count("orders", 1)
    *_, last = Notice.objects.get().text.splitlines()
    assert last == "Dashboard: https://example.com/admin/app_metrics/dashboard/metric/orders/"


def test_a_process_that_cannot_import_the_urlconf_announces_without_a_link(database, settings, heard, caplog):
    settings.APP_METRICS_BASE_URL = "https://example.com"
    settings.ROOT_URLCONF = "tests.support.broken_module"
    configure(settings, orders={"at": [1], "recipients": ["team@example.com"]})
    count("orders", 1)
    assert (len(heard), "Dashboard" in Notice.objects.get().text) == (1, False)
    assert "No module named 'no_such_package'" in caplog.text


def test_mails_are_written_in_the_site_s_language(database, settings):
    settings.LANGUAGE_CODE = "de"
    configure(settings, orders={"at": [1_000_000], "recipients": ["team@example.com"]})
    with translation.override("en"):
        count("orders", 1_000_000)
    assert Notice.objects.get().subject.endswith("orders 1.000.000")


def test_a_name_cannot_add_a_header_to_a_mail(database, settings):
    create_metric(name="Items\r\nBcc: thief@example.com\n", slug="items")
    configure(settings, items={"at": [1], "recipients": ["team@example.com"]})
    count("items", 1)
    notice = Notice.objects.get()
    assert notice.subject == "Milestone reached: Items Bcc: thief@example.com 1"
    assert notice.text.split("\n")[0] == "Items Bcc: thief@example.com reached 1."


GOOD = [
    ([1_000_000], MilestoneRule((Decimal(1_000_000),))),
    ((20, 10.5, Decimal("1.5")), MilestoneRule((Decimal("1.5"), Decimal("10.5"), Decimal(20)))),
    ({"at": [5]}, MilestoneRule((Decimal(5),))),
    ({"every": 1000}, MilestoneRule((), Decimal(1000))),
    (
        {"at": [5], "every": 10, "recipients": ("A@example.com", "b@example.com", "a@EXAMPLE.com")},
        MilestoneRule((Decimal(5),), Decimal(10), ("a@EXAMPLE.com", "b@example.com")),
    ),
]


@pytest.mark.parametrize(("value", "rule"), GOOD)
def test_a_rule_is_a_list_or_a_mapping(value, rule, settings):
    configure(settings, orders=value)
    assert compile_milestones(settings.APP_METRICS_MILESTONES) == ({"orders": rule}, [])
    assert [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E018"] == []


MISTAKES = [
    ([("orders", [1])], 'Write it like this: {"items_sold": [1_000_000]}.'),
    ({5: [1]}, 'Write it like this: {"items_sold": [1_000_000]}.'),
    ({"bad slug": [1]}, "Use a slug such as 'bad-slug'."),
    ({"orders": 1000}, "Write it like this: [1_000_000], or {"),
    ({"orders": []}, "Write it like this: [1_000_000], or {"),
    ({"orders": {"recipients": ["team@example.com"]}}, "Write it like this: [1_000_000], or {"),
    ({"orders": {"at": 1000}}, 'List numbers: "at": [1_000_000].'),
    ({"orders": {"at": ["1000"]}}, "Give a number above 0."),
    ({"orders": [0]}, "Give a number above 0."),
    ({"orders": [True]}, "Give a number above 0."),
    ({"orders": [float("nan")]}, "Give a number above 0."),
    ({"orders": {"every": -5}}, "Give a number above 0."),
    ({"orders": {"every": 1e-12}}, "Give a number above 0."),
    ({"orders": {"every": None}}, "Give a number above 0."),
    ({"orders": {"evry": 5}}, "Did you mean 'every'?"),
    ({"orders": {"at": [1], "recipients": "team@example.com"}}, 'List e-mail addresses: ["team@example.com"].'),
    ({"orders": {"at": [1], "recipients": ["a@" + "ß" * 60 + ("." + "ß" * 60) * 4 + ".de"]}}, "Give an e-mail address"),
    ({"orders": {"at": [1], "recipients": ["team"]}}, 'Give an e-mail address: "team@example.com".'),
    ({"orders": {"at": [1], "recipients": [["@"]]}}, 'Give an e-mail address: "team@example.com".'),
    ({"orders": {"at": [1], "recipients": ["a@b.com\nBcc: c@d.com"]}}, 'Give an e-mail address: "team@example.com".'),
]


@pytest.mark.parametrize(("value", "hint"), MISTAKES, ids=repr)
def test_a_mistake_gets_one_message_with_a_hint(value, hint, settings):
    settings.APP_METRICS_MILESTONES = value
    (message,) = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E018"]
    assert "APP_METRICS_MILESTONES" in message.msg
    assert hint in message.hint


@pytest.mark.parametrize(("value", "hint"), MISTAKES, ids=repr)
def test_a_mistake_stops_neither_the_aggregation_nor_other_rules(value, hint, database, settings, heard):
    others = value if isinstance(value, dict) and 5 not in value else {}
    settings.APP_METRICS_MILESTONES = {**others, "visits": [1]} if others else value
    metric("visits")
    metric("orders", 5000)
    assert aggregate().items == 2
    assert heard == ([("visits", 1, 1)] if others else [])


def test_the_command_announces_too(database, settings, heard):
    configure(settings, orders=[1])
    metric("orders")
    call_command("metrics_aggregate", verbosity=0)
    assert heard == [("orders", 1, 1)]


@pytest.mark.parametrize("model", ["milestone", "notice"])
def test_the_admin_shows_milestones_and_mails_and_changes_nothing(model, database, settings, client):
    configure(settings, orders={"at": [1], "recipients": ["team@example.com"]})
    count("orders", 1)
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "secret"))
    page = client.get(reverse(f"admin:app_metrics_{model}_changelist"), {"q": "orders"})
    assert page.status_code == 200
    (row,) = page.context["cl"].result_list
    assert client.get(reverse(f"admin:app_metrics_{model}_change", args=[row.pk])).status_code == 200
    for name, arguments in (("add", []), ("delete", [row.pk])):
        assert client.get(reverse(f"admin:app_metrics_{model}_{name}", args=arguments)).status_code == 403


def test_the_documentation_s_rules_are_right():
    page = (ROOT / "docs" / "howto" / "watching.md").read_text()
    (block,) = re.findall(r"^```python\n(APP_METRICS_MILESTONES = .*?)^```", page, re.DOTALL | re.MULTILINE)
    names = {}
    exec(block, names)
    rules, errors = compile_milestones(names["APP_METRICS_MILESTONES"])
    assert (len(rules), errors) == (2, [])
