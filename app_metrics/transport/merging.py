"""Merge the batches of many threads, so that memory depends on the number of series and hours, not on the traffic."""

import math
import threading
from collections import deque
from itertools import islice

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Fold
from ..core.dropped import BUFFER_FULL, drop_batch

# About how many batches may stay unmerged.
BLOCK = 64
# The maximum number of summaries in a merged batch, which limits the size of a statement.
MAX_SUMMARIES = 10_000
# The maximum number of seconds that `take` waits for another merge, which may be an interrupted one of the same thread.
LONGEST_WAIT = 1.0


class Merging:
    """Batches of many threads, merged into few.

    Beyond `room` summaries (default: no limit) new series and hours are dropped for `reason`; those that are known are
    still counted.

    `add` appends a batch, and merges a block of them only if no other thread is merging. It never waits for a lock,
    because a garbage collection may interrupt a merge and close a scope, and the thread would then wait for itself.
    """

    def __init__(self, room: float = math.inf, reason: str = BUFFER_FULL) -> None:
        self._room, self._reason = room, reason
        self._batches: deque[Batch] = deque()
        self._fold: Fold | None = None
        self._merging = threading.Lock()

    def __len__(self) -> int:
        """Return the number of merged summaries, or of unmerged batches if that is larger."""
        fold = self._fold
        return max(len(fold.summaries) if fold else 0, len(self._batches))

    def add(self, batch: Batch) -> None:
        """Add a batch that no destination has received, because merging gives it another id."""
        self._batches.append(batch)
        if len(self._batches) >= BLOCK and self._merging.acquire(blocking=False):
            try:
                self._merge()
            finally:
                self._merging.release()

    def take(self, size: int = MAX_SUMMARIES, most: float = math.inf) -> list[Batch]:
        """Take out up to `most` new batches (default: all) of up to `size` summaries each, oldest series first.

        The rest stays. Returns nothing if another merge takes longer than a second.
        """
        if not self._merging.acquire(timeout=LONGEST_WAIT):
            return []
        try:
            batches: list[Batch] = []
            summaries = self._merge().summaries
            while summaries and len(batches) < most:
                batches.append(Batch({key: summaries.pop(key) for key in list(islice(summaries, size))}))
            if not summaries:
                self._fold = None
            return batches
        finally:
            self._merging.release()

    def _merge(self) -> Fold:
        fold = self._fold = self._fold or Fold(time_zone(), max_label_sets())
        while self._batches:
            left = fold.merge(self._batches.popleft().summaries, self._room)
            if left:
                drop_batch(self._reason, f"more than {self._room} summaries are pending", Batch(left))
        return fold
