"""Let other writers in between the transactions of a long run, if the database does not queue them."""

import time
from typing import Any

from .connections import commits_at_once
from .dialects import dialect_for

# Seconds of transactions after which a run pauses, and seconds of the pause: a writer that waits for SQLite's lock
# tries ten times a second.
LONGEST = 0.5
PAUSE = 0.11
# Seconds that a transaction should take at most, and the rows that it may always have: with fewer, a commit costs more
# than its rows.
LONGEST_TRANSACTION = 1.0
FEWEST = 2_000


class Turns:
    """Pauses in a long run that let other writers in, and sizes of transactions for which they need not wait long."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._queues = dialect_for(connection).queues
        self._since = time.monotonic()
        self._took = LONGEST_TRANSACTION
        self.begin()

    def begin(self) -> None:
        """Begin a transaction; needed only if something else was done since the last one."""
        self._last = time.monotonic()

    def let_others_write(self) -> None:
        """Pause for 0.11 seconds if a pause is due, but not inside a caller's transaction, which keeps the lock.

        Call it after each transaction.
        """
        if self._queues or not commits_at_once(self._connection):
            return
        now = time.monotonic()
        self._took = now - self._last
        if now - self._since >= LONGEST:
            time.sleep(PAUSE)
            self._since = time.monotonic()
        self.begin()

    def fitting(self, wanted: int, size: int = 0) -> int:
        """Return how many rows the next transaction may have: `wanted`, or as many as take about a second.

        `size` is the number of rows of the last transaction; without it, the next one is a small one.
        """
        if self._queues or not commits_at_once(self._connection):
            return wanted
        fits = int(size * LONGEST_TRANSACTION / (self._took or PAUSE))
        return min(wanted, max(fits, FEWEST))
