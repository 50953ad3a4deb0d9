"""Let others write between the transactions of a long run, where the database keeps no queue of those who wait."""

import time
from typing import Any

from .dialects import commits_at_once, dialect_for

# Seconds of transactions after which others get a turn, and how long it lasts: who waits for SQLite's lock looks ten
# times a second whether it is free.
LONGEST = 0.5
PAUSE = 0.11


class Turns:
    """How long a run has written to a database without a pause."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._queues = dialect_for(connection).queues
        self._since = time.monotonic()

    def give(self) -> None:
        """Stand aside for 0.11 seconds, if it is time; never in a transaction of the caller, which others wait for."""
        if self._queues or time.monotonic() - self._since < LONGEST or not commits_at_once(self._connection):
            return
        time.sleep(PAUSE)
        self._since = time.monotonic()
