"""Merge the batches of many threads, so that memory depends on the number of series and hours, not on the traffic."""

import math
from collections import deque
from itertools import islice

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Fold
from ..core.dropped import BUFFER_FULL, drop_batch
from .exclusion import Exclusion

# About how many batches may stay unmerged.
BLOCK = 64
# The maximum number of summaries in a merged batch, which limits the size of a statement.
MAX_SUMMARIES = 10_000
# The maximum number of seconds that `take` waits for the merge of another thread.
LONGEST_WAIT = 1.0


class Merging(Exclusion):
    """Batches of many threads, merged into few.

    Beyond `room` summaries (default: no limit) new series and hours are dropped for `reason`; those that are known are
    still counted.

    `add` appends a batch, and merges a block of them only if no merge is running. A signal handler or a garbage
    collection may interrupt a merge and come here again; it does not wait for the merge, which its own thread runs.
    """

    def __init__(self, room: float = math.inf, reason: str = BUFFER_FULL) -> None:
        super().__init__()
        self._room, self._reason = room, reason
        self._batches: deque[Batch] = deque()
        self._fold: Fold | None = None

    def __len__(self) -> int:
        """Return the number of merged summaries, or of unmerged batches if that is larger."""
        fold = self._fold
        return max(fold.size if fold else 0, len(self._batches))

    def add(self, batch: Batch) -> None:
        """Add a batch that no destination has received, because merging gives it another id."""
        self._batches.append(batch)
        if len(self._batches) >= BLOCK:
            with self.turn(0) as is_mine:
                if is_mine:
                    self._merge()

    def merge(self) -> int:
        """Merge what was added, and return the number of summaries."""
        with self.turn(LONGEST_WAIT) as is_mine:
            if is_mine and self._batches:
                self._merge()
            return len(self)

    def take(self, size: int = MAX_SUMMARIES, most: float = math.inf) -> list[Batch]:
        """Take out up to `most` new batches (default: all) of up to `size` summaries each, oldest series first.

        The rest stays. Returns nothing in the middle of a merge of this thread, or if another's takes over a second.
        """
        with self.turn(LONGEST_WAIT) as is_mine:
            batches: list[Batch] = []
            summaries = self._merge().summaries if is_mine else {}
            while summaries and len(batches) < most:
                batches.append(Batch({key: summaries.pop(key) for key in list(islice(summaries, size))}))
            if is_mine and not summaries:
                self._fold = None
            return batches

    def _merge(self) -> Fold:
        fold = self._fold = self._fold or Fold(time_zone(), max_label_sets())
        while self._batches:
            left = fold.merge(self._batches.popleft().rows, self._room)
            if left:
                drop_batch(self._reason, f"more than {self._room} summaries are pending", Batch(left))
        return fold
