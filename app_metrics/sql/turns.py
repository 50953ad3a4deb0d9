"""Let others write between the transactions of a long run, where the database keeps no queue of those who wait."""

import time
from typing import Any

from . import dialect_for

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
        """Stand aside for 0.11 seconds, if it is time; between transactions only, as others wait for the end of one."""
        if self._queues or self._connection.in_atomic_block or time.monotonic() - self._since < LONGEST:
            return
        time.sleep(PAUSE)
        self._since = time.monotonic()
