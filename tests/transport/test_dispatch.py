"""Batches that cannot be written, and batches that end on an event loop."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.test import Client

from app_metrics import collect, metric
from app_metrics.backends.db import MetricsBackend as DatabaseBackend
from app_metrics.core.batch import Batch, Key
from app_metrics.core.dropped import DROPPED_SLUG, take_entries
from app_metrics.core.labels import NO_LABELS
from app_metrics.core.summary import COUNTER
from app_metrics.models import Item
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import get_backend
from tests.support.serving import METRICS, Journal, journal, witnessed
from tests.support.summaries import summary_of
from tests.support.waiting import wait_until

HERE = "tests.transport.test_dispatch."


class Flaky(Journal):
    """A backend that fails while it is `down`, and for any batch with the slug that is `poison`."""

    poison = "poison"

    def __init__(self) -> None:
        super().__init__()
        self.down = True
        self.refused: list[UUID] = []

    def write(self, batch: Batch) -> None:
        if self.down or any(key.slug == self.poison for key in batch.summaries):
            self.refused.append(batch.id)
            raise OSError("the backend is down")
        super().write(batch)


class Unbuildable(MetricsBackend):
    def __init__(self) -> None:
        raise KeyError("a setting of this backend")

    def write(self, batch: Batch) -> None:
        """Never called."""


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    backend = Flaky()
    with journal(backend):
        yield backend


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.support.request_urls"
    settings.MIDDLEWARE = [METRICS]
    settings.APP_METRICS_TIMEOUT = 60  # after the next batch, retries may take this long


def batch_of(*slugs: str, labels: Any = NO_LABELS) -> Batch:
    return Batch({Key(slug, COUNTER, labels, date(2026, 5, 31), 22): summary_of(1, at=1) for slug in slugs})


def test_a_failing_backend_changes_no_response_and_its_batch_comes_later_under_the_same_id(flaky: Flaky) -> None:
    assert Client().get("/plain/").content == b"plain"
    assert flaky.batches == []

    flaky.down = False
    metric("next")
    assert [batch.id for batch in flaky.batches[1:]] == flaky.refused
    assert flaky.count("slug-0") == 3
    assert flaky.count("next") == 1


def test_kept_batches_are_bounded_and_dropped_events_counted(flaky: Flaky, settings: Any) -> None:
    settings.APP_METRICS_RETRY_LIMIT = 2
    for number in range(5):
        with collect():
            metric(f"slug-{number}")
            metric(f"slug-{number}")
    flaky.down = False
    get_backend().retry()
    assert flaky.slugs == [DROPPED_SLUG, "slug-1", "slug-2", "slug-3", "slug-4"]  # the two latest batches were merged
    assert flaky.total(DROPPED_SLUG, {"reason": "retry_limit"}) == 2


def test_a_batch_that_is_never_accepted_does_not_block_others(flaky: Flaky) -> None:
    for slug in ("poison", "first"):
        metric(slug)
    flaky.down = False
    for slug in ("second", "third"):
        metric(slug)
    assert flaky.slugs == ["first", "second", "third"]


@pytest.fixture
def configured(settings: Any) -> Flaky:
    """A backend that the settings name and no test replaces, so that it gets what was put aside."""
    settings.APP_METRICS_BACKEND = HERE + "Flaky"
    backend = get_backend().backend
    assert isinstance(backend, Flaky)
    return backend


def test_a_log_handler_that_records_does_not_recurse(configured: Flaky) -> None:
    class Recording(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            metric("logged")

    handler = Recording()
    logging.getLogger("app_metrics").addHandler(handler)
    try:
        metric("calls")
        assert len(configured.refused) == 1
        configured.down = False
        metric("next")
    finally:
        logging.getLogger("app_metrics").removeHandler(handler)
    assert configured.slugs == ["calls", "logged", "next"]


class Broken(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise LookupError("a mistake in a project's log filter")


@pytest.fixture
def broken_log() -> Iterator[None]:
    log_filter = Broken()
    logging.getLogger("app_metrics").addFilter(log_filter)
    yield
    logging.getLogger("app_metrics").removeFilter(log_filter)


def test_a_log_filter_that_raises_neither_loses_the_batch_nor_reaches_the_caller(
    flaky: Flaky, broken_log: None
) -> None:
    metric("calls")
    flaky.down = False
    metric("next")
    assert flaky.slugs == ["calls", "next"]


def test_a_log_filter_that_raises_does_not_break_a_dropped_call(flaky: Flaky, broken_log: None) -> None:
    metric("not a slug")
    flaky.down = False
    metric("next")
    assert flaky.total(DROPPED_SLUG) == 1


@pytest.mark.parametrize(
    "path", ["app_metrics.backends.missing", "app_metrics.conf", "", None, ["a list"], HERE + "Unbuildable"]
)
def test_a_misconfigured_backend_breaks_no_page_and_drops_are_counted(settings: Any, path: Any) -> None:
    take_entries()
    settings.APP_METRICS_BACKEND = path
    with pytest.raises(ImproperlyConfigured):
        get_backend()
    assert Client().get("/plain/").content == b"plain"
    metric("calls")
    ((slug, _, labels, number, _),) = take_entries()
    assert (slug, labels, number) == (DROPPED_SLUG, '{"reason":"no_backend"}', 26)


@pytest.mark.parametrize("zone", ["Nowhere/Land", "", 7, "../etc/passwd", "\0"])
def test_a_misconfigured_time_zone_fails_no_page_and_counts_all_the_same(
    flaky: Flaky, settings: Any, zone: Any
) -> None:
    settings.APP_METRICS_TIME_ZONE = zone
    flaky.down = False
    assert Client().get("/plain/").content == b"plain"
    assert flaky.count("slug-0") == 3


def test_a_batch_written_twice_is_stored_once(database: str) -> None:
    batch = batch_of("first", "second")
    for _ in range(2):
        DatabaseBackend().write(batch)
    DatabaseBackend().write(batch_of("third"))
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["first", "second", "third"]


def test_a_failing_write_leaves_a_healthy_transaction_usable(transactional_database: str) -> None:
    with transaction.atomic(using=transactional_database):
        metric("before")
        with pytest.raises(IntegrityError):
            DatabaseBackend().write(batch_of("poison", labels=None))
        metric("after")
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["after", "before"]


@pytest.mark.parametrize("broken_by", ["rollback", "error"])
def test_a_broken_transaction_keeps_nothing_from_being_counted(
    transactional_database: str, broken_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic(using=transactional_database):
        if broken_by == "rollback":
            transaction.set_rollback(True, using=transactional_database)
        else:
            with suppress(DatabaseError), connections[transactional_database].cursor() as cursor:
                cursor.execute("SELECT missing")
        metric("broken")
    metric("next")
    ids = dict(Item.objects.values_list("slug", "pk"))
    assert set(ids) == {"broken", "next"}
    assert {record.args[0] for record in caplog.records if record.name == "app_metrics"} <= {ids["broken"]}


def test_the_write_of_a_scope_inside_a_transaction_is_one_insert(transactional_database: str) -> None:
    with transaction.atomic(using=transactional_database), witnessed(transactional_database) as statements:
        with collect():
            metric("first")
            metric("second")
        assert [statement.split()[0] for statement in statements] == ["SAVEPOINT", "INSERT", "RELEASE"]


def test_a_coroutine_without_a_scope_is_written_soon_on_a_thread(transactional_database: str) -> None:
    async def job() -> None:
        with witnessed(transactional_database) as statements:
            metric("calls")
            assert statements == []
            async with asyncio.timeout(120):
                while not statements:
                    await asyncio.sleep(0.01)
        await sync_to_async(connections.close_all)()

    asyncio.run(job())
    metric("next")
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["calls", "next"]


def test_a_batch_that_an_event_loop_left_unwritten_is_kept(flaky: Flaky) -> None:
    flaky.down = False
    occupied, may_end = threading.Event(), threading.Event()

    def occupy() -> None:
        occupied.set()
        may_end.wait(120)

    async def job() -> None:
        occupying = asyncio.create_task(sync_to_async(occupy)())
        while not occupied.is_set():
            await asyncio.sleep(0.001)
        metric("calls")
        assert not occupying.done()

    try:
        asyncio.run(job())
        metric("next")
        assert flaky.slugs == ["calls", "next"]
    finally:
        may_end.set()
    asyncio.run(sync_to_async(lambda: None)())  # runs after the work queued for the thread
    assert flaky.count("calls") == 1


class Slow(Flaky):
    """A backend whose write starts, then blocks until it is allowed to end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()

    def write(self, batch: Batch) -> None:
        self.begun.set()
        assert self.may_end.wait(120)
        super().write(batch)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """A slow backend with an unfinished write of `calls`, whose event loop has ended."""
    backend = Slow()

    async def job() -> None:
        metric("calls")
        while not backend.begun.is_set():
            await asyncio.sleep(0.001)

    with journal(backend):
        asyncio.run(job())
        yield backend


