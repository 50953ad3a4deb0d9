"""Aggregation runs that fail, wait for locks or overlap lose nothing and count nothing twice."""

import sqlite3
import threading
from functools import partial
from itertools import pairwise

import pytest
from django.db import OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext

from app_metrics import collect, distribution, gauge, metric
from app_metrics.aggregation.chunks import ChunkRunner
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, new_batch_id
from app_metrics.core.histogram import Histogram
from app_metrics.core.periods import PERIODS
from app_metrics.models import Item, Metric, Total
from app_metrics.transport.loading import load_backend
from app_metrics.utils import create_metric
from tests.support.contract import batch_of
from tests.support.sessions import run
from tests.support.threads import at_once, in_thread
from tests.support.totals import year_counts

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


def test_a_busy_database_is_tried_again_while_items_are_read_on_sqlite(transactional_database):
    if connections[transactional_database].vendor != "sqlite":
        pytest.skip("reading takes no lock there")
    metric("orders")
    busy = [sqlite3.OperationalError("database is locked")]
    busy[0].sqlite_errorname = "SQLITE_BUSY"

    def refuse_once(execute, sql, params, many, context):
        if "GROUP BY slug" in sql and busy:
            raise OperationalError("database is locked") from busy.pop()
        return execute(sql, params, many, context)

    with connections[transactional_database].execute_wrapper(refuse_once):
        assert aggregate().items == 1
    assert busy == []


def test_a_crash_at_any_statement_loses_nothing_and_counts_nothing_twice(transactional_database, monkeypatch):
    # MySQL looks by chance whether a histogram is long. That of these numbers always is, so that it is written anew.
    monkeypatch.setattr("app_metrics.storage.dialects.mysql.random", lambda: 0)
    prices = [int(100 * 1.02**power) for power in range(1500)]
    with collect():
        for price in prices:
            distribution("price", price)
    aggregate()
    recorded, number, crashes = len(prices), 0, 0
    while crashes == number:
        metric("orders", labels={"plan": "pro"})
        gauge("orders", 1)
        number += 1
        prices.append(number)
        distribution("price", number)
        recorded += 3
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
    assert year_counts() == {"orders": recorded - len(prices), "price": len(prices)}
    stored = Total.objects.filter(metric__slug="price").values_list("histogram", flat=True)
    assert [Histogram.decode(data).encode() for data in stored] == [Histogram(prices).encode()] * len(PERIODS)


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


@pytest.fixture
def repeatable_reads(transactional_database):
    """A connection whose transactions keep the snapshot of their first read; those of SQLite do anyway."""
    connection = connections[transactional_database]
    characteristics = "CHARACTERISTICS AS" if connection.vendor == "postgresql" else ""
    if connection.vendor != "sqlite":
        run(connection, f"SET SESSION {characteristics} TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    yield connection
    connection.close()


@pytest.mark.parametrize("level", ["default", "repeatable reads"])
def test_a_metric_that_another_session_creates_in_between_is_found(level, transactional_database, request, monkeypatch):
    if connections[transactional_database].vendor == "sqlite":
        pytest.skip("it has one writer at a time")
    if level != "default":
        request.getfixturevalue("repeatable_reads")
    metric("orders")
    query = ChunkRunner._query_metrics

    def create_after_the_first_query(self, slugs):
        found = query(self, slugs)
        monkeypatch.setattr(ChunkRunner, "_query_metrics", query)
        in_thread(lambda: create_metric("Orders", "orders"))
        return found

    monkeypatch.setattr(ChunkRunner, "_query_metrics", create_after_the_first_query)
    assert aggregate().items == 1
    assert year_counts() == {"orders": 1}
    assert Metric.objects.get().name == "Orders"


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
    if alias in ("postgresql", "mysql"):  # they skip locked rows
        waiting.join(20)
        assert year_counts() == {"late": 1}
    may_commit.set()
    writer.join()
    waiting.join()
    aggregate()
    assert year_counts() == {"early": 1, "late": 1}


def test_an_item_written_among_those_that_are_being_taken_is_counted(transactional_database):
    connection = connections[transactional_database]
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    ids = sorted(new_batch_id() for _ in range(3))
    first, between, last = (Batch(batch_of("orders").summaries, each) for each in ids)
    backend = load_backend("app_metrics.backends.db")
    late = [between]

    def write_late(execute, sql, params, many, context):
        if "DELETE" in sql and late:
            in_thread(partial(backend.write, late.pop()))
        return execute(sql, params, many, context)

    backend.write(first)
    backend.write(last)
    with connection.execute_wrapper(write_late):
        aggregate()
    aggregate()
    assert late == []
    assert year_counts() == {"orders": 3}


def test_two_aggregations_at_once_share_the_work(transactional_database):
    for number in range(200):
        metric(f"slug-{number % 7}")
    done = at_once(3, lambda: aggregate(chunk_size=10).items)
    assert sum(done) + aggregate().items == 200
    assert sum(year_counts().values()) == 200
