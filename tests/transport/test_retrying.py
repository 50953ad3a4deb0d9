"""The retrying backend: what it keeps, when it retries, and when it gives up."""

import logging
import threading
from dataclasses import dataclass

import pytest
from django.db import connections, transaction

from app_metrics import metric
from app_metrics.core.batch import Batch
from app_metrics.core.dropped import DROPPED_SLUG, REFUSED, take_entries
from app_metrics.models import Item
from app_metrics.transport import circuit_breaker
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.circuit_breaker import FAILURES, FIRST_PAUSE
from app_metrics.transport.loading import load_backend, replaced_backend
from app_metrics.transport.retry_queue import MERGED
from app_metrics.transport.retrying import MAX_REFUSALS, RetryingBackend
from tests.support.contract import batch_of


class Picky(MetricsBackend):
    """A backend that refuses one slug, or everything while it is `down`."""

    def __init__(self):
        self.down, self.taken, self.tries, self.events = False, [], 0, 0
        self.ids = []

    def write(self, batch):
        slugs = [key.slug for key in batch.summaries]
        if self.down or "refused" in slugs:
            self.tries += 1
            raise OSError("no")
        self.taken += slugs
        self.events += sum(summary.count for summary in batch.summaries.values())
        self.ids.append(batch.id)


@pytest.fixture
def clock(monkeypatch):
    """The time seen by the circuit breaker and the retrying backend."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(circuit_breaker.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def down(clock):
    """A retrying backend whose circuit breaker is open after failures, and its destination."""
    backend = Picky()
    backend.down = True
    retrying = RetryingBackend(backend)
    for _ in range(FAILURES):
        retrying.write(batch_of("orders"))
    return retrying, backend


def test_kept_batches_are_not_retried_within_a_transaction(transactional_database):
    retrying = RetryingBackend(load_backend("app_metrics.backends.db"))
    retrying.keep(batch_of("kept"))
    with transaction.atomic(using=transactional_database):
        retrying.write(batch_of("undone"))
        transaction.set_rollback(True, using=transactional_database)
    assert not Item.objects.exists()
    retrying.write(batch_of("next"))
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["kept", "next"]


def test_a_batch_refused_repeatedly_is_dropped_and_counted():
    backend = Picky()
    retrying = RetryingBackend(backend)
    retrying.write(batch_of("refused"))
    for _ in range(MAX_REFUSALS + 5):
        retrying.write(batch_of("orders"))
    assert backend.tries == 1 + MAX_REFUSALS
    assert backend.taken == ["orders"] * (MAX_REFUSALS + 5)
    assert [entry[0:3:2] for entry in take_entries()] == [(DROPPED_SLUG, f'{{"reason":"{REFUSED}"}}')]


def test_an_outage_drops_no_batch_as_refused():
    backend = Picky()
    backend.down = True
    retrying = RetryingBackend(backend)
    retrying.write(batch_of("orders"))
    for _ in range(MAX_REFUSALS + 5):
        retrying.retry()
    assert backend.tries > MAX_REFUSALS
    backend.down = False
    retrying.retry()
    assert backend.events == 1
    assert take_entries() == []


def test_an_outage_is_logged_with_one_traceback(caplog):
    backend = Picky()
    backend.down = True
    retrying = RetryingBackend(backend)
    with caplog.at_level(logging.ERROR, "app_metrics"):
        for _ in range(3):
            retrying.write(batch_of("orders"))
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]


def test_a_destination_that_keeps_failing_is_left_alone_and_asked_from_time_to_time(down, clock):
    retrying, backend = down
    for _ in range(1000):
        retrying.write(batch_of("orders"))
    assert backend.tries == FAILURES
    clock.now += FIRST_PAUSE
    for _ in range(1000):
        retrying.write(batch_of("orders"))
    assert backend.tries == FAILURES + 1


def test_after_an_outage_possibly_written_batches_keep_their_ids(clock):
    backend = Picky()
    backend.down = True
    retrying = RetryingBackend(backend)
    seen = [batch_of("orders") for _ in range(FAILURES)]
    for batch in seen:
        retrying.write(batch)
    for _ in range(100):
        retrying.write(batch_of("orders"))
    backend.down = False
    clock.now += FIRST_PAUSE
    retrying.write(batch_of("orders"))
    assert backend.events == FAILURES + 101
    assert {batch.id for batch in seen} < set(backend.ids)
    assert len(backend.ids) == FAILURES + 2  # one for all batches that were never tried, and the current one
    assert retrying.kept == 0


def test_catching_up_takes_a_callers_thread_no_longer_than_the_timeout(down, clock):
    retrying, backend = down
    for _ in range(10):
        retrying.keep(batch_of("orders"))
    backend.down = False

    def slow(batch):
        clock.now += 0.2  # of 0.25 s
        backend.events += 1

    backend.write = slow
    clock.now += FIRST_PAUSE
    retrying.write(batch_of("next"))
    assert backend.events == 1 + 1 + 2  # the trial, the current batch, and what fits into the timeout
    assert retrying.kept == FAILURES + 10 - 3


def test_refused_batches_between_good_ones_do_not_open_the_breaker():
    backend = Picky()
    retrying = RetryingBackend(backend)
    for _ in range(50):
        retrying.write(batch_of("refused"))
        retrying.write(batch_of("orders"))
    assert backend.taken == ["orders"] * 50


def test_a_callers_broken_transaction_does_not_open_the_breaker(transactional_database, clock):
    retrying = RetryingBackend(load_backend("app_metrics.backends.db"))
    with transaction.atomic(using=transactional_database):
        transaction.set_rollback(True, using=transactional_database)
        for _ in range(FAILURES):
            retrying.write(batch_of("orders"))
    retrying.write(batch_of("next"))
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["next", *["orders"] * FAILURES]


def test_an_open_breaker_does_not_probe_within_a_transaction(transactional_database, clock):
    retrying = RetryingBackend(load_backend("app_metrics.backends.db"))
    for _ in range(FAILURES):
        retrying._breaker.failed()
    clock.now += FIRST_PAUSE
    with transaction.atomic(using=transactional_database):
        retrying.write(batch_of("first"))
        transaction.set_rollback(True, using=transactional_database)
    assert not Item.objects.exists()
    retrying.write(batch_of("second"))
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["first", "second"]


def test_an_endless_outage_takes_bounded_memory_and_counts_drops(settings, clock):
    settings.APP_METRICS_RETRY_LIMIT = 5
    retrying = RetryingBackend(backend := Picky())
    backend.down = True
    written = FAILURES + 10 * MERGED
    for number in range(written):
        retrying.write(batch_of(f"slug-{number}"))
    assert retrying.kept == FAILURES + 5
    backend.down = False
    retrying.retry()
    assert len(backend.taken) == FAILURES + 5 * MERGED
    assert backend.events + sum(number for *_, number, _ in take_entries()) == written


def test_an_outage_loses_no_events_of_thousands_of_series(settings, clock):
    settings.APP_METRICS_RETRY_LIMIT = 10
    retrying = RetryingBackend(backend := Picky())
    backend.down = True
    requests = [batch_of(*(f"slug-{number}" for number in range(first, first + 10))) for first in range(0, 3000, 10)]
    for _ in range(20):
        clock.now += 31  # a trial each time
        for request in requests:
            retrying.write(Batch(request.summaries))
    backend.down = False
    retrying.retry()
    assert take_entries() == []
    assert backend.events == 20 * 3000


def test_an_endless_outage_loses_no_events_of_a_few_series(down):
    retrying, backend = down
    for _ in range(10_000):
        retrying.write(batch_of("orders", "downloads"))
    backend.down = False
    retrying.retry()
    assert backend.events == FAILURES + 20_000
    assert take_entries() == []


def test_batches_of_many_threads_are_written_after_an_outage(down):
    retrying, backend = down
    threads = [
        threading.Thread(target=lambda: [retrying.write(batch_of("orders")) for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backend.down = False
    retrying.retry()
    assert backend.events == FAILURES + 4000


def test_a_backend_need_not_be_hashable():
    @dataclass
    class Unhashable(MetricsBackend):
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


def test_refused_batches_block_others_for_a_bounded_time_only(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(circuit_breaker.time, "monotonic", lambda: Clock.now)
    backend = Picky()
    retrying = RetryingBackend(backend)
    for _ in range(3):
        retrying.write(batch_of("refused"))
    for _ in range(20):
        Clock.now += 31
        retrying.write(batch_of("orders"))
    retrying.retry()
    assert len(backend.taken) > 1
    assert retrying.kept <= 3


def test_at_the_end_of_a_process_every_batch_is_tried():
    backend = Picky()
    retrying = RetryingBackend(backend)
    retrying.keep(batch_of("refused"))
    for _ in range(5):
        retrying.keep(batch_of("orders"))
    retrying.retry()
    assert (backend.taken, retrying.kept) == (["orders"] * 5, 1)


@pytest.mark.every_database
def test_a_write_before_migrate_says_to_run_it(transactional_database, caplog):
    connections[transactional_database].cursor().execute("ALTER TABLE app_metrics_item RENAME TO app_metrics_missing")
    try:
        with caplog.at_level(logging.ERROR, logger="app_metrics"):
            RetryingBackend(load_backend("app_metrics.backends.db")).write(batch_of("orders"))
    finally:
        back = "ALTER TABLE app_metrics_missing RENAME TO app_metrics_item"
        connections[transactional_database].cursor().execute(back)
    (message,) = caplog.messages
    option = "" if transactional_database == "default" else f" --database {transactional_database}"
    assert message.endswith(f"The database lacks tables of app_metrics; run manage.py migrate{option}.")


def test_another_failure_does_not_say_to_run_migrate(caplog):
    backend = Picky()
    backend.down = True
    with caplog.at_level(logging.ERROR, logger="app_metrics"):
        RetryingBackend(backend).write(batch_of("orders"))
    assert "migrate" not in caplog.text
