"""The shield around a backend: what it keeps, when it tries again, and when it gives up."""

import logging
from dataclasses import dataclass

import pytest
from django.db import connections, transaction

from app_metrics import metric
from app_metrics.backends import load_backend, replaced_backend
from app_metrics.backends.retrying import MAX_REFUSALS, RetryingBackend
from app_metrics.drops import DROPPED_SLUG, REFUSED, take_entries
from app_metrics.models import Item

from .contract import batch_of


class Picky:
    """A backend that refuses one slug, or everything while it is `down`."""

    def __init__(self):
        self.down, self.taken, self.tries = False, [], 0

    def write(self, batch):
        slugs = [key.slug for key in batch.summaries]
        if self.down or "refused" in slugs:
            self.tries += 1
            raise OSError("no")
        self.taken += slugs


def test_what_is_kept_is_not_tried_within_a_transaction_that_may_roll_back(transactional_database):
    shield = RetryingBackend(load_backend("app_metrics.backends.db"))
    shield.keep(batch_of("kept"))
    with transaction.atomic(using=transactional_database):
        shield.write(batch_of("undone"))
        transaction.set_rollback(True, using=transactional_database)
    assert not Item.objects.exists()
    shield.write(batch_of("next"))
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["kept", "next"]


def test_a_batch_refused_while_others_are_taken_is_dropped_in_the_end_and_counted():
    backend = Picky()
    shield = RetryingBackend(backend)
    shield.write(batch_of("refused"))
    for _ in range(MAX_REFUSALS + 5):
        shield.write(batch_of("orders"))
    assert backend.tries == 1 + MAX_REFUSALS
    assert backend.taken == ["orders"] * (MAX_REFUSALS + 5)
    assert [entry[0:3:2] for entry in take_entries()] == [(DROPPED_SLUG, f'{{"reason":"{REFUSED}"}}')]


def test_an_outage_of_any_length_drops_nothing_for_being_refused():
    backend = Picky()
    backend.down = True
    shield = RetryingBackend(backend)
    for _ in range(MAX_REFUSALS + 5):
        shield.write(batch_of("orders"))
    backend.down = False
    shield.write(batch_of("orders"))
    assert len(backend.taken) == MAX_REFUSALS + 6


def test_an_outage_is_logged_with_one_traceback(caplog):
    backend = Picky()
    backend.down = True
    shield = RetryingBackend(backend)
    with caplog.at_level(logging.ERROR, "app_metrics"):
        for _ in range(3):
            shield.write(batch_of("orders"))
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]


def test_a_backend_need_not_be_hashable():
    @dataclass
    class Unhashable:
        count: int = 0

        def write(self, batch):
            self.count += 1

    backend = Unhashable()
    with replaced_backend(backend):
        metric("orders")
    assert backend.count == 1


def test_a_connection_lost_in_a_write_is_not_left_to_the_callers_next_query(transactional_database):
    connection = connections[transactional_database]
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no server to lose")
    connection.ensure_connection()
    end_session(connection)
    RetryingBackend(load_backend("app_metrics.backends.db")).write(batch_of("orders"))
    assert Item.objects.count() == 0


def end_session(connection):
    other = connection.copy()
    try:
        with connection.cursor() as mine, other.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
            else:
                mine.execute("SELECT CONNECTION_ID()")
                cursor.execute(f"KILL {mine.fetchone()[0]}")
    finally:
        other.close()
