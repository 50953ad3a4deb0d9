"""Pass batches to the configured backend from any thread or event loop, without ever raising."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from ..conf import syncs_spool
from ..core import test_runs
from ..core.batch import Batch
from ..core.dropped import NO_BACKEND, drop_batch
from ..core.logs import log
from . import aside, buffer
from .loading import get_backend, is_replaced
from .retrying import RetryingBackend

# The event loop holds only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


def hand_over(batch: Batch) -> None:
    """Write a batch now; on an event loop, write it soon and from a thread if the backend may block.

    With `APP_METRICS_FLUSH_INTERVAL` the batch is buffered instead, except inside a transaction that may roll back, and
    in tests.
    """
    backend = _backend_for(batch)
    if backend is None:
        return None
    if (aside.has_any() or buffer.is_used()) and not is_replaced() and backend.is_durable():
        batch = aside.joined(batch)
        if buffer.is_used():
            waits_for_disk = syncs_spool() and buffer.is_journalled()
            return _soon(backend, batch, buffer.add) if waits_for_disk and is_on_event_loop() else buffer.add(batch)
    return _soon(backend, batch, backend.write) if backend.blocks and is_on_event_loop() else backend.write(batch)


def hand_over_soon(batch: Batch) -> None:
    """Write a batch soon, from another thread; waits for nothing, because a garbage collection may call it anywhere.

    Inside a transaction on the metrics database, as in a TestCase, it is kept for the next batch instead.
    """
    backend = _backend_for(batch)
    if backend is None:
        return None
    if is_replaced():
        return backend.write(batch)
    return buffer.add_urgent(batch) if backend.is_durable() else backend.keep_unseen(batch)


def is_on_event_loop() -> bool:
    """Return whether an event loop runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def keep(batch: Batch) -> None:
    """Keep a batch for the next try, without trying to write it now."""
    backend = _backend_for(batch)
    if backend is not None:
        backend.keep_unseen(batch)


def _backend_for(batch: Batch) -> RetryingBackend | None:
    """Return the backend that takes a batch now; None if the batch was put aside or dropped instead."""
    if test_runs.have_ended():
        log(logging.INFO, "The tests have ended, so metrics batch %s is dropped", batch.id)
        return None
    if aside.is_needed():
        aside.put(batch)
        return None
    try:
        return get_backend()
    except ImproperlyConfigured as error:
        drop_batch(NO_BACKEND, str(error), batch)
        return None


def _soon(backend: RetryingBackend, batch: Batch, use: Callable[[Batch], None]) -> None:
    """Use a batch from a thread; keep it if the task ends before that thread has taken the batch."""
    untaken = [batch]
    # Thread-sensitive: the thread that owns the database connection, and its transaction, writes.
    task = asyncio.create_task(sync_to_async(_take, thread_sensitive=True)(untaken, use))
    _tasks.add(task)
    task.add_done_callback(partial(_keep_untaken, untaken, backend))


def _take(untaken: list[Batch], use: Callable[[Batch], None]) -> None:
    """Use the batch unless another thread has taken it: `list.pop` is atomic."""
    try:
        batch = untaken.pop()
    except IndexError:
        return
    use(batch)


def _keep_untaken(untaken: list[Batch], backend: RetryingBackend, task: asyncio.Task[None]) -> None:
    """Keep a batch that no thread took, because the loop or the thread of the context ended first.

    A write that has begun continues after the end of the loop; if it fails, the backend keeps the batch itself.
    """
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # marks it as retrieved; otherwise the loop logs a complaint
    _take(untaken, backend.keep_unseen)
