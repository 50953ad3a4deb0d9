"""Real workers: each published batch is counted once, despite redelivered messages and killed workers."""

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest
from celery import Celery

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.backends.celery import MetricsBackend
from app_metrics.models import LedgerRow, Metric
from app_metrics.recording.collecting import collect
from tests.conftest import every_database
from tests.soak.brokers.conftest import KINDS, sharing, waiting
from tests.soak.brokers.tasks import count, fail, nest, retry
from tests.support import processes
from tests.support.contract import DAY, batch_of
from tests.support.scope import full_length
from tests.support.waiting import wait_until

MESSAGES = 10_000 if full_length else 200
KILLS = 20 if full_length else 3
SECONDS = 900 if full_length else 120

# The long form pairs every broker with every database; the short form, each broker with one of two databases.
PAIRS = [
    pytest.param((broker, *database.values), id=f"{broker}-{database.id}", marks=database.marks)
    for broker in KINDS
    for database in every_database(transaction=True)
    if full_length or (broker, database.id) in [("redis", "sqlite"), ("rabbitmq", "postgresql")]
]
ONE = [each for each in PAIRS if each.id == "redis-sqlite"]


class Site(NamedTuple):
    """The app on a broker, and the database alias of the site."""

    app: Celery
    alias: str
    url: str

    @property
    def queue(self):
        return self.app.conf.task_default_queue

    @contextmanager
    def worker(self, pool="prefork", backend="app_metrics.backends.celery"):
        """Run a worker in its own session, and shut it down cleanly at the end unless it was killed."""
        arguments = (self.url, self.queue, pool, backend)
        process = processes.start("tests.soak.brokers.worker", self.alias, *arguments, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(200)
            finally:
                kill(process)

    def is_empty(self):
        """Return whether no message is pending; a worker finishes its current task before it ends."""
        return waiting(self.app, self.queue) == 0


@pytest.fixture(params=PAIRS)
def site(request, settings, use):
    name, alias = request.param
    settings.APP_METRICS_DATABASE = settings.TEST_SITE_DATABASE = alias
    settings.APP_METRICS_BACKEND = "app_metrics.backends.celery"
    broker = KINDS[name]()
    with sharing():
        yield Site(use(broker.url), alias, broker.url)


def kill(process):
    """Kill a worker with all processes of its pool."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_child(process):
    """Kill a process of the pool; the worker replaces it."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    for child in children.stdout.split()[:1]:
        with suppress(ProcessLookupError):  # one that only ran while the worker started
            os.kill(int(child), signal.SIGKILL)


def totals():
    aggregate()
    return {each.slug: each.total("year") for each in Metric.objects.order_by("slug")}


def test_the_events_of_scopes_reach_the_totals_through_a_broker(site):
    for number in range(50):
        with collect():
            metric("orders")
            metric("revenue", number)
    with site.worker():
        wait_until(lambda: LedgerRow.objects.count() == 50)
    assert totals() == {"orders": 50, "revenue": sum(range(50))}


@pytest.mark.timeout(1800 if full_length else 900)
def test_every_message_delivered_twice_counts_once_though_workers_are_killed(site):
    """The test kills pool processes and whole workers; the broker redelivers what they did not acknowledge."""
    batches = [batch_of("orders") for _ in range(MESSAGES)]
    backend = MetricsBackend()
    for batch in [*batches, *batches]:
        assert backend._published(batch)
    for number in range(KILLS):
        with site.worker() as process:
            before = LedgerRow.objects.count()
            wait_until(lambda before=before: LedgerRow.objects.count() > before or site.is_empty())
            kill_child(process)
            wait_until(lambda before=before: LedgerRow.objects.count() > before + 1 or site.is_empty())
            if number % 2:
                kill(process)
    with site.worker():
        wait_until(lambda: LedgerRow.objects.count() == MESSAGES and site.is_empty(), SECONDS)
    assert LedgerRow.objects.count() == MESSAGES
    aggregate()
    orders = Metric.objects.get(slug="orders")
    assert [(day.count, day.total) for day in orders.series("day", DAY, DAY)] == [(MESSAGES, MESSAGES)]


@pytest.mark.parametrize("site", ONE, indirect=True)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_run_of_a_task_is_a_scope_in_every_pool(site, pool):
    """The batch is published when the task ends; the package's own task, which is not counted, writes it."""
    for task, *arguments in [(count, "jobs", 5), (nest,), (retry,), (fail,)]:
        task.apply_async(arguments)
    with site.worker(pool):
        wait_until(lambda: LedgerRow.objects.count() == 7)
    expected = {"jobs": 5, "outer": 2, "inner": 2, "called": 1, "tries": 3, "failing": 1, "celery_tasks": 7}
    found = totals()
    assert found.pop("celery_task_seconds") > 0
    assert found == expected


@pytest.mark.parametrize("site", ONE, indirect=True)
def test_a_pool_process_writes_its_pending_batches_when_it_ends(site, tmp_path, monkeypatch):
    """Pool processes run no exit handlers."""
    monkeypatch.setenv("TEST_FAILED", str(tmp_path / "failed"))
    count.apply_async(("jobs", 5))
    with site.worker(backend="tests.soak.brokers.worker.FailsOnce"):
        wait_until((tmp_path / "failed").exists)
    assert totals()["jobs"] == 5


@pytest.mark.parametrize("site", ONE, indirect=True)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_writes_its_merged_batches_when_it_ends(site, pool, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_FLUSH_INTERVAL", "3600")
    count.apply_async(("jobs", 5, str(tmp_path / "done")))
    with site.worker(pool, backend="app_metrics.backends.db"):
        wait_until((tmp_path / "done").exists)
    assert totals()["jobs"] == 5
