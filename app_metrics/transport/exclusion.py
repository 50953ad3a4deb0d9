"""A lock whose holder notices that it interrupts itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Exclusion:
    """Base class of what one thread at a time may change.

    A signal handler or a garbage collection may interrupt that change and come here again, on the same thread: the lock
    is reentrant, so that the thread does not wait for itself, and `turn` says that the change is not complete.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_changing = False

    @contextmanager
    def turn(self, seconds: float) -> Iterator[bool]:
        """Wait for other threads for up to so many seconds; yield whether nobody else is at it during the block."""
        if not self._lock.acquire(timeout=seconds):
            yield False
            return
        was_changing, self._is_changing = self._is_changing, True
        try:
            yield not was_changing
        finally:
            self._is_changing = was_changing
            self._lock.release()
