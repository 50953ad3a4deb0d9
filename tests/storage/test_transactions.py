"""A transaction that fails for a passing reason is tried again; any other failure is raised. On SQLite it waits."""

import gc
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from app_metrics import metric
from app_metrics.aggregation import chunks
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Item, Metric
from app_metrics.models.creation import create_metric
from app_metrics.notifications.alerts import check_alerts
from app_metrics.notifications.announcements import plan_notifications
from app_metrics.notifications.outbox import send_notifications
from app_metrics.reports.sending import send_reports
from app_metrics.storage import transactions, turns
from app_metrics.storage.ledger import write_once
from app_metrics.storage.transactions import between_others, retried
from tests.support.contract import batch_of
from tests.support.sessions import other_session, run, waiting
from tests.support.threads import in_thread
from tests.support.totals import year_counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.every_database


# These let a session give up waiting for a lock after at most a second.
IMPATIENCE = {
    "sqlite": "PRAGMA busy_timeout = 50",
    "postgresql": "SET lock_timeout = 1000",
    "mysql": "SET innodb_lock_wait_timeout = 1",
}


@contextmanager
def impatient(connection):
    run(connection, IMPATIENCE[connection.vendor])
    try:
        yield
    finally:
        connection.close()


@pytest.mark.parametrize(
    "change", ["app_metrics_total SET count = count", "app_metrics_aggregationrun SET items = items"]
)
def test_a_lock_timeout_is_tried_again(transactional_database, change):
    connection = connections[transactional_database]
    metric("orders")
    aggregate()
    metric("orders")
    failures = []
    with impatient(connection), other_session(transactional_database) as other:
        run(other, f"UPDATE {change}")

        def release_after_failure(execute, *arguments):
            try:
                return execute(*arguments)
            except OperationalError as error:
                failures.append(error)
                other.rollback()
                raise

        with connection.execute_wrapper(release_after_failure):
            assert aggregate().items == 1
    assert len(failures) == 1
    assert year_counts() == {"orders": 2}


def test_a_failure_that_broke_the_callers_transaction_is_not_retried(transactional_database):
    connection, tries = connections[transactional_database], []

    def fail():
        tries.append("one")
        connection.set_rollback(True)
        raise IntegrityError("as it is")

    with transaction.atomic(using=transactional_database), pytest.raises(IntegrityError, match="as it is"):
        retried(fail)
    assert tries == ["one"]


# These let a session survive a deadlock: PostgreSQL ends the session that checks first, and InnoDB the one that
# changed fewer rows.
SURVIVE = {
    "postgresql": "SET deadlock_timeout = '1min'",
    "mysql": "UPDATE auth_permission SET name = CONCAT(name, '.')",
}
LOCK = "UPDATE app_metrics_total SET count = count WHERE metric_id = %s"


def test_a_deadlock_is_tried_again(transactional_database):
    connection = connections[transactional_database]
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time, and so no deadlocks")
    slugs = ["first", "middle", "second"]
    for slug in slugs:
        metric(slug)
    aggregate()
    first, middle, second = Metric.objects.order_by("pk").values_list("pk", flat=True)
    for slug in slugs:
        metric(slug)
    failures = []

    def note_failure(execute, *arguments):
        try:
            return execute(*arguments)
        except OperationalError as error:
            failures.append(error)
            raise

    with other_session(transactional_database) as other, other_session(transactional_database) as gate:
        run(other, SURVIVE[connection.vendor])
        run(other, LOCK, second)
        run(gate, LOCK, middle)

        def cross():
            run(other, LOCK, first)
            other.rollback()

        def let_the_aggregation_close_the_circle():
            """Make the aggregation's wait the last of the cycle: PostgreSQL checks for deadlocks once per wait."""
            crossing = threading.Thread(target=cross)
            try:
                wait_until(lambda: waiting(gate) == 1)
                crossing.start()
                wait_until(lambda: waiting(gate) == 2)
            finally:
                gate.rollback()
            crossing.join()

        opening = threading.Thread(target=let_the_aggregation_close_the_circle)
        opening.start()
        with connection.execute_wrapper(note_failure):
            aggregate()
        opening.join()
    assert len(failures) == 1
    assert "eadlock" in str(failures[0])
    assert year_counts() == dict.fromkeys(slugs, 2)


def test_a_failure_that_will_not_pass_raises_at_once_and_loses_nothing(transactional_database):
    connection = connections[transactional_database]
    metric("orders")
    rename = "ALTER TABLE {} RENAME TO {}"
    run(connection, rename.format("app_metrics_total", "away"))
    try:
        with CaptureQueriesContext(connection) as queries, pytest.raises(DatabaseError, match="app_metrics_total"):
            aggregate()
    finally:
        run(connection, rename.format("away", "app_metrics_total"))
    assert sum("DELETE " in query["sql"] and "app_metrics_item" in query["sql"] for query in queries) == 1
    assert Item.objects.count() == 1
    assert aggregate().items == 1
    assert year_counts() == {"orders": 1}


