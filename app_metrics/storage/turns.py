"""Let other writers in between the transactions of a long run, if the database does not queue them."""

import time
from typing import Any

from .connections import commits_at_once
from .dialects import dialect_for

# Seconds of transactions after which a run pauses, and seconds of the pause: a writer that waits for SQLite's lock
# tries ten times a second.
LONGEST = 0.5
PAUSE = 0.11


class Turns:
    """Pauses in a long run that let other writers in."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._queues = dialect_for(connection).queues
        self._since = time.monotonic()

    def let_others_write(self) -> None:
        """Pause for 0.11 seconds if a pause is due, but not inside a caller's transaction, which keeps the lock."""
        if self._queues or time.monotonic() - self._since < LONGEST or not commits_at_once(self._connection):
            return
        time.sleep(PAUSE)
        self._since = time.monotonic()
