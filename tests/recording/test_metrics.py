"""Recording by hand: what a call stores, when, and in which transaction."""

import logging
import time
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connections, transaction
from django.test import TestCase, override_settings
from freezegun import freeze_time

from app_metrics import Timer, collect, distribution, gauge, metric, timing
from app_metrics.aggregation.run import aggregate
from app_metrics.core.summary import COUNTER, DISTRIBUTION, GAUGE, TIMER
from app_metrics.exceptions import TimerError
from app_metrics.models import Item, Metric, Total
from app_metrics.storage.dialects.base import Dialect
from app_metrics.testing.recorded import capture_metrics
from tests.testapp.models import Tag

SHORT = 0.02


class Failure(Exception):
    pass


@contextmanager
def rolled_back(alias):
    """A transaction that an exception rolls back."""
    with suppress(Failure), transaction.atomic(using=alias):
        yield
        raise Failure


def recorded(slug="x"):
    """Return a metric's total over its pending items, or None."""
    totals = [item.total for item in Item.objects.filter(slug=slug)]
    return sum(totals) if totals else None


def test_the_first_increment_of_an_unknown_slug_is_kept(database):
    metric("x", 5)
    aggregate()
    found = Metric.objects.get(slug="x")
    assert (found.name, found.kind, found.total("day")) == ("x", COUNTER, 5)


@pytest.mark.parametrize(
    ("call", "kind", "total"),
    [
        (lambda: metric("x"), COUNTER, 1),
        (lambda: metric("x", 4), COUNTER, 4),
        (lambda: metric("x", 0), COUNTER, 0),
        (lambda: metric("x", -2), COUNTER, -2),
        (lambda: metric("x", Decimal("19.99")), COUNTER, Decimal("19.99")),
        (lambda: gauge("x", 17), GAUGE, 17),
        (lambda: gauge("x", 0.1), GAUGE, Decimal("0.1")),
        (lambda: gauge("x", Decimal("-0.5")), GAUGE, Decimal("-0.5")),
        (lambda: distribution("x", 19.99), DISTRIBUTION, Decimal("19.99")),
        (lambda: distribution("x", -5), DISTRIBUTION, -5),
    ],
)
def test_a_call_outside_any_scope_is_one_item_in_one_statement(database, call, kind, total, django_assert_num_queries):
    connection = connections[database]
    with transaction.atomic(using=database), django_assert_num_queries(3, connection=connection) as captured:
        call()
    assert [query["sql"].split()[0] for query in captured] == ["SAVEPOINT", "INSERT", "RELEASE"]
    item = Item.objects.get()
    assert (item.slug, item.kind, item.labels, item.count) == ("x", kind, "{}", 1)
    assert (item.total, item.minimum, item.maximum, item.last) == (total,) * 4


def test_outside_transactions_a_call_executes_a_single_insert(transactional_database, django_assert_num_queries):
    with django_assert_num_queries(1, connection=connections[transactional_database]) as captured:
        metric("x")
    assert captured[0]["sql"].split()[0] == "INSERT"


def test_labels_are_stored_in_the_order_of_their_keys(database):
    with collect():
        metric("orders", 2, labels={"plan": "pro", "country": "DE"})
        metric("orders", 3, labels={"country": "DE", "plan": "pro"})
    assert list(Item.objects.values_list("labels", "total")) == [('{"country":"DE","plan":"pro"}', 5)]


@freeze_time("2026-05-31 22:30:00", tz_offset=0)
@pytest.mark.parametrize(
    ("at", "day", "hour"),
    [
        (None, date(2026, 6, 1), 0),  # half past midnight in Berlin
        (datetime(2026, 5, 31, 22, 30, tzinfo=UTC), date(2026, 6, 1), 0),
        (datetime.fromisoformat("2026-05-31 22:30"), date(2026, 5, 31), 22),
        (datetime.fromisoformat("2026-10-25 23:30"), date(2026, 10, 25), 24),
        (datetime(1970, 1, 1, tzinfo=UTC), date(1970, 1, 1), 1),
        (datetime(1001, 1, 2, tzinfo=UTC), date(1001, 1, 2), 0),
        (datetime(9997, 12, 31, tzinfo=UTC), date(9997, 12, 31), 1),
    ],
)
def test_a_count_belongs_to_the_local_date_and_hour_of_its_moment(database, at, day, hour, settings):
    settings.APP_METRICS_YEARS = (1001, 9997)
    metric("x", at=at)
    item = Item.objects.get()
    assert (item.day, item.hour) == (day, hour)


