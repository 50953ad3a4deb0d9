"""The buffered mode: many requests, one write from one thread, nothing lost when a process ends cleanly."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connections

from app_metrics import collect, flush, metric
from app_metrics.backends import locmem
from app_metrics.core.batch import Batch, Key
from app_metrics.core.dropped import DROPPED_SLUG, take_entries
from app_metrics.models import Item
from app_metrics.testing.recorded import capture_metrics
from app_metrics.transport import buffer as buffering
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.buffer import Buffer
from app_metrics.transport.merging import LONGEST_WAIT, MAX_SUMMARIES, Merging
from scripts.server import HOST
from tests.support.contract import DAY, batch_of
from tests.support.small_server import environment, found, served, sqlite, visit
from tests.support.waiting import takes_less, wait_until

LOCMEM = "app_metrics.backends.locmem"
LONG = 600


@pytest.fixture(autouse=True)
def _buffer(monkeypatch, settings):
    """A buffer for this test only: the process's own may have a thread that wakes when a setting changes."""
    settings.APP_METRICS_FLUSH_INTERVAL = LONG
    buffer = Buffer()
    monkeypatch.setattr(buffering, "_buffer", buffer)
    monkeypatch.setattr(buffering, "add", buffer.add)


@pytest.fixture
def buffered(settings):
    """The buffered mode with an in-memory backend and an interval that never ends by itself."""
    settings.APP_METRICS_BACKEND = LOCMEM
    locmem.outbox.clear()
    yield locmem.outbox
    locmem.outbox.clear()


def summed(batches):
    return sum(summary.total for batch in batches for summary in batch.summaries.values())


def test_batches_of_many_scopes_are_one_write(buffered):
    for number in range(100):
        with collect():
            metric("orders", number)
            metric("visits")
    assert not buffered
    flush()
    (batch,) = buffered
    assert {key.slug: summary.total for key, summary in batch.summaries.items()} == {"orders": 4950, "visits": 100}
    flush()
    assert len(buffered) == 1


def test_batches_of_many_threads_sum_exactly(buffered):
    def work(number):
        for _ in range(500):
            metric("orders")
            if number == 0:
                flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    flush()
    assert summed(buffered) == 4000


def test_a_thread_writes_after_the_interval_and_is_the_only_one(buffered, settings):
    settings.APP_METRICS_FLUSH_INTERVAL = 0.05
    others = set(threading.enumerate())
    for _ in range(100):
        metric("orders")
    wait_until(lambda: summed(buffered) == 100)
    assert [thread.name for thread in set(threading.enumerate()) - others] == ["app_metrics-flush"]


def test_a_setting_that_changes_takes_effect_at_once(buffered, settings):
    metric("orders")
    assert not buffered
    settings.APP_METRICS_FLUSH_INTERVAL = 0
    wait_until(lambda: len(buffered) == 1)
    metric("orders")
    assert len(buffered) == 2


def test_many_summaries_are_written_before_the_interval_ends(buffered, monkeypatch):
    monkeypatch.setattr(buffering, "EARLY", 200)
    for number in range(500):
        metric(f"slug-{number}")
    wait_until(lambda: buffered)
    flush()  # write the rest now, so that the thread does not write it during another test


def test_a_large_write_is_several_of_bounded_size():
    merging = Merging()
    for number in range(250):
        merging.add(batch_of(f"slug-{number}"))
    batches = merging.take(100)
    assert [len(batch.summaries) for batch in batches] == [100, 100, 50]
    assert len({batch.id for batch in batches}) == 3
    assert {key.slug for batch in batches for key in batch.summaries} == {f"slug-{number}" for number in range(250)}
    assert merging.take() == []


def test_a_part_of_the_merged_summaries_can_be_taken():
    merging = Merging()
    slugs = [f"slug-{number}" for number in range(250)]
    for slug in slugs * 2:
        merging.add(batch_of(slug))
    parts = merging.take(100, 1)
    merging.add(batch_of(*slugs))
    parts += merging.take(100, 2) + merging.take(100, 2)
    assert [len(batch.summaries) for batch in parts] == [100, 100, 100, 50]
    assert (summed(parts), merging.take(100, 1)) == (750, [])