def test_a_write_that_outlives_its_event_loop_is_counted_once(slow: Slow) -> None:
    slow.down = False
    slow.may_end.set()
    wait_until(lambda: slow.slugs)
    get_backend().retry()
    assert slow.slugs == ["calls"]
    assert slow.count("calls") == 1


def test_a_write_that_fails_when_its_loop_has_ended_is_kept(slow: Slow) -> None:
    slow.may_end.set()
    wait_until(lambda: get_backend().kept)
    slow.down = False
    metric("next")
    assert slow.slugs == ["calls", "next"]


def test_a_task_that_outlives_its_thread_is_kept(flaky: Flaky) -> None:
    """asgiref runs nothing on a thread that has left `async_to_sync`, and the task's context names no other."""
    tasks = []

    async def background(answered: asyncio.Event) -> None:
        await answered.wait()
        metric("calls")
        async with collect():
            metric("scope")

    async def job() -> None:
        answered = asyncio.Event()

        async def start() -> None:
            tasks.append(asyncio.create_task(background(answered)))

        await sync_to_async(async_to_sync(start))()
        answered.set()
        await asyncio.gather(*tasks)

    flaky.down = False
    asyncio.run(job())
    metric("next")
    assert flaky.slugs == ["calls", "next", "scope"]


def run(script: str) -> list[str]:
    """Run a script in its own process, with a backend that prints and can be `down`; return the sorted lines."""
    preface = """
import os, sys, django
django.setup()
from app_metrics import metric
from app_metrics.transport.loading import replaced_backend
from app_metrics.transport.base import MetricsBackend
class Printing(MetricsBackend):
    down, name = True, "parent"
    def write(self, batch):
        if self.down:
            raise OSError
        os.write(1, " ".join([self.name, "writes", *(key.slug for key in batch.summaries), "\\n"]).encode())
backend = Printing()
replaced = replaced_backend(backend)
replaced.__enter__()
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    answer = subprocess.run(
        [sys.executable, "-c", preface + script],
        check=True,
        env=environment,
        timeout=60,
        stdout=subprocess.PIPE,
        text=True,
    )
    return sorted(line.strip() for line in answer.stdout.splitlines())


def test_a_forked_process_writes_only_batches_it_kept_itself() -> None:
    lines = run("""
metric("kept-before")
pid = os.fork()
if not pid:
    backend.name = "child"
    metric("kept-after")
backend.down = False
metric("next")
if pid:
    os.waitpid(pid, 0)
else:
    os._exit(0)
""")
    assert lines == ["child writes kept-after", "child writes next", "parent writes kept-before", "parent writes next"]


def test_a_forked_process_leaves_drops_to_its_parent() -> None:
    lines = run("""
from app_metrics.core.dropped import drop
backend.down = False
drop("reason", "cause")
pid = os.fork()
if not pid:
    backend.name = "child"
metric("next")
if pid:
    os.waitpid(pid, 0)
else:
    os._exit(0)
""")
    assert lines == ["child writes next", "parent writes next app_metrics_dropped"]


def test_kept_batches_are_retried_when_the_process_ends() -> None:
    assert run('metric("kept"); backend.down = False') == ["parent writes kept"]
