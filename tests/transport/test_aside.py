"""What is recorded while a batch is being written, or before Django is ready, comes with the next batch."""

import itertools
import os
import subprocess
import sys

import pytest
from django.db import connections

from app_metrics import collect, flush, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.backends import locmem
from app_metrics.core.batch import Batch
from app_metrics.models import Item
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.retrying import RetryingBackend
from tests.support.contract import batch_of


class Recording(locmem.MetricsBackend):
    """A backend that counts its own writes."""

    def write(self, batch):
        metric("writes")
        super().write(batch)


@pytest.fixture
def outbox(settings):
    settings.APP_METRICS_BACKEND = f"{__name__}.Recording"
    locmem.outbox.clear()
    yield locmem.outbox
    locmem.outbox.clear()


def slugs(batches):
    return [sorted(key.slug for key in batch.summaries) for batch in batches]


def test_events_recorded_by_a_write_come_with_the_next_batch(outbox):
    for _ in range(40):
        metric("visits")
    assert slugs(outbox) == [["visits"]] + 39 * [["visits", "writes"]]


def test_a_flush_writes_events_of_the_last_write_and_ends(outbox):
    metric("visits")
    flush()
    assert slugs(outbox) == [["visits"], ["writes"]]


def test_events_put_aside_keep_the_id_of_their_batch(outbox):
    metric("visits")
    with collect() as scope:
        metric("visits")
    assert len({batch.id for batch in outbox}) == len(outbox) == 2
    assert scope.is_closed


def test_a_project_that_counts_its_statements_counts_ours_once(transactional_database):
    def count(execute, sql, params, many, context):
        metric("statements")
        return execute(sql, params, many, context)

    connections[transactional_database].ensure_connection()  # MariaDB's sends a statement
    with connections[transactional_database].execute_wrapper(count):
        for _ in range(10):
            metric("visits")
    assert Item.objects.filter(slug="visits").count() == 10
    assert sum(Item.objects.filter(slug="statements").values_list("count", flat=True)) == 9
    flush()
    assert Item.objects.count() == 10 + 9 + 1


def test_an_aggregation_ends_that_is_counted_statement_by_statement(transactional_database):
    statements = itertools.count(1)

    def count(execute, sql, params, many, context):
        assert next(statements) < 1000
        metric("statements")
        return execute(sql, params, many, context)

    for number in range(3):
        metric(f"visits-{number}")
    with connections[transactional_database].execute_wrapper(count):
        assert aggregate(chunk_size=1).items >= 3
    flush()
    assert set(Item.objects.values_list("slug", flat=True)) == {"statements"}


def test_the_events_recorded_by_a_write_are_bounded(settings, outbox, monkeypatch):
    def write(self, batch):
        for number in range(30_000):
            metric(f"slug-{number}")

    monkeypatch.setattr(Recording, "write", write)
    with collect():
        metric("visits")
    monkeypatch.undo()
    flush()
    assert sum(len(batch.summaries) for batch in outbox) <= 10_001


def test_a_retry_takes_only_batches_kept_before_it():
    class Multiplying(MetricsBackend):
        writes = 0

        def write(self, batch):
            self.writes += 1
            assert self.writes < 1000
            retrying.keep(batch_of("more"))
            retrying.keep_unseen(batch_of("merged"))

    backend = Multiplying()
    retrying = RetryingBackend(backend)
    for _ in range(5):
        retrying.keep(batch_of("orders"))
    retrying.keep_unseen(batch_of("visits"))
    retrying.retry()
    assert backend.writes == 6
    assert retrying.kept == 6 + 1


PREFACE = """
import atexit, os, time
import tests.settings
from django.conf import settings
settings.APP_METRICS_FLUSH_INTERVAL, settings.APP_METRICS_BACKEND = {interval}, "tests.transport.test_aside.Printing"
"""


class Printing(MetricsBackend):
    def write(self, batch: Batch) -> None:
        text = " ".join(f"{key.slug}={summary.count}" for key, summary in sorted(batch.summaries.items()))
        os.write(1, f"{text}\n".encode())


def run(script, interval=0):
    """Run a script that has settings but has not called `django.setup()`; return the lines of its output."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", PREFACE.format(interval=interval) + script]
    answer = subprocess.run(
        command, check=True, env=environment, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return answer.stdout.splitlines()


EARLY = """
import django
from app_metrics import metric
metric("early")
django.setup()
"""


@pytest.mark.parametrize(
    ("following", "interval", "line"),
    [("", 0, "early=1"), ('metric("next")', 0, "early=1 next=1"), ('metric("next")', 600, "early=1 next=1")],
)
def test_events_before_django_is_ready_count(following, interval, line):
    assert run(EARLY + following, interval) == [line]


def test_events_of_a_script_without_django_setup_are_dropped_with_a_hint():
    (line,) = run('from app_metrics import metric; metric("early")')
    assert line == (
        "Not counted (no_backend): django.setup() has not finished; call it before the end of every script that records"
    )


def test_a_forked_process_leaves_events_put_aside_to_its_parent():
    lines = run(EARLY + 'pid = os.fork()\nif pid: os.waitpid(pid, 0)\nmetric("parent" if pid else "child")')
    assert sorted(lines) == ["child=1", "early=1 parent=1"]


def test_in_buffered_mode_an_exit_handler_older_than_ours_still_counts():
    script = """
def end():
    metric("last")
atexit.register(end)
import django
django.setup()
from app_metrics import metric
metric("first")
"""
    assert run(script, 600) == ["first=1", "last=1"]


SLOW = """
import django
django.setup()
from app_metrics import collect, metric
from app_metrics.transport import buffer
from app_metrics.transport.loading import get_backend
from tests.support.contract import batch_of
from tests.transport.test_aside import Printing
buffer.LONGEST_END = 0.5
write = Printing.write
def slow(self, batch):
    time.sleep(0.1)
    write(self, batch)
Printing.write = slow
"""
KEPT = """
for _ in range(50):
    get_backend().keep(batch_of("slow"))
"""
OPEN = """
scopes = [collect() for _ in range(50)]
for each in scopes:
    each.__enter__()
    metric("slow")
"""


def test_the_end_of_a_process_takes_bounded_time_and_logs_lost_batches():
    *written, lost = run(SLOW + KEPT)
    assert 1 <= len(written) <= 10
    assert lost == f"The process ends before all metrics are written: {50 - len(written)} batches are lost."


HANGING = """
import threading
import django
django.setup()
from app_metrics.conf import settings
from app_metrics import metric
from app_metrics.transport import buffer
from tests.transport.test_aside import Printing
settings.APP_METRICS_FLUSH_INTERVAL = 0.01
hanging = threading.Event()
def hang(self, batch):
    hanging.set()
    time.sleep(60)
Printing.write = hang
buffer.LONGEST_END = buffer.LONGEST_WAIT = 0.1
metric("slow")
assert hanging.wait(60)
"""


def test_the_end_of_a_process_logs_a_batch_whose_write_hangs():
    assert run(HANGING) == ["The process ends before all metrics are written: 1 batches are lost."]


def test_the_end_of_a_process_takes_bounded_time_for_scopes_that_are_open():
    *written, lost = run(SLOW + OPEN)
    assert 1 <= len(written) <= 10
    assert lost == "The process ends before all metrics are written: 1 batches are lost."
