"""Merge the batches of many requests in this process and write them from one thread (APP_METRICS_FLUSH_INTERVAL)."""

import atexit
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections
from django.dispatch import receiver

from ..conf import flush_interval, settings, spool_dir, timeout
from ..core import test_runs
from ..core.batch import Batch
from ..core.dropped import NO_BACKEND, drop_batch, warn_once
from ..core.forking import after_fork
from ..core.logs import log
from . import aside
from .databases import ByDatabase, in_schema
from .journal import Journal, Part
from .loading import configured_backend, get_backend, is_replaced
from .merging import MAX_SUMMARIES, Merging
from .segments import CAN_LOCK

# With this many summaries, the buffer is written before the interval is over.
EARLY = MAX_SUMMARIES
# Beyond this many summaries, new metrics, label sets and hours are dropped, because writing is too slow.
ROOM = 5 * EARLY
# The maximum number of seconds that a flush waits for another one.
LONGEST_WAIT = 10.0
# Seconds after which an exiting process begins no further write. Docker kills it after ten.
LONGEST_END = 5.0


class Buffer:
    """Merged batches, and the thread that writes them; the first batch starts the thread."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._start_afresh()
        after_fork(self._start_afresh)

    def add(self, batch: Batch) -> None:
        """Add a batch to the next write. Waits for nothing but the disk of the journal, if there is one."""
        if self.gather(batch):
            self.wake.set()
        self._start_if_needed()

    def add_urgent(self, batch: Batch) -> None:
        """Add a batch that the thread writes now, whatever the interval is. Waits for nothing, so for no journal."""
        self.merging.here().add(batch)
        self.wake.set()
        self._start_if_needed()

    def gather(self, batch: Batch) -> bool:
        """Add a batch, and return whether the next write should be early; does not start the thread."""
        if is_journalled() and self.journal.add(batch):
            return self.journal.is_due
        merging = self.merging.here()
        merging.add(batch)
        return len(merging) >= EARLY

    def flush(self, until: float = math.inf) -> None:
        """Write everything that was added, and return when it is written or kept. Never raises an Exception.

        Once `time.monotonic()` exceeds `until`, the rest stays.
        """
        is_mine = self._flushing.acquire(timeout=min(LONGEST_WAIT, max(until - time.monotonic(), 0)))
        try:
            for schema, merging in self.merging.in_all_schemas():
                with in_schema(schema):
                    self._write_all(deque(merging.take()), until)
            self._write_parts(deque(self.journal.take()), until)
        finally:
            if is_mine:
                self._flushing.release()

    def _write_all(self, batches: deque[Batch], until: float) -> None:
        self.unwritten += len(batches)
        try:
            while batches and time.monotonic() <= until:
                batch = batches.popleft()
                try:
                    _write(batch)
                finally:
                    self.unwritten -= 1
        finally:
            self.unwritten -= len(batches)
            for batch in batches:  # perhaps a BaseException, such as one of a signal handler, ended the loop
                self.merging.here().add(batch)

    def _write_parts(self, parts: deque[Part], until: float) -> None:
        try:
            while parts and time.monotonic() <= until:
                self._write_part(parts.popleft())
        finally:
            for part in parts:
                self.journal.put_back(part)

    def _write_part(self, part: Part) -> None:
        batch, is_written = part.take(), False
        if batch is None:
            self.journal.put_back(part)
            return
        try:
            with suppress(ImproperlyConfigured):  # the next aggregation tries again
                is_written = configured_backend().write_part(batch)
        finally:
            self.journal.end(part, is_written=is_written)

    def _start_afresh(self) -> None:
        """Begin empty and without a thread, also in a forked process: the parent writes what it gathered."""
        self.merging = ByDatabase(partial(Merging, ROOM))
        # The number of batches that flushes have taken, and not written yet; a write may hang.
        self.unwritten = 0
        # The `time.monotonic()` after which the exiting process begins no further write; None until it exits.
        self.ends_at: float | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        # Reentrant, because a signal handler may flush in the middle of a flush.
        self._flushing = threading.RLock()
        self.wake = threading.Event()

    def _start_if_needed(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        if not self._starting.acquire(blocking=False):
            return  # another thread is starting it
        try:
            self._thread = threading.Thread(target=self._run, name="app_metrics-flush", daemon=True)
            self._thread.start()
            # Registered again, because exit handlers run in reverse order: an exporter that was set up after this
            # module was imported must end after the last write.
            atexit.register(_flush_at_exit)
        except RuntimeError as error:  # the interpreter is ending, or the system allows no more threads
            text = "Could not start the thread that writes metrics; the current thread writes them: %r"
            log(logging.WARNING, text, error)
            self.flush()
        finally:
            self._starting.release()

    def _run(self) -> None:
        while True:
            # Without an interval this waits until the setting changes.
            self.wake.wait(flush_interval() or None)
            self.wake.clear()
            with _fresh_connections():
                self.flush()
                if is_journalled():  # no write of a part retries what is kept
                    configured_backend().retry(time.monotonic() + timeout(), most_failures=1)


_buffer = Buffer()

add = _buffer.add

_sources: list[Callable[[float], None]] = []


def add_urgent(batch: Batch) -> None:
    """Add a batch that the thread writes now, whatever the interval is."""
    _buffer.add_urgent(batch)


def before_flush(source: Callable[[float], None]) -> Callable[[float], None]:
    """Register a function that writes what is gathered elsewhere; `flush()` calls it first, with its time limit."""
    _sources.append(source)
    return source


def is_used() -> bool:
    """Return whether to buffer batches; after the last flush of an exiting process they would be lost."""
    return bool(flush_interval()) and _buffer.ends_at is None and not test_runs.in_tests()


def unjournalled() -> int:
    """Return how many batches in a row this process has merged in memory only, because its journal refused them."""
    return _buffer.journal.refused


def is_journalled() -> bool:
    """Return whether what is buffered goes to a journal, too."""
    if spool_dir() is None or not CAN_LOCK:
        return False
    try:
        return configured_backend().is_journalled()
    except ImproperlyConfigured:
        return False


def flush() -> None:
    """Write everything that this process has gathered, buffered or kept, now and on this thread.

    That includes the events of open scopes, such as those of streams. Never raises an Exception. Does nothing inside a
    transaction on the metrics database, because a rollback would undo it. Call it before a process ends without running
    exit handlers; on an event loop, use `sync_to_async(flush)`.
    """
    _flush(math.inf)


def _flush(until: float) -> None:
    if aside.is_needed():
        return
    try:
        backend = configured_backend()
    except ImproperlyConfigured:
        _write_buffered(until)
    else:
        if backend.is_durable():
            with _fresh_connections(settings.APP_METRICS_DATABASE):
                for send in _sources:
                    send(until)
                _write_buffered(until)
                backend.retry(until)


def _write_buffered(until: float) -> None:
    aside.move(_buffer.gather)
    _buffer.flush(until)


@contextmanager
def _fresh_connections(alias: str | None = None) -> Iterator[None]:
    """Close unusable and expired connections before and after the block, as Django does around a request.

    Without an alias these are all connections of this thread.
    """
    _close_old_connections(alias)
    yield
    _close_old_connections(alias)


def _close_old_connections(alias: str | None) -> None:
    with suppress(Exception):  # test runners may forbid any use of a connection, even closing it
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
    """Write everything, for up to five seconds over all calls; a write that hangs is not interrupted."""
    until = _buffer.ends_at = _buffer.ends_at or time.monotonic() + LONGEST_END
    if test_runs.have_ended():
        return
    if not apps.ready:
        aside.drop()
    _flush(until)
    if is_replaced():
        get_backend().retry(until)
    _report_loss()


def _report_loss() -> None:
    with suppress(ImproperlyConfigured):
        unwritten = _buffer.unwritten + sum(len(merging) for _, merging in _buffer.merging.in_all_schemas())
        if lost := configured_backend().kept + unwritten:
            warn_once(f"The process ends before all metrics are written: {lost} batches are lost.")
