"""Merge the batches of many threads, so that memory is bounded by what differs and not by how much comes."""

import math
import threading
from collections import deque
from itertools import islice

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Fold
from ..core.dropped import BUFFER_FULL, drop_batch

# Batches wait unmerged up to about this many.
BLOCK = 64
# A batch that is merged of others holds at most so many summaries: a statement of bounded size.
MAX_SUMMARIES = 10_000
# Seconds that taking waits for who is just merging: it may be this very thread, interrupted.
LONGEST_WAIT = 1.0


class Merging:
    """Batches on their way to becoming few; what does not fit among `room` summaries (default: all does) is dropped.

    What is known already is still added up. It is dropped for a `reason`, by default that the buffer is full.

    They are appended on the way and merged later, by whoever finds nobody at it: nobody waits for another's merging,
    nor for his own, which a garbage collection may interrupt to close a scope.
    """

    def __init__(self, room: float = math.inf, reason: str = BUFFER_FULL) -> None:
        self._room, self._reason = room, reason
        self._batches: deque[Batch] = deque()
        self._fold: Fold | None = None
        self._merging = threading.Lock()

    def __len__(self) -> int:
        """Return how many summaries there are, without those of the latest batches, or how many batches if more."""
        fold = self._fold
        return max(len(fold.summaries) if fold else 0, len(self._batches))

    def add(self, batch: Batch) -> None:
        """Add a batch that nobody may have seen: what comes of it has another id."""
        self._batches.append(batch)
        if len(self._batches) >= BLOCK and self._merging.acquire(blocking=False):
            try:
                self._merge()
            finally:
                self._merging.release()

    def take(self, size: int = MAX_SUMMARIES, most: float = math.inf) -> list[Batch]:
        """Take out what was added, as new batches of up to `size` summaries; with `most`, so many of them at most.

        The series that were there first come first, and the others are merged on. Where somebody is merging for long it
        is nothing.
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
                drop_batch(self._reason, f"more than {self._room} summaries wait for being written", Batch(left))
        return fold
