"""Leave a destination alone that keeps failing, and look again from time to time whether it is back."""

import time

# Failures in a row after which it is left alone.
FAILURES = 3
# Seconds until the first look; each further one waits twice as long.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class Breaker:
    """Closed while all is well; open after three failures in a row.

    Open, it lets one caller through when a pause is over, and then waits for twice as long, from one second up to half
    a minute, whether that one fails or hangs; its success closes the breaker. It takes no lock, which a fork could
    leave locked for good: at worst two callers look at the same time.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._next_look = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    def allows(self) -> bool:
        """Tell whether to try now."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._next_look = now + self._pause
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE

    def failed(self) -> None:
        self._failures += 1
        self._next_look = time.monotonic() + self._pause
