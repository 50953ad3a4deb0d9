"""The scope, which gathers entries: one per request, task or `collect()` block."""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from weakref import ref

from asgiref.sync import sync_to_async

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Entry, Fold
from ..core.dropped import take_entries
from ..core.forking import after_fork
from ..core.test_runs import in_tests
from ..transport import buffer
from ..transport.databases import lacks_tables
from ..transport.dispatch import hand_over, hand_over_soon, keep

# Unfolded entries of a scope at most: this bounds memory, and most requests never fold before their end.
BLOCK = 1024

# Weak references, so that a scope lives no longer than what uses it.
_scopes: set[Any] = set()
_process = os.getpid()


def register(scope: Any) -> None:
    """Let `flush()` write what a scope holds, unless tests that opened it have ended by then."""
    in_tests()
    _scopes.add(ref(scope, _scopes.discard))


class Scope:
    """Gather entries from any number of threads; write them as one batch when closed.

    At `max_summaries` (default: no limit) a batch is written earlier, and the scope goes on with the next one.

    Entries are appended first and folded later, because appending is atomic and much faster. No lock is involved: a
    signal handler or a garbage collection may record in the middle of folding, and its thread would wait for itself.
    Scopes compare by identity: asgiref compares the values of context variables when it copies them between threads.
    """

    def __init__(self, max_summaries: float = math.inf) -> None:
        self._max_summaries = max_summaries
        self.entries: deque[Entry] = deque()
        # Usually one; several after threads folded at once. A thread that folds takes one out meanwhile.
        self._folds: list[Fold] = []
        self.is_closed = False
        # The number of entries at which `make_room` is called; a closed scope has 0, so every entry is written at once.
        # The hot path reads only this attribute.
        self.capacity = BLOCK
        register(self)

    def __del__(self) -> None:
        """Write the entries of a scope that was never closed, as when a server never closes the response."""
        if not self.is_empty and os.getpid() == _process:
            with suppress(Exception):
                self.send(hand_over_soon)

    @property
    def is_empty(self) -> bool:
        return not self.entries and not self._folds

    def here(self) -> "Scope":
        """Return the scope for what is recorded on this thread now: this one, or its part for the current tenant."""
        return self

    def add(self, *entries: Entry) -> None:
        """Add entries; once the scope is closed, they are written at once, as one batch."""
        self.entries.extend(entries)
        if len(self.entries) >= self.capacity:
            self.make_room()

    def close(self) -> None:
        """Write what the scope gathered; closing again does nothing. Never raises an Exception."""
        if not self.is_closed:
            self.write_at_once()
            self.send()

    def write_at_once(self) -> None:
        """Write every further entry at once, as a closed scope does."""
        self.is_closed = True  # first: `make_room` reads it once the capacity is 0
        self.capacity = 0

    async def aclose(self) -> None:
        """Close from an event loop, on the thread that owns the database connection."""
        try:
            with suppress(RuntimeError):  # the thread of the context has ended
                await sync_to_async(self.close, thread_sensitive=True)()
        finally:
            self.close()  # if that thread did not do it, perhaps because this was cancelled

    def leave_to_parent(self) -> None:
        """Drop the gathered entries in a forked process; write further ones at once."""
        self.entries.clear()
        self._folds.clear()
        self.write_at_once()

    def make_room(self) -> None:
        """Fold a full block of entries, or write the entries that follow the end of the scope."""
        # Folded first: the scope may be closed meanwhile, and its end then misses this fold.
        if self.fold_entries() >= self._max_summaries or self.is_closed:
            self.send()

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        """Write what was gathered so far, and what was put aside; an open scope goes on with the next batch."""
        self._take_along()
        if self.is_empty:
            return  # the usual case: most requests record nothing
        fold = self._folded()
        while (other := self._taken_fold()) is not None:
            fold.merge(other.summaries, math.inf)
        if fold.size:
            use(fold.batch())

    def fold_entries(self) -> int:
        """Fold the appended entries; return the number of summaries."""
        fold = self._folded()
        self._folds.append(fold)
        return fold.size

    def _folded(self) -> Fold:
        """Take out a fold, with the appended entries in it."""
        fold = self._taken_fold() or Fold(time_zone(), max_label_sets())
        try:
            fold.drain(self.entries)
            fold.settle()
        except BaseException:  # a signal handler raised it
            self._folds.append(fold)
            raise
        return fold

    def _take_along(self) -> None:
        """Take the counts of dropped events, and what was put aside."""
        if dropped := take_entries():
            self.entries.extend(dropped)
        if _aside.entries and self is not _aside:
            self._take_entries_of(_aside)

    def _take_entries_of(self, other: "Scope") -> None:
        with suppress(IndexError):  # another thread took the last one
            while other.entries:
                self.entries.append(other.entries.popleft())

    def _taken_fold(self) -> Fold | None:
        if not self._folds:  # checked first, because an exception costs more time
            return None
        try:
            return self._folds.pop()
        except IndexError:  # another thread took it
            return None


class Aside(Scope):
    """Entries that the next batch takes along, whatever its tenant; a full block of them is a batch of its own."""

    def __init__(self) -> None:
        super().__init__(max_summaries=0)

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        if not lacks_tables():
            super().send(use)


_current: ContextVar[Scope | None] = ContextVar("app_metrics_scope", default=None)

current_scope = _current.get
_aside = Aside()

# For the middleware, where a context manager would cost time in every request.
enter, leave = _current.set, _current.reset


def _start_afresh() -> None:
    """Leave the open scopes to the parent process, which closes them itself."""
    global _process, _aside
    for scope in _living():
        scope.leave_to_parent()
    _process, _aside = os.getpid(), Aside()


after_fork(_start_afresh)


@buffer.before_flush
def send_open_scopes(until: float) -> None:
    """Write what all open scopes hold; they go on with their next batches.

    Once `time.monotonic()` exceeds `until`, it is kept instead, as after a failure.
    """
    for scope in _living():
        scope.send(hand_over if time.monotonic() <= until else keep)


def _living() -> list[Scope]:
    # `list()` is atomic, unlike a loop over the set itself.
    return [scope for reference in list(_scopes) if (scope := reference()) is not None]


def scope_aside() -> Scope:
    """Return the scope for what should not cost a write of its own: the next batch of this process takes it along."""
    return _aside


@contextmanager
def activated(scope: Scope | None) -> Iterator[None]:
    """Make a scope, or none, the current one during the block."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)
