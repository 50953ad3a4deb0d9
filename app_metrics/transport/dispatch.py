"""Bring batches to the configured backend from wherever they end, without ever breaking the caller."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from ..conf import flush_interval
from ..core.batch import Batch
from ..core.dropped import NO_BACKEND, drop_batch
from . import buffer
from .loading import get_backend, is_replaced
from .retrying import RetryingBackend

# The event loop itself holds its tasks weakly.
_tasks: set[asyncio.Task[None]] = set()


def hand_over(batch: Batch) -> None:
    """Write a batch now; where this is an event loop, from a thread and soon, unless the backend never waits.

    With APP_METRICS_FLUSH_INTERVAL it is merged with others and written by a thread, but within a transaction that may
    undo it, and where tests look at what is recorded.
    """
    try:
        shield = get_backend()
    except ImproperlyConfigured as error:
        return drop_batch(NO_BACKEND, str(error), batch)
    if flush_interval() and not is_replaced() and shield.is_durable():
        return buffer.add(batch)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return shield.write(batch)
    return _write_soon(loop, shield, batch) if shield.blocks else shield.write(batch)


def _write_soon(loop: asyncio.AbstractEventLoop, shield: RetryingBackend, batch: Batch) -> None:
    first = partial(_if_first, threading.Lock(), batch)
    # Thread-sensitive: the write happens on the thread that owns the connection, and its transaction.
    task = loop.create_task(sync_to_async(first, thread_sensitive=True)(shield.write))
    _tasks.add(task)
    task.add_done_callback(partial(_settle, partial(first, shield.keep_unseen)))


def _if_first(turn: threading.Lock, batch: Batch, use: Callable[[Batch], None]) -> None:
    """Use a batch, unless somebody did who had the same turn, which is never given back."""
    if turn.acquire(blocking=False):
        use(batch)


def _settle(keep: Callable[[], None], task: asyncio.Task[None]) -> None:
    """Keep what was not begun: the loop, or the thread that the context names, ended first.

    What was begun goes on also when the loop does not, and what fails then the shield keeps.
    """
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # else the loop complains that nobody asked for it
    keep()
