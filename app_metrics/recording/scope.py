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
from ..transport import buffer
from ..transport.databases import current_database, in_schema, is_per_tenant, lacks_tables
from ..transport.dispatch import hand_over, hand_over_soon, is_on_event_loop, keep

# Unfolded entries of a scope at most: this bounds memory, and most requests never fold before their end.
BLOCK = 1024

# Weak references, so that a scope lives no longer than what uses it.
_scopes: set[Any] = set()
_process = os.getpid()


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
        self._folds: deque[Fold] = deque()
        self.is_closed = False
        # The number of entries at which `make_room` is called; a closed scope has 0, so every entry is written at once.
        # The hot path reads only this attribute.
        self.capacity = BLOCK
        _scopes.add(ref(self, _scopes.discard))

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
        if self._fold_entries() >= self._max_summaries or self.is_closed:
            self.send()

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        """Write what was gathered so far, and what was put aside; an open scope goes on with the next batch."""
        self._take_along()
        if self.is_empty:
            return  # the usual case: most requests record nothing
        self._fold_entries()
        fold = self._taken_fold()
        while fold is not None and (other := self._taken_fold()) is not None:
            fold.merge(other.summaries, math.inf)
        if fold is not None and fold.summaries:
            use(Batch(fold.summaries))

    def _take_along(self) -> None:
        """Take the counts of dropped events, and what was put aside."""
        self.entries.extend(take_entries())
        if _aside.entries and self is not _aside:
            self._take_entries_of(_aside)

    def _fold_entries(self) -> int:
        """Fold the appended entries; return the number of summaries."""
        fold = self._taken_fold() or Fold(time_zone(), max_label_sets())
        entries = self.entries
        try:
            while entries:
                try:
                    entry = entries.popleft()
                except IndexError:  # another thread took it
                    break
                fold.add(entry)
            return len(fold.summaries)
        finally:
            self._folds.append(fold)

    def _take_entries_of(self, other: "Scope") -> None:
        with suppress(IndexError):  # another thread took the last one
            while other.entries:
                self.entries.append(other.entries.popleft())

    def _taken_fold(self) -> Fold | None:
        if not self._folds:  # checked first, because an exception costs more time
            return None
        try:
            return self._folds.popleft()
        except IndexError:  # another thread took it
            return None


class Part(Scope):
    """What one tenant recorded in a scope; written to that tenant's schema, whatever schema is current by then."""

    def __init__(self, schema: str | None, max_summaries: float) -> None:
        super().__init__(max_summaries)
        self._schema = schema

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        with in_schema(self._schema):
            super().send(use)

    def _take_along(self) -> None:
        if not lacks_tables():  # otherwise they would be lost
            super()._take_along()


class Aside(Scope):
    """Entries that the next batch takes along, whatever its tenant; a full block of them is a batch of its own."""

    def __init__(self) -> None:
        super().__init__(max_summaries=0)

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        if not lacks_tables():
            super().send(use)


class ScopeByTenant(Scope):
    """A scope with a part for each tenant, for tables in each tenant's schema.

    What is recorded belongs to the schema of the connection. On an event loop it belongs to the tenant of the request,
    because the connection of the loop's thread is not the request's.
    """

    def __init__(self, max_summaries: float = math.inf, request: Any = None) -> None:
        self._max_summaries = max_summaries
        self._request = None if request is None else ref(request)
        self._parts: dict[str | None, Scope] = {}
        self.is_closed = False
        _scopes.add(ref(self, _scopes.discard))

    def here(self) -> Scope:
        schema = self._schema()
        part = self._parts.get(schema)
        if part is None:
            part = self._parts.setdefault(schema, Part(schema, self._max_summaries))
            if self.is_closed:
                part.write_at_once()
        return part

    def _schema(self) -> str | None:
        if self._request is None or not is_on_event_loop():
            return current_database().schema
        return getattr(getattr(self._request(), "tenant", None), "schema_name", None)

    @property
    def entries(self) -> deque[Entry]:  # type: ignore[override]  # only read
        return self.here().entries

    @property
    def capacity(self) -> int:  # type: ignore[override]
        return self.here().capacity

    @property
    def is_empty(self) -> bool:
        return all(part.is_empty for part in list(self._parts.values()))

    def add(self, *entries: Entry) -> None:
        self.here().add(*entries)

    def make_room(self) -> None:
        self.here().make_room()

    def write_at_once(self) -> None:
        self.is_closed = True
        for part in list(self._parts.values()):
            part.write_at_once()

    def leave_to_parent(self) -> None:
        self.write_at_once()  # the parts are scopes, too, and leave what they have

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        for part in list(self._parts.values()) or [self.here()]:
            part.send(use)


def new_scope(max_summaries: float = math.inf, request: Any = None) -> Scope:
    """Return a new scope, of a request if there is one."""
    return ScopeByTenant(max_summaries, request) if is_per_tenant() else Scope(max_summaries)


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


def ended_scope() -> Scope:
    """Return a scope that writes every entry at once, inside the caller's transaction."""
    scope = new_scope()
    scope.write_at_once()
    return scope


@contextmanager
def activated(scope: Scope | None) -> Iterator[None]:
    """Make a scope, or none, the current one during the block."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)