def test_summaries_beyond_the_bound_are_dropped_and_counted():
    merging = Merging(room=1000)
    for number in range(30_000):
        merging.add(batch_of(f"slug-{number}", "known"))
    assert len(merging) == 1000
    (batch,) = merging.take()
    assert len(batch.summaries) == 1000
    ((slug, _, labels, dropped, _),) = take_entries()
    assert (slug, labels) == (DROPPED_SLUG, '{"reason":"buffer_full"}')
    assert summed([batch]) + dropped == 60_000
    assert [summary.total for key, summary in batch.summaries.items() if key.slug == "known"] == [30_000]


def test_taking_during_a_merge_of_the_same_thread_returns_nothing_at_once():
    """A garbage collection may close a scope at any moment, and the write may then ask for the merged batches."""
    merging = Merging()
    merging.add(batch_of("orders"))
    with merging.turn(0):
        assert takes_less(LONGEST_WAIT, lambda: merging.take())
        assert merging.take() == []
    assert summed(merging.take()) == 1


def test_a_signal_handler_that_flushes_in_the_middle_of_a_flush_does_not_wait_for_it(buffered, settings):
    settings.APP_METRICS_BACKEND = f"{__name__}.Flushing"
    metric("orders")
    assert takes_less(buffering.LONGEST_WAIT, flush, tries=1)
    assert summed(buffered) == 1


def test_a_signal_handler_that_flushes_between_the_writes_of_a_flush_does_not_wait_for_it(buffered, monkeypatch):
    write = buffering._write

    def interrupted(batch):
        flush()
        write(batch)

    monkeypatch.setattr(buffering, "_write", interrupted)
    metric("orders")
    assert takes_less(buffering.LONGEST_WAIT, flush, tries=1)
    assert summed(buffered) == 1


def test_a_write_that_records_causes_one_more_write_at_most(buffered, settings):
    settings.APP_METRICS_BACKEND = "tests.transport.test_aside.Recording"
    for _ in range(40):
        metric("visits")
    flush()
    flush()
    assert [[key.slug for key in batch.summaries] for batch in buffered] == [["visits"], ["writes"]]


class Flushing(locmem.MetricsBackend):
    """A backend whose write a signal handler interrupts to flush."""

    def write(self, batch):
        flush()
        super().write(batch)