@pytest.fixture
def looked(monkeypatch):
    """An event: a transaction has looked whether others are open, and waits."""
    event = threading.Event()

    def sleep(seconds):
        event.set()
        time.sleep(seconds)

    monkeypatch.setattr(transactions, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    return event


@pytest.mark.only_sqlite
def test_an_aggregation_lets_an_open_transaction_write_that_has_read_before(
    transactional_database, looked, monkeypatch
):
    monkeypatch.setattr(transactions, "PATIENCE", 600)
    metric("orders")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(transactional_database):
            Metric.objects.count()
            aggregating = pool.submit(in_thread, aggregate)
            assert looked.wait(60)
            create_metric("Visits", "visits")
        assert aggregating.result().items == 1
    assert sorted(Metric.objects.values_list("slug", flat=True)) == ["orders", "visits"]


@pytest.mark.only_sqlite
@pytest.mark.parametrize("do", [check_alerts, send_reports, send_notifications])
def test_alerts_and_mails_let_an_open_transaction_write_that_has_read_before(
    do, transactional_database, looked, monkeypatch, settings
):
    monkeypatch.setattr(transactions, "PATIENCE", 600)
    settings.APP_METRICS_ALERTS = {"Many": {"metric": "orders", "period": "hour", "above": 1}}
    settings.APP_METRICS_SETS = {"Shop": {"metrics": ["orders"], "recipients": ["ada@example.com"], "send": ["daily"]}}
    plan_notifications(["ada@example.com"], [("News", ["Much was ordered."])], timezone.now())
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(transactional_database):
            Metric.objects.count()
            doing = pool.submit(in_thread, do)
            assert looked.wait(60)
            create_metric("Visits", "visits")
        doing.result()


@pytest.mark.only_sqlite
def test_a_transaction_begins_after_a_limited_wait_for_open_transactions(transactional_database, looked, monkeypatch):
    monkeypatch.setattr(transactions, "PATIENCE", 0)
    entered = []

    def enter():
        with between_others():
            entered.append(Metric.objects.count())

    with transaction.atomic(transactional_database):
        Metric.objects.count()
        in_thread(enter)
    assert (entered, looked.is_set()) == ([0], True)


@pytest.fixture
def uncollected():
    """A function that returns how many of a connection's cursors wait for the garbage collector, which is off."""

    def count(connection):
        objects = [each for each in gc.get_objects() if isinstance(each, sqlite3.Cursor)]
        return sum(each.connection is connection.connection for each in objects)

    gc.collect()
    gc.disable()
    yield count
    gc.enable()


# Collected in a thread that holds the lock that the connection waits for, a cursor stops the process for that time.
@pytest.mark.only_sqlite
def test_waiting_for_open_transactions_leaves_no_cursor_to_the_garbage_collector(
    transactional_database, uncollected, monkeypatch
):
    connection = connections[transactional_database]
    connection.ensure_connection()
    monkeypatch.setattr(transactions, "PATIENCE", 0.2)
    with other_session(transactional_database) as other:
        run(other, "BEGIN IMMEDIATE")
        with between_others():
            assert uncollected(connection) == 0


@pytest.mark.only_sqlite
def test_a_retried_transaction_leaves_no_cursor_to_the_garbage_collector(transactional_database, uncollected):
    connection, left = connections[transactional_database], []

    def insert():
        left.append(uncollected(connection))
        if len(left) == 1:
            Metric.objects.create(slug="orders", name="Orders", kind=None)

    retried(insert)
    assert left == [0, 0]


@pytest.mark.only_sqlite
@pytest.mark.parametrize(
    ("mode", "begun"), [(None, "EXCLUSIVE"), ("DEFERRED", "EXCLUSIVE"), ("IMMEDIATE", "IMMEDIATE")]
)
def test_a_site_whose_transactions_take_the_lock_at_once_may_read_meanwhile(
    mode, begun, transactional_database, monkeypatch
):
    connection = connections[transactional_database]
    connection.ensure_connection()
    monkeypatch.setattr(connection, "transaction_mode", mode)
    timeout = run(connection, "PRAGMA busy_timeout")
    with CaptureQueriesContext(connection) as queries, between_others():
        pass
    assert queries[0]["sql"] == f"BEGIN {begun}"
    assert (connection.transaction_mode, run(connection, "PRAGMA busy_timeout")) == (mode, timeout)


@pytest.mark.only_sqlite
def test_a_transaction_locks_no_other_threads_out_of_a_database_in_memory(transactional_database, monkeypatch):
    connection = connections[transactional_database]
    monkeypatch.setattr(connection, "is_in_memory_db", lambda: True)
    with CaptureQueriesContext(connection) as queries, between_others():
        pass
    assert queries[0]["sql"] == "BEGIN"


@pytest.mark.only_sqlite
def test_only_a_drain_writes_a_batch_when_no_transaction_is_open(transactional_database, monkeypatch):
    looks = []
    monkeypatch.setattr(transactions, "_entered_alone", lambda *arguments: looks.append(arguments))
    write_once(batch_of("orders"))
    assert len(looks) == 0
    write_once(batch_of("visits"), durable=True)
    assert len(looks) == 1


@pytest.mark.only_sqlite
def test_waiting_for_open_transactions_does_not_shrink_chunks(transactional_database, monkeypatch):
    clock = count(step=60)
    monkeypatch.setattr(turns, "FEWEST", 1)
    sizes = []
    for _ in range(12):
        metric("orders")

    @contextmanager
    def after_a_minute():
        now = next(clock)
        monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: now, sleep=lambda pause: None))
        with transaction.atomic(transactional_database):
            yield

    monkeypatch.setattr(chunks, "between_others", after_a_minute)
    aggregate(on_progress=sizes.append)
    assert sizes == [1, 9, 2]
