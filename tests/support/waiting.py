"""Wait for what other processes do, by looking, and never by sleeping for luck; and time what may be held up."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Return as soon as a condition holds. Raises AssertionError when it does not in so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about in {seconds} s"
        time.sleep(0.05)


def takes_less(seconds: float, work: Callable[[], object], tries: int = 3) -> bool:
    """Tell whether one of some tries takes less time: the machine may be busy, but not each time."""
    for _ in range(tries):
        began = time.monotonic()
        work()
        if time.monotonic() - began < seconds:
            return True
    return False
