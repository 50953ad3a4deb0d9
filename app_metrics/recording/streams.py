"""Write what long streams count while they are open: a kill may end them, and some servers kill them when they stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import sleep

from ..core.forking import after_fork
from ..transport.dispatch import hand_over_soon
from .scope import Scope

# Seconds between two rounds. A stream that ends before its second round is written once, at its end.
PAUSE = 1.0

_open: set[Scope] = set()
_thread: threading.Thread | None = None


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
