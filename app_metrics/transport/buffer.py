"""Merge the batches of many requests in this process, and write them from one thread (APP_METRICS_FLUSH_INTERVAL)."""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections
from django.dispatch import receiver

from ..conf import flush_interval, settings
from ..core.batch import Batch
from ..core.dropped import NO_BACKEND, drop_batch
from ..core.forking import after_fork
from .loading import configured_backend, get_backend, is_replaced
from .merging import MAX_SUMMARIES, Merging

logger = logging.getLogger("app_metrics")

# Summaries with which it is written before its time.
EARLY = MAX_SUMMARIES
# Summaries beyond which events of further metrics, label sets and hours are dropped, as writing takes too long.
ROOM = 5 * EARLY
# Seconds for which a process that ends waits for a thread that is just writing.
LONGEST_WAIT = 10.0


class Buffer:
    """What this process is to write soon, and the thread that does so, which the first batch starts."""

    def __init__(self) -> None:
        self._start_afresh()
        after_fork(self._start_afresh)

    def add(self, batch: Batch) -> None:
        """Add a batch to what is written next; never waits."""
        self._merging.add(batch)
        if len(self._merging) >= EARLY:
            self.wake.set()
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def flush(self) -> None:
        """Write all that was added so far, and return when it is written or kept. Never raises an Exception."""
        is_mine = self._flushing.acquire(timeout=LONGEST_WAIT)
        try:
            self._write_all(deque(self._merging.take()))
        finally:
            if is_mine:
                self._flushing.release()

    def _write_all(self, batches: deque[Batch]) -> None:
        try:
            while batches:
                _write(batches.popleft())
        finally:
            for batch in batches:  # what no Exception is ended it, as a signal's handler may
                self._merging.add(batch)

    def _start_afresh(self) -> None:
        """Begin empty and without a thread, also in a forked process: its parent writes what it gathered itself."""
        self._merging = Merging(ROOM)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._flushing = threading.Lock()
        self.wake = threading.Event()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another one is starting it
        try:
            self._thread = threading.Thread(target=self._run, name="app_metrics-flush", daemon=True)
            self._thread.start()
            # Once more: what was set up since this was imported, such as an exporter, ends after the last write then.
            atexit.register(_flush_at_exit)
        except RuntimeError as error:  # the interpreter is ending, or the machine is full
            logger.warning("The thread that writes metrics could not be started; this one writes them: %r", error)
            self.flush()
        finally:
            self._starting.release()

    def _run(self) -> None:
        while True:
            # Without an interval there is nothing to wait for but a setting that changes again.
            self.wake.wait(flush_interval() or None)
            self.wake.clear()
            with _fresh_connections():
                self.flush()


_buffer = Buffer()

add = _buffer.add


def flush() -> None:
    """Write all that waits in this process, merged or kept, now and on this thread. Never raises an Exception.

    Within a transaction on the metrics database it does nothing: a rollback would undo it. Call it where a process ends
    without running exit handlers; on an event loop, by way of `sync_to_async`.
    """
    try:
        shield = configured_backend()
    except ImproperlyConfigured:
        _buffer.flush()
    else:
        if shield.is_durable():
            with _fresh_connections(settings.APP_METRICS_DATABASE):
                _buffer.flush()
                shield.retry()


@contextmanager
def _fresh_connections(alias: str | None = None) -> Iterator[None]:
    """Treat a connection as around a request: one that was long idle may lead nowhere, and lives up to CONN_MAX_AGE.

    Without an alias it is all that this thread has.
    """
    _close_old_connections(alias)
    yield
    _close_old_connections(alias)


def _close_old_connections(alias: str | None) -> None:
    with suppress(Exception):  # test runners forbid tests to touch a connection, even to close it
        for connection in connections.all(initialized_only=True):
            if alias in (None, connection.alias):
                connection.close_if_unusable_or_obsolete()


def _write(batch: Batch) -> None:
    try:
        configured_backend().write(batch)
    except ImproperlyConfigured as error:
        drop_batch(NO_BACKEND, str(error), batch)


@receiver(setting_changed)
def _wake(*, setting: str, **kwargs: Any) -> None:
    if setting == "APP_METRICS_FLUSH_INTERVAL":
        _buffer.wake.set()


@atexit.register
def _flush_at_exit() -> None:
    flush()
    if is_replaced():
        get_backend().retry()