def test_without_use_tz_days_follow_the_metrics_time_zone(database, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    with freeze_time("2026-06-01 02:00:00"):
        metric("x")
        aggregate()
        assert Metric.objects.get().total("month") == 1
    assert sorted(Total.objects.values_list("period", "start")) == [
        ("day", date(2026, 5, 31)),
        ("hour", date(2026, 5, 31)),
        ("month", date(2026, 5, 1)),
        ("week", date(2026, 5, 25)),
        ("year", date(2026, 1, 1)),
    ]


def test_without_data_about_time_zones_each_call_counts_in_days_of_utc(database, no_time_zones):
    with freeze_time("2026-05-31 23:30:00"):
        metric("x")
        with collect():
            metric("x", labels={"plan": "pro"})
            gauge("y", 3)
        metric("x", at=datetime.fromisoformat("2026-05-31 22:30"))
        aggregate()
        assert Metric.objects.get(slug="x").total("day") == 3
    assert {(total.start, total.hour) for total in Total.objects.filter(period="hour")} == {
        (date(2026, 5, 31), 22),
        (date(2026, 5, 31), 23),
    }


def test_disabled_is_a_no_op_even_for_bad_arguments(database, settings, django_assert_num_queries):
    settings.APP_METRICS_DISABLED = settings.APP_METRICS_STRICT = True
    with django_assert_num_queries(0, connection=connections[database]):
        metric("x")
        metric("not a slug", on_commit=True)
        gauge("x", "nothing")
        with timing("not a slug"), collect():
            metric("x", labels={"a": None})
    assert not Item.objects.exists()


# Transactions


def test_outside_any_scope_a_count_is_part_of_the_callers_transaction(transactional_database):
    with rolled_back(transactional_database):
        metric("x")
        assert recorded() == 1
    assert recorded() is None


def test_inside_a_scope_a_count_survives_the_callers_rollback(transactional_database):
    with collect():
        with rolled_back(transactional_database):
            metric("x")
        assert recorded() is None
    assert recorded() == 1


def test_a_failing_write_leaves_the_callers_transaction_usable_and_is_written_with_the_next(
    transactional_database, monkeypatch, caplog
):
    with transaction.atomic(using=transactional_database):
        with monkeypatch.context() as patch:
            patch.setattr(Dialect, "item_table", "no_such_table")
            metric("x", 2)
        Tag.objects.create(name="saved all the same")
    assert Tag.objects.count() == 1
    assert "Could not write metrics batch" in caplog.text
    assert recorded() is None
    metric("x", 3)
    assert recorded() == 5


def test_a_broken_transaction_of_the_caller_stays_as_it_is_and_the_count_comes_later(transactional_database):
    with transaction.atomic(using=transactional_database):
        transaction.set_rollback(True, using=transactional_database)
        metric("x", 2)
        assert connections[transactional_database].needs_rollback
    metric("x", 3)
    assert recorded() == 5


def test_on_commit_counts_when_the_transaction_commits(transactional_database):
    with transaction.atomic(using=transactional_database):
        metric("x", on_commit=True, using=transactional_database)
        assert recorded() is None
    assert recorded() == 1


def test_on_commit_counts_nothing_when_the_transaction_is_rolled_back(transactional_database):
    with rolled_back(transactional_database):
        metric("x", on_commit=True, using=transactional_database)
    assert recorded() is None


def test_on_commit_counts_nothing_of_a_savepoint_that_is_rolled_back(transactional_database):
    with transaction.atomic(using=transactional_database):
        metric("x", 1, on_commit=True, using=transactional_database)
        with rolled_back(transactional_database):
            metric("x", 10, on_commit=True, using=transactional_database)
        with transaction.atomic(using=transactional_database):
            metric("x", 100, on_commit=True, using=transactional_database)
    assert recorded() == 101


def test_on_commit_counts_at_once_without_a_transaction(transactional_database):
    metric("x", on_commit=True, using=transactional_database)
    assert recorded() == 1


def test_on_commit_counts_at_once_with_autocommit_off(transactional_database):
    connection = connections[transactional_database]
    connection.set_autocommit(False)
    try:
        for number, end in [(1, connection.rollback), (2, connection.commit)]:
            Tag.objects.create(name="opens the transaction")
            metric("x", number, on_commit=True, using=transactional_database)
            assert recorded() == number
            end()
    finally:
        connection.set_autocommit(True)
    assert recorded() == 2


def test_on_commit_waits_for_the_default_database_wherever_metrics_are(transactional_database):
    with transaction.atomic():
        metric("x", on_commit=True)
        assert recorded() is None
    assert recorded() == 1


def test_on_commit_inside_a_scope_joins_its_batch(transactional_database):
    with collect():
        with transaction.atomic(using=transactional_database):
            metric("x", 1, on_commit=True, using=transactional_database)
        metric("x", 2)
    assert list(Item.objects.values_list("count", "total")) == [(2, 3)]


def test_on_commit_after_the_end_of_its_scope_is_written_at_once(transactional_database):
    with transaction.atomic(using=transactional_database):
        with collect():
            metric("x", on_commit=True, using=transactional_database)
        assert recorded() is None
    assert recorded() == 1


def test_a_callback_of_the_project_that_raises_on_commit_does_not_prevent_a_count(transactional_database):
    def fail():
        raise Failure

    with suppress(Failure), transaction.atomic(using=transactional_database):
        transaction.on_commit(fail, using=transactional_database)
        metric("x", on_commit=True, using=transactional_database)
    assert recorded() == 1


def test_callbacks_of_the_project_keep_their_order_and_come_after_counts(transactional_database):
    called = []
    with transaction.atomic(using=transactional_database):
        for name in ("mail", "task"):
            transaction.on_commit(lambda name=name: called.append((name, recorded())), using=transactional_database)
            metric("x", on_commit=True, using=transactional_database)
    assert called == [("mail", 2), ("task", 2)]


def test_captured_on_commit_callbacks_count_once_each(database):
    metric("x", 1, on_commit=True, using=database)
    with TestCase.captureOnCommitCallbacks(using=database, execute=True):
        metric("x", 10, on_commit=True, using=database)
    assert recorded() == 10


def test_a_count_that_fails_on_commit_does_not_stop_callbacks_of_the_project(transactional_database, monkeypatch):
    def fail(record):
        raise Failure

    monkeypatch.setattr(Dialect, "item_table", "no_such_table")
    monkeypatch.setattr(logging.getLogger("app_metrics"), "filters", [fail])
    called = []
    with transaction.atomic(using=transactional_database):
        metric("x", on_commit=True, using=transactional_database)
        transaction.on_commit(lambda: called.append("mail"), using=transactional_database)
    assert called == ["mail"]


# Timers


def test_a_block_that_raises_is_timed_and_its_exception_goes_on():
    def fail():
        with timing("export", labels={"format": "csv"}):
            time.sleep(SHORT)
            raise Failure

    with capture_metrics() as recording, pytest.raises(Failure):
        fail()
    summary = recording.summary("export", {"format": "csv"})
    assert summary.count == 1
    assert SHORT <= summary.total < SHORT + 5


def test_a_timer_does_not_depend_on_the_wall_clock(monkeypatch):
    now = time.time()
    with capture_metrics() as recording, timing("export"):
        monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert 0 <= recording.total("export") < 5


def test_a_timer_can_be_used_again_and_nested_in_itself(monkeypatch):
    monkeypatch.setattr("app_metrics.recording.metrics.perf_counter", iter([0, 1, 4, 6, 10, 12]).__next__)
    timer = Timer("export")
    with capture_metrics() as recording:
        with timer, timer:
            pass
        with timer:
            pass
    summary = recording.summary("export")
    assert (summary.count, summary.total) == (3, 3 + 6 + 2)
    assert (summary.minimum, summary.maximum) == (2, 6)


def test_a_timer_starts_and_stops_by_hand_and_says_how_long_it_took():
    timer = Timer("export")
    with capture_metrics() as recording:
        timer.start()
        time.sleep(SHORT)
        seconds = timer.stop()
    assert float(recording.total("export")) == pytest.approx(seconds, abs=1e-9)
    assert [key.kind for batch in recording.batches for key in batch.summaries] == [TIMER]


def test_a_timer_that_was_not_started_cannot_be_stopped():
    with capture_metrics() as recording, pytest.raises(TimerError, match="without start"):
        Timer("export").stop()
    assert recording.slugs == []


def test_a_timer_without_a_slug_records_when_it_is_told_where(monkeypatch):
    monkeypatch.setattr("app_metrics.recording.metrics.perf_counter", iter([0, 3]).__next__)
    timer = Timer(labels={"format": "csv"})
    with capture_metrics() as recording:
        timer.start()
        assert timer.stop() == 3
        assert recording.slugs == []
        timer.store("export")
    assert timer.elapsed() == recording.total("export", {"format": "csv"}) == 3


def test_a_timer_knows_how_long_it_ran_the_last_time(monkeypatch):
    monkeypatch.setattr("app_metrics.recording.metrics.perf_counter", iter([0, 3, 10, 11]).__next__)
    timer = Timer("export")
    for seconds in (3, 1):
        with capture_metrics(), timer:
            pass
        assert timer.elapsed() == seconds


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda timer: timer.elapsed(), "call stop"),
        (lambda timer: timer.store("export"), "call stop"),
        (lambda timer: (timer.start(), timer.start()), "call stop"),
        (lambda timer: (timer.start(), timer.elapsed()), "call stop"),
        (lambda timer: timer.__enter__(), 'write timing("…")'),
    ],
)
def test_a_timer_without_a_slug_says_what_is_missing(use, message):
    with pytest.raises(TimerError) as caught:
        use(Timer())
    assert message in str(caught.value)


@pytest.mark.parametrize("slug", [None, ""])
def test_a_timer_whose_slug_is_missing_by_mistake_is_refused(slug):
    with override_settings(APP_METRICS_STRICT=True), pytest.raises((TypeError, ValueError)):
        Timer(slug)


def test_on_commit_of_a_database_that_does_not_exist_says_so():
    with override_settings(APP_METRICS_STRICT=True), pytest.raises(ValueError, match="'nowhere'"):
        metric("x", on_commit=True, using="nowhere")


def test_without_strict_on_commit_of_an_unknown_database_is_dropped():
    with override_settings(APP_METRICS_STRICT=False), capture_metrics() as recording:
        metric("x", on_commit=True, using="nowhere")
        metric("y")
    assert recording.slugs == ["app_metrics_dropped", "y"]
