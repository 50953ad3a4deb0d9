"""The scope that gathers entries: one per request, task or `collect()` block."""

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager, suppress
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any, Self

from asgiref.sync import iscoroutinefunction, sync_to_async

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Entry, Fold
from ..core.dropped import take_entries
from ..core.forking import after_fork
from ..transport.dispatch import hand_over

# Entries wait unfolded up to this many, which bounds memory and keeps folding out of most requests.
BLOCK = 1024
# A `collect()` scope with so many summaries hands over what it has: a script may run for days. A request never does.
MAX_SUMMARIES = 10_000


class Scope:
    """Gather entries from any number of threads; hand them over as one batch when closed.

    With more summaries than `max_summaries` (default: no limit) it hands over earlier, and more than once.

    Entries are appended on the way and folded later: appending is atomic and takes a fraction of the time. Scopes
    compare by identity, as asgiref compares context variables when it copies them between threads.
    """

    def __init__(self, max_summaries: float = math.inf) -> None:
        self._max_summaries = max_summaries
        self.entries: deque[Entry] = deque()
        self._fold: Fold | None = None
        self._folding = threading.Lock()
        # Entries that may wait unfolded: none after the end of the scope.
        self.room = BLOCK
        self.outer = _current.get()

    def add(self, entry: Entry) -> None:
        """Gather an entry; after the end of the scope it is written at once."""
        self.entries.append(entry)
        if len(self.entries) >= self.room:
            self.make_room()

    def close(self) -> None:
        """End the scope and hand over what it gathered; closing again does nothing. Never raises an Exception."""
        if self.room:
            self.room = 0
            self._send()

    async def aclose(self) -> None:
        """Close from an event loop, on the thread that owns the database connection."""
        try:
            with suppress(RuntimeError):  # the thread that the context names has ended
                await sync_to_async(self.close, thread_sensitive=True)()
        finally:
            self.close()  # where that thread never came to it, also because this was cancelled

    def leave_to_parent(self) -> None:
        """Forget, in a forked process, what was gathered; what is recorded from now on is written at once."""
        self.entries.clear()
        self._fold, self._folding = None, threading.Lock()
        self.room = 0

    def make_room(self) -> None:
        """Fold a full block, or send what came after the end of the scope."""
        if not self.room or self._fold_entries() >= self._max_summaries:
            self._send()

    def _send(self) -> None:
        self.entries.extend(take_entries())
        if not self.entries and self._fold is None:
            return  # most requests of most sites
        self._fold_entries()
        with self._folding:
            fold, self._fold = self._fold, None
        if fold is not None and fold.summaries:
            hand_over(Batch(fold.summaries))

    def _fold_entries(self) -> int:
        """Fold what was appended; return the number of summaries there are."""
        with self._folding:
            if self._fold is None:
                self._fold = Fold(time_zone(), max_label_sets())
            fold = self._fold
            while self.entries:
                fold.add(self.entries.popleft())
            return len(fold.summaries)


_current: ContextVar[Scope | None] = ContextVar("app_metrics_scope", default=None)

current_scope = _current.get
# Each request does both, without the time that a context manager takes.
enter, leave = _current.set, _current.reset


def _start_afresh() -> None:
    """Leave the open scopes of a forked process to its parent, which closes them itself."""
    scope = _current.get()
    while scope is not None:
        scope.leave_to_parent()
        scope = scope.outer


after_fork(_start_afresh)


def ended_scope() -> Scope:
    """Return a scope that writes at once, inside the caller's transaction, as there is no scope to wait for."""
    scope = Scope()
    scope.room = 0
    return scope


@contextmanager
def activated(scope: Scope | None) -> Iterator[None]:
    """Let a scope, or none, be the current one; the outer one is restored after."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


class collect(ContextDecorator):  # noqa: N801 - reads as a verb where it is used
    """Gather what a script, a command or a job records and write it as one batch at the end.

    Use it as `with collect():`, as `async with collect():` or as a decorator. The batch is written also
    when the block raises. An inner scope ends as a batch of its own. An instance serves one thread or task at a time.
    """

    def __init__(self) -> None:
        self._scopes: list[tuple[Scope, Token[Scope | None]]] = []

    def __call__(self, function: Any) -> Any:
        if not iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def scoped(*args: Any, **kwargs: Any) -> Any:
            async with type(self)():
                return await function(*args, **kwargs)

        return scoped

    def _recreate_cm(self) -> Self:
        return type(self)()

    def __enter__(self) -> Scope:
        scope = Scope(MAX_SUMMARIES)
        self._scopes.append((scope, _current.set(scope)))
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave().close()

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave().aclose()

    def _leave(self) -> Scope:
        scope, token = self._scopes.pop()
        _current.reset(token)
        return scope
