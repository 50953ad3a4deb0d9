"""Let other writers in between the transactions of a long run, if the database keeps no queue for its lock."""

import time
from typing import Any

from .dialects import commits_at_once, dialect_for

# Seconds of transactions after which others get a turn, and seconds that it lasts: a writer that waits for SQLite's
# lock tries it ten times a second.
LONGEST = 0.5
PAUSE = 0.11


class Turns:
    """Pauses of a long run, for the sake of other writers."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._queues = dialect_for(connection).queues
        self._since = time.monotonic()

    def give(self) -> None:
        """Pause for 0.11 seconds if it is time, but not inside a transaction of the caller, which keeps the lock."""
        if self._queues or time.monotonic() - self._since < LONGEST or not commits_at_once(self._connection):
            return
        time.sleep(PAUSE)
        self._since = time.monotonic()
