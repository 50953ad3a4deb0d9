"""The scope that gathers entries, without a web server; tests/test_middleware.py covers requests."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import ref

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

from app_metrics import collect, flush, metric
from app_metrics.core import batch as batches
from app_metrics.core.batch import Batch, Entry
from app_metrics.core.labels import NO_LABELS
from app_metrics.core.summary import COUNTER
from app_metrics.models import Item
from app_metrics.recording.scope import BLOCK, Scope, current_scope
from app_metrics.testing.recorded import capture_metrics
from tests.support.forking import fork
from tests.support.serving import WRITE, Journal, journal
from tests.support.threads import in_thread
from tests.support.waiting import wait_until

ONE: Entry = ("calls", COUNTER, NO_LABELS, 1, 0.0)


@pytest.fixture
def written() -> Iterator[Journal]:
    with journal() as kept:
        yield kept


def test_a_scope_writes_one_batch_at_its_end(written: Journal) -> None:
    with collect():
        for number in range(5000):
            metric(f"slug-{number % 10}", number)
        assert written.events == []
    assert written.events == [WRITE]
    assert sum(written.total(slug) for slug in written.slugs) == sum(range(5000))


def test_a_scope_of_very_many_keys_hands_over_early_and_loses_none(written: Journal, settings: Any) -> None:
    settings.APP_METRICS_MAX_LABEL_SETS = 1_000_000
    with collect():
        for number in range(25_000):
            metric("calls", labels={"number": str(number)})
        early = len(written.events)
    assert (early, len(written.events)) == (2, 3)
    assert written.count("calls") == 25_000


def test_a_request_with_very_many_keys_hands_over_once(written: Journal, settings: Any) -> None:
    settings.APP_METRICS_MAX_LABEL_SETS = 1_000_000
    scope = Scope()
    for number in range(25_000):
        scope.add(("calls", COUNTER, f'{{"number":"{number}"}}', 1, 0.0))
    assert written.events == []
    scope.close()
    assert written.events == [WRITE]
    assert written.count("calls") == 25_000


def test_a_scope_that_records_nothing_writes_nothing(written: Journal) -> None:
    with collect():
        pass
    assert written.events == []


def test_a_scope_that_raises_is_written(written: Journal) -> None:
    @collect()
    def job() -> None:
        metric("calls")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job()
    assert written.count("calls") == 1
    assert current_scope() is None


def test_a_decorated_function_is_a_scope_at_every_call(written: Journal) -> None:
    @collect()
    def job(depth: int) -> None:
        metric("calls")
        if depth:
            job(depth - 1)

    job(2)
    assert written.events == [WRITE] * 3
    assert written.count("calls") == 3


def test_an_asynchronous_scope_writes_one_batch_off_the_event_loop(written: Journal) -> None:
    async def job() -> None:
        async with collect():
            metric("calls")
            metric("others")
        assert written.events == [WRITE]

    asyncio.run(job())
    assert written.slugs == ["calls", "others"]


def test_an_inner_scope_is_a_batch_of_its_own_and_gives_the_outer_one_back(written: Journal) -> None:
    with collect() as outer:
        metric("outer")
        with collect() as inner:
            metric("inner")
            assert current_scope() is inner
        assert written.slugs == ["inner"]
        assert current_scope() is outer
        metric("outer")
    assert written.count("outer") == 2
    assert len(written.batches) == 2
    assert current_scope() is None


def test_closing_twice_writes_once(written: Journal) -> None:
    scope = Scope()
    scope.add(ONE)
    scope.close()
    scope.close()
    assert written.events == [WRITE]


def test_events_after_the_end_of_a_scope_are_written_at_once(written: Journal) -> None:
    with collect() as scope:
        metric("calls")
    scope.add(ONE)
    assert written.events == [WRITE, WRITE]
    assert written.count("calls") == 2


@pytest.mark.django_db(transaction=True)
def test_a_commit_after_the_end_of_the_scope_is_written(written: Journal) -> None:
    with transaction.atomic():
        with collect():
            metric("orders", on_commit=True)
        assert written.events == []
    assert written.count("orders") == 1


def test_threads_that_add_to_one_scope_sum_exactly(written: Journal) -> None:
    scope = Scope()

    def add() -> None:
        for _ in range(5000):
            scope.add(ONE)

    _run_at_once([add] * 8)
    scope.close()
    assert written.events == [WRITE]
    assert written.count("calls") == 40_000


def test_nothing_is_lost_while_the_scope_is_being_closed(written: Journal) -> None:
    for _ in range(50):
        scope = Scope()
        _run_at_once([lambda scope=scope: [scope.add(ONE) for _ in range(50)]] * 4 + [scope.close])
    assert written.count("calls") == 50 * 4 * 50


def test_events_added_by_a_thread_during_the_write_are_written() -> None:
    class Slow(Journal):
        def write(self, batch: Batch) -> None:
            super().write(batch)
            if len(self.batches) == 1:
                thread = threading.Thread(target=scope.add, args=(ONE,))
                thread.start()
                thread.join()

    scope = Scope()
    with journal(Slow()) as written:
        scope.add(ONE)
        scope.close()
    assert written.events == [WRITE, WRITE]


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_events_recorded_during_the_folding_count(
    written: Journal, monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    """A signal handler, `__del__` or a garbage collection may record at any moment, here while an hour is computed."""
    scope = Scope()
    fold, interruptions = batches.bucket, iter(range(3))

    def interrupted(*args: Any) -> Any:
        if next(interruptions, None) is not None:
            for _ in range(BLOCK):
                scope.add(ONE)
        return fold(*args)

    def record() -> None:
        if is_closed:
            scope.close()
        for _ in range(BLOCK):
            scope.add(ONE)
        scope.close()

    monkeypatch.setattr(batches, "bucket", interrupted)
    thread = threading.Thread(target=record, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert written.count("calls") == 4 * BLOCK


def _run_at_once(functions: list) -> None:
    barrier = threading.Barrier(len(functions))

    def run(function) -> None:
        barrier.wait(120)
        function()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(functions)) as pool:
            list(pool.map(run, functions))
    finally:
        sys.setswitchinterval(before)


def test_a_task_and_a_worker_thread_see_the_scope(written: Journal) -> None:
    async def record(slug: str) -> None:
        metric(slug)

    async def job() -> None:
        async with collect():
            await asyncio.create_task(record("create_task"))
            await asyncio.gather(record("gather"), sync_to_async(metric)("sync_to_async"))
            await asyncio.to_thread(metric, "to_thread")
            await sync_to_async(async_to_sync(record))("async_to_sync")
            assert written.events == []

    asyncio.run(job())
    assert written.events == [WRITE]
    assert written.slugs == ["async_to_sync", "create_task", "gather", "sync_to_async", "to_thread"]


def test_a_raw_thread_has_no_scope_and_is_written_at_once(written: Journal) -> None:
    with collect():
        metric("scope")
        thread = threading.Thread(target=metric, args=("thread",))
        thread.start()
        thread.join()
        assert written.slugs == ["thread"]
    assert written.slugs == ["scope", "thread"]


def test_a_scope_deleted_without_closing_is_written(written: Journal) -> None:
    scope = Scope()
    for _ in range(2000):  # more than one block
        scope.add(ONE)
    del scope
    assert (written.events, written.count("calls")) == ([WRITE], 2000)


def test_a_scope_in_a_reference_cycle_is_written_with_a_garbage_collection(written: Journal) -> None:
    scope = Scope()
    scope.entries.extend([ONE])
    scope.itself = scope  # type: ignore[attr-defined]
    del scope
    assert written.events == []
    gc.collect()
    assert written.count("calls") == 1


def test_a_scope_deleted_within_a_transaction_is_written_after_it(transactional_database: str) -> None:
    with transaction.atomic(transactional_database):
        scope = Scope()
        scope.add(ONE)
        del scope
        transaction.set_rollback(True, using=transactional_database)
    metric("another")
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["another", "calls"]


def test_a_deleted_scope_is_soon_written_by_a_background_thread(transactional_database: str) -> None:
    scope = Scope()
    scope.add(ONE)
    del scope
    wait_until(Item.objects.filter(slug="calls").exists)


def test_flush_writes_the_events_of_open_scopes_which_continue(written: Journal) -> None:
    with collect(), collect():
        metric("calls")
        in_thread(flush)
        assert written.count("calls") == 1
        in_thread(flush)
        metric("calls")
    assert (written.events, written.count("calls")) == ([WRITE, WRITE], 2)


def test_flush_within_a_transaction_leaves_open_scopes_alone(written: Journal, database: str) -> None:
    with collect():
        metric("calls")
        flush()
        assert written.events == []


def test_a_closed_scope_is_not_kept_alive(written: Journal) -> None:
    scope = Scope()
    gone = ref(scope)
    scope.close()
    del scope
    assert gone() is None


def test_two_empty_scopes_are_not_equal() -> None:
    """asgiref copies a context variable back to the caller only if its value differs."""
    assert Scope() != Scope()


def test_a_cancelled_end_of_a_scope_loses_nothing(written: Journal) -> None:
    """The task is cancelled while the thread that owns the connection is busy and the scope is ending."""
    busy, free = threading.Event(), threading.Event()

    def occupy() -> None:
        busy.set()
        free.wait(120)

    async def record() -> None:
        async with collect():
            metric("calls")

    async def job() -> None:
        occupying = asyncio.create_task(sync_to_async(occupy)())
        await asyncio.to_thread(busy.wait)
        recording = asyncio.create_task(record())
        await asyncio.sleep(0)
        recording.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recording
        free.set()
        await occupying
        async with asyncio.timeout(120):
            while not written.batches:
                await asyncio.sleep(0.01)

    asyncio.run(job())
    assert written.count("calls") == 1


def test_importing_and_starting_the_app_starts_no_thread_and_opens_no_connection() -> None:
    script = """
import threading, django
django.setup()
import app_metrics.middleware, app_metrics.utils, app_metrics.testing, app_metrics.backends.db
from django.db import connections
assert threading.active_count() == 1, threading.enumerate()
opened = [connection.alias for connection in connections.all(initialized_only=True) if connection.connection]
assert opened == [], opened
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)


def in_child(act: Callable[[], Any]) -> str:
    """Run a function in a forked process, and return what it reports."""
    reading, writing = os.pipe()
    pid = fork()
    if not pid:
        try:
            os.write(writing, repr(act()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as said:
        return said.read()


def test_a_forked_process_leaves_open_scopes_to_its_parent() -> None:
    def written() -> list[str]:
        metric("child")
        return [key.slug for batch in recorded.batches for key in batch.summaries]

    with capture_metrics() as recorded:
        with collect():
            metric("outer")
            with collect():
                metric("inner")
                assert in_child(written) == "['child']"
        assert sorted(recorded.slugs) == ["inner", "outer"]