def test_label_sets_without_end_are_one_overflow_series(settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 10
    merging = Merging()
    summary = next(iter(batch_of("orders").summaries.values()))
    for number in range(5000):
        merging.add(Batch({Key("orders", "counter", f'{{"visitor":"{number}"}}', DAY, 22): summary}))
    (batch,) = merging.take()
    assert len(batch.summaries) == 11
    assert summed([batch]) == 5000


def test_a_scope_closed_during_a_merge_does_not_deadlock():
    merging = Merging()

    def work():
        with merging.turn(0):  # simulates being in the middle of a merge
            for _ in range(200):
                merging.add(batch_of("orders"))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert summed(merging.take()) == 200


def test_within_a_transaction_it_is_written_at_once_and_undone_with_it(database, settings):
    metric("orders")
    assert Item.objects.count() == 1


def test_capture_metrics_sees_only_its_own_events_while_buffering(buffered):
    metric("before")
    with capture_metrics() as recording:
        metric("orders")
        assert recording.slugs == ["orders"]
        flush()
        assert recording.slugs == ["orders"]
    assert [key.slug for batch in buffered for key in batch.summaries] == ["before"]


def test_nothing_is_buffered_while_recording_is_disabled(buffered, settings):
    settings.APP_METRICS_DISABLED = True
    metric("orders")
    flush()
    assert not buffered


def test_a_backend_that_cannot_be_loaded_loses_nothing_silently(settings):
    settings.APP_METRICS_BACKEND = LOCMEM
    metric("orders")
    settings.APP_METRICS_BACKEND = "nowhere.at.all"
    flush()
    assert [entry[2:4] for entry in take_entries()] == [('{"reason":"no_backend"}', 1)]


def test_the_thread_leaves_no_connection_open(transactional_database, settings):
    connection = connections[transactional_database]
    if connection.vendor != "postgresql":
        pytest.skip(f"only PostgreSQL is asked who is connected, not {connection.vendor}")
    settings.APP_METRICS_FLUSH_INTERVAL = 0.05
    before = clients(connection)
    metric("orders")
    wait_until(Item.objects.exists)
    wait_until(lambda: clients(connection) <= before)


def test_a_flush_leaves_the_callers_other_connections_alone(transactional_database, settings, monkeypatch):
    looked_at = set()
    for alias in connections:
        monkeypatch.setattr(connections[alias], "close_if_unusable_or_obsolete", partial(looked_at.add, alias))
    flush()
    assert looked_at == {transactional_database}


def clients(connection):
    with connection.cursor() as cursor:
        cursor.execute(CLIENTS)
        return {pid for (pid,) in cursor.fetchall()}


CLIENTS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""


def test_without_a_thread_the_caller_writes(buffered, monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    buffer = Buffer()
    monkeypatch.setattr(threading.Thread, "start", fail)
    buffer.add(batch_of("orders"))
    assert summed(buffered) == 1


class Interrupted(locmem.MetricsBackend):
    """A backend whose first write is interrupted by a signal."""

    is_interrupted = False

    def write(self, batch):
        if not self.is_interrupted:
            self.is_interrupted = True
            raise KeyboardInterrupt
        super().write(batch)


def test_the_batches_of_an_interrupted_flush_are_written_by_the_next(buffered, settings):
    settings.APP_METRICS_BACKEND = f"{__name__}.Interrupted"
    buffering._buffer.merging.here().add(batch_of(*(f"slug-{number}" for number in range(3 * MAX_SUMMARIES))))
    with pytest.raises(KeyboardInterrupt):
        flush()
    flush()
    assert summed(buffered) == 3 * MAX_SUMMARIES


PREFACE = """
import os, sys, threading, django
from django.conf import settings
import tests.settings
settings.APP_METRICS_FLUSH_INTERVAL, settings.APP_METRICS_BACKEND = 600, "tests.transport.test_buffer.Printing"
django.setup()
from app_metrics import collect, flush, metric
from app_metrics.transport import buffer
"""


class Printing(MetricsBackend):
    """A backend that prints which process wrote what."""

    first = os.getpid()

    def write(self, batch):
        name = "parent" if os.getpid() == self.first else "child"
        text = " ".join(f"{key.slug}={summary.count}" for key, summary in sorted(batch.summaries.items()))
        os.write(1, f"{name} {text}\n".encode())


def run(script):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", PREFACE + script]
    answer = subprocess.run(command, check=True, env=environment, timeout=60, stdout=subprocess.PIPE, text=True)
    return sorted(answer.stdout.splitlines())


def test_importing_and_setting_up_start_no_thread():
    assert run("print(threading.active_count())") == ["1"]


def test_buffered_events_are_written_when_the_process_ends():
    assert run("for _ in range(10): metric('orders')") == ["parent orders=10"]


def test_events_recorded_by_exit_handlers_are_written():
    script = "import atexit; atexit.register(metric, 'last'); metric('orders')"
    assert run(script) == ["parent last=1", "parent orders=1"]


def test_exit_handlers_registered_earlier_run_after_the_last_write():
    """An example is an OpenTelemetry provider, which silently drops data after its shutdown."""
    lines = run("""
import atexit
from tests.transport.test_buffer import Printing
def end():
    Printing.write = lambda self, batch: os.write(1, b"too late")
atexit.register(end)
metric("orders")
""")
    assert lines == ["parent orders=1"]


def test_a_forked_process_begins_empty_and_leaves_the_rest_to_its_parent():
    lines = run("""
metric("before")
pid = os.fork()
metric("after")
if not pid:
    assert threading.active_count() == 2
    flush()
    os._exit(0)
os.waitpid(pid, 0)
""")
    assert lines == ["child after=1", "parent after=1 before=1"]


def test_a_fork_while_all_locks_are_held_does_not_deadlock():
    lines = run("""
metric("before")
held = buffer._buffer
with held._flushing, held._starting, held.merging.here().turn(0):
    pid = os.fork()
    if not pid:
        for _ in range(200):
            metric("after")
        flush()
        os._exit(0)
os.waitpid(pid, 0)
""")
    assert lines == ["child after=200", "parent before=1"]


def test_a_flush_waits_for_the_thread_that_is_just_writing():
    lines = run("""
import time
from tests.transport.test_buffer import Printing
begun, write = threading.Event(), Printing.write
def slow(self, batch):
    begun.set()
    time.sleep(0.5)
    write(self, batch)
Printing.write = slow
metric("orders")
buffer._buffer.wake.set()
begun.wait()
""")
    assert lines == ["parent orders=1"]


# Real servers


GUNICORN = ("gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}")
# An application that nothing wraps.
DJANGOS_OWN = "tests.support.small_site:pages"
SERVERS = {
    "sync": (*GUNICORN, "--threads=1", "tests.support.small_site:wsgi"),
    "sync-preload": (*GUNICORN, "--threads=1", "--preload", "tests.support.small_site:wsgi"),
    "gthread": (*GUNICORN, "tests.support.small_site:wsgi"),
    "gthread-preload": (*GUNICORN, "--preload", "tests.support.small_site:wsgi"),
    "uvicorn": ("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning", "tests.support.small_site:asgi"),
    "uvicorn-django": ("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning", DJANGOS_OWN),
    "uvicorn-workers": (
        *("uvicorn", "--workers=2", "--timeout-worker-healthcheck=120"),
        *(f"--host={HOST}", "--port={port}", "--log-level=warning"),
        "tests.support.small_site:asgi",
    ),
    "hypercorn": ("hypercorn", "--bind={bind}", "--log-level=warning", "tests.support.small_site:asgi"),
    "hypercorn-django": ("hypercorn", "--bind={bind}", "--log-level=warning", DJANGOS_OWN),
    "daphne": ("daphne", f"--bind={HOST}", "--port={port}", "--verbosity=0", "tests.support.small_site:asgi"),
}


# These load the site in one process.
ALONE = ("preload", "uvicorn", "hypercorn", "django", "daphne")
# These end like one of the others, and take as long to start.
SLOW = ("sync-preload", "gthread-preload", "uvicorn-workers", "hypercorn", "hypercorn-django", "daphne")


@pytest.mark.parametrize(
    "server", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SERVERS]
)
def test_a_server_that_ends_in_order_writes_all_it_answered(migrated, tmp_path, server):
    pytest.importorskip(SERVERS[server][0])
    path = shutil.copy(migrated, tmp_path)
    variables = environment(sqlite(path), APP_METRICS_FLUSH_INTERVAL=LONG)
    log, processes = tmp_path / "log", 1 if server.endswith(ALONE) else 2
    with served(SERVERS[server], variables, log) as (address, process):
        # Wait for all processes: a signal would kill those still starting at once.
        wait_until(lambda: log.read_text().count("loaded") == processes, 60)
        with ThreadPoolExecutor(4) as pool:
            visits = list(pool.map(visit, [address] * 50))
        assert found(path) == {}  # nothing has been written yet
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    # The readiness check made one more request.
    assert found(path)["visits"] == 51, log.read_text()
    assert all(status == 200 for status in visits)
    # One of two workers may get no requests, but each recorded that it was loaded.
    assert found(path)["loaded"] == processes
