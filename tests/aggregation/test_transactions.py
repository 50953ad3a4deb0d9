"""Aggregation runs that fail, wait for locks or overlap lose nothing and count nothing twice."""

import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext

from app_metrics import gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Item, Metric
from app_metrics.storage.transactions import retried
from tests.support.sessions import other_session, run, waiting
from tests.support.threads import at_once
from tests.support.totals import year_counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.every_database


class Crash(Exception):
    pass


def crash_at(number):
    """Return an execute wrapper that raises instead of statement `number`, and the list of statements it sees."""
    seen = []

    def wrapper(execute, sql, params, many, context):
        seen.append(sql)
        if len(seen) == number:
            raise Crash
        return execute(sql, params, many, context)

    return wrapper, seen


def test_a_crash_at_any_statement_loses_nothing_and_counts_nothing_twice(transactional_database):
    recorded, number, crashes = 0, 0, 0
    while crashes == number:
        metric("orders", labels={"plan": "pro"})
        gauge("orders", 1)
        recorded += 2
        number += 1
        wrapper, statements = crash_at(number)
        waiting = Item.objects.count()
        with connections[transactional_database].execute_wrapper(wrapper):
            try:
                aggregate()
            except Crash:
                crashes += 1
        assert sum(year_counts().values()) + Item.objects.count() == recorded, statements
        assert Item.objects.count() in (0, waiting), statements
    assert crashes >= 5
    assert year_counts() == {"orders": recorded}


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


def test_in_a_callers_transaction_that_it_broke_a_failure_is_raised_as_it_is(transactional_database):
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
    assert sum("DELETE FROM app_metrics_item" in query["sql"] for query in queries) == 1
    assert Item.objects.count() == 1
    assert aggregate().items == 1
    assert year_counts() == {"orders": 1}


def test_on_sqlite_a_transaction_writes_before_it_reads_so_that_it_waits_for_other_writers(transactional_database):
    connection = connections[transactional_database]
    if connection.vendor != "sqlite":
        pytest.skip("other databases lock rows, not the file")
    metric("orders")
    with CaptureQueriesContext(connection) as queries:
        aggregate()
    words = [query["sql"].split()[0] for query in queries]
    firsts = [word for before, word in pairwise(words) if before == "BEGIN"]
    assert "UPDATE" in firsts
    assert set(firsts) <= {"INSERT", "UPDATE"}


@pytest.mark.parametrize("second", [metric, gauge], ids=["same kind", "second kind"])
def test_a_metric_deleted_between_two_transactions_is_created_again(transactional_database, second):
    metric("orders", 1)
    second("orders", 1)
    deleted = []

    def delete_once(items):
        if not deleted:
            deleted.append(Metric.objects.all().delete())

    done = aggregate(chunk_size=1, on_progress=delete_once)
    assert (done.items, done.quarantined) == (2, 0)
    assert year_counts() == {"orders": 1}


def test_items_of_a_transaction_that_is_still_open_are_counted_when_it_commits(transactional_database):
    alias = transactional_database
    if connections[alias].vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: an aggregation waits for the transaction")
    written, may_commit = threading.Event(), threading.Event()

    def commit_late():
        with transaction.atomic(using=alias):
            metric("early")
            written.set()
            may_commit.wait(120)
        connections.close_all()

    writer = threading.Thread(target=commit_late)
    writer.start()
    assert written.wait(120)
    metric("late")
    waiting = threading.Thread(target=lambda: (aggregate(), connections.close_all()))
    waiting.start()
    if alias == "postgresql":
        waiting.join(20)
        assert year_counts() == {"late": 1}
    may_commit.set()
    writer.join()
    waiting.join()
    aggregate()
    assert year_counts() == {"early": 1, "late": 1}


def test_two_aggregations_at_once_share_the_work(transactional_database):
    for number in range(200):
        metric(f"slug-{number % 7}")
    done = at_once(3, lambda: aggregate(chunk_size=10).items)
    assert sum(done) + aggregate().items == 200
    assert sum(year_counts().values()) == 200
