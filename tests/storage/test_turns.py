"""A long run lets other writers in between its transactions, where the database does not queue them."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.db import connections, transaction

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Item
from app_metrics.storage import turns
from tests.support.waiting import wait_until

pytestmark = pytest.mark.every_database


@contextmanager
def another_writer():
    """Record repeatedly in another thread; yield a list that grows with each commit."""
    committed, ended = [], threading.Event()

    def write():
        try:
            while not ended.wait(0.02):
                metric("visitors")
                committed.append("visitors")
        finally:
            connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield committed
    finally:
        ended.set()
        writer.join()


def test_on_sqlite_others_get_to_write_between_the_transactions_of_a_run(transactional_database, monkeypatch):
    if connections[transactional_database].vendor != "sqlite":
        pytest.skip("who waits for a row gets it in turn")
    given = []

    def wait_for_a_write(seconds):
        before = len(committed)
        wait_until(lambda: len(committed) > before + 1)  # the first one may have been committed before this
        given.append(seconds)

    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait_for_a_write))
    monkeypatch.setattr(turns, "LONGEST", 0)
    for _ in range(100):
        metric("orders")
    with another_writer() as committed:
        aggregate(chunk_size=20)
    assert given == [turns.PAUSE] * len(given)
    assert turns.PAUSE > 0.1  # a writer retries SQLite's lock ten times a second
    assert len(given) >= 5


@contextmanager
def without_autocommit(connection):
    connection.set_autocommit(False)
    try:
        yield
    finally:
        connection.rollback()
        connection.set_autocommit(True)


@pytest.mark.parametrize("begin", [lambda connection: transaction.atomic(connection.alias), without_autocommit])
def test_on_sqlite_a_run_in_a_callers_transaction_does_not_pause(transactional_database, monkeypatch, begin):
    connection = connections[transactional_database]
    if connection.vendor != "sqlite":
        pytest.skip("who waits for a row gets it in turn")
    monkeypatch.setattr(turns, "LONGEST", 0)
    monkeypatch.setattr(turns, "PAUSE", 3600)
    for _ in range(4):
        metric("orders")
    with begin(connection):
        Item.objects.update(count=1)
        assert aggregate(chunk_size=1).items == 4
