"""Write what long streams count while they are open: a kill may end them, and some servers kill them when they stop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic, sleep

from ..core.forking import after_fork
from ..transport.dispatch import hand_over_soon
from .scope import Scope

# Seconds between two rounds. A stream that ends before its second round is written once, at its end.
PAUSE = 1.0

_open: set[Scope] = set()
_thread: threading.Thread | None = None
_are_ending = False


@contextmanager
def watched(scope: Scope) -> Iterator[None]:
    """Write what a scope holds from time to time during the block; from another thread, because streams may pause."""
    _open.add(scope)
    if _thread is None:
        _start()
    try:
        yield
    finally:
        _open.discard(scope)


def are_ending() -> bool:
    """Return whether asynchronous streams are to end before their next part."""
    return _are_ending


@asynccontextmanager
async def ended() -> AsyncIterator[None]:
    """End asynchronous streams, each after its next part; wait for that for a second before the block.

    A server that stops may have given them up, but Django leaves their tasks running until the event loop ends.
    """
    global _are_ending
    _are_ending, deadline = True, monotonic() + PAUSE
    try:
        while _open and monotonic() < deadline:
            await asyncio.sleep(0.01)
        yield
    finally:
        _are_ending = False


def _start() -> None:
    global _thread
    _thread = threading.Thread(target=_go_round, name="app_metrics-streams", daemon=True)
    try:
        _thread.start()
    except RuntimeError:  # the interpreter is ending, or the system allows no more threads
        _thread = None


def _go_round() -> None:
    """Write every stream from its second round on; end when there are none."""
    global _thread
    seen: set[Scope] = set()
    while True:
        sleep(PAUSE)
        found = set(_open)
        for scope in seen & found:
            if not scope.is_empty:  # thousands of websockets may be idle
                with suppress(Exception):
                    scope.send(hand_over_soon)
        seen = found
        if not found:
            break
    _thread = None
    if _open:  # one began just now and still saw this thread
        _start()


def _start_afresh() -> None:
    """Begin without streams in a forked process, which has no such thread."""
    global _thread
    _open.clear()
    _thread = None


after_fork(_start_afresh)
