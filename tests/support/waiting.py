"""Wait for other processes by polling, not by fixed sleeps; and time work that may be delayed."""

import time
from collections.abc import Callable
from typing import TypeVar

Read = TypeVar("Read")


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Return as soon as a condition holds. Raises AssertionError if it does not within this many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about in {seconds} s"
        time.sleep(0.05)


def settled(read: Callable[[], Read], expected: Read, seconds: float = 60) -> Read:
    """Return what is read as soon as it is as expected, or what is read when the time is over, to compare the two."""
    deadline = time.monotonic() + seconds
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def takes_less(seconds: float, work: Callable[[], object], tries: int = 3) -> bool:
    """Return whether any of several tries takes less time: a busy machine should not delay them all."""
    for _ in range(tries):
        began = time.monotonic()
        work()
        if time.monotonic() - began < seconds:
            return True
    return False
