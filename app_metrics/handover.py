"""Bring batches to the configured backend from wherever they end, without ever breaking the caller."""

import asyncio
from functools import partial

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from .backends import get_backend
from .backends.retrying import RetryingBackend
from .drops import NO_BACKEND, drop_batch
from .summary import Batch

# The event loop itself holds its tasks weakly.
_tasks: set[asyncio.Task[None]] = set()


def hand_over(batch: Batch) -> None:
    """Write a batch now; where this is an event loop, from a thread and soon, unless the backend never waits."""
    try:
        shield = get_backend()
    except ImproperlyConfigured as error:
        return drop_batch(NO_BACKEND, str(error), batch)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return shield.write(batch)
    return _write_soon(loop, shield, batch) if shield.waits else shield.write(batch)


def _write_soon(loop: asyncio.AbstractEventLoop, shield: RetryingBackend, batch: Batch) -> None:
    # Thread-sensitive: the write happens on the thread that owns the connection, and its transaction.
    task = loop.create_task(sync_to_async(shield.write, thread_sensitive=True)(batch))
    _tasks.add(task)
    task.add_done_callback(partial(_settle, shield, batch))


def _settle(shield: RetryingBackend, batch: Batch, task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if task.cancelled() or task.exception():  # the loop, or the thread that the context names, ended first
        shield.keep(batch)
