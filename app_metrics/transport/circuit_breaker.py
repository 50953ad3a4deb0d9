"""Stop calling a destination that keeps failing, and check from time to time whether it is back."""

import time

# Failures in a row that open the breaker.
FAILURES = 3
# Seconds until the first trial; each further pause is twice as long, up to the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class Breaker:
    """A circuit breaker: closed while calls succeed, open after three failures in a row.

    While open, it allows one trial call after each pause. The first pause is one second, and each further one is twice
    as long, up to 30 seconds, whether the trial fails or hangs. A success closes the breaker. There is no lock, because
    a fork could leave it locked for good: at worst two callers try at the same time.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._next_look = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    def allows(self) -> bool:
        """Return whether the caller may try now."""
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
