"""What a destination failed to take, or was not even offered: kept in this process, bounded, for the next try."""

import math
from collections import deque
from typing import NamedTuple

from ..conf import retry_limit
from ..core.batch import Batch
from ..core.dropped import RETRY_LIMIT, drop_batch
from ..core.forking import after_fork
from .merging import Merging

# A batch of what was merged holds at most so many summaries: writing it is to take a moment only.
MERGED = 1_000


class Kept(NamedTuple):
    """A batch, and how often it failed while others were written."""

    batch: Batch
    refusals: int = 0


class KeptBatches:
    """Batches that failed, and merged what was not offered; `APP_METRICS_RETRY_LIMIT` bounds both.

    A batch that was offered stays as it is, because it may have been taken: up to that many are kept, and of more the
    oldest is dropped. The others are merged, up to 1,000 times as many summaries, so that it is the number of different
    metrics, label sets and hours which decides how long an outage can be survived. Of more, new ones are dropped.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._start_afresh()
        after_fork(self._start_afresh)

    def __len__(self) -> int:
        """Return how many batches there are, were all cut that is merged."""
        return len(self._offered) + math.ceil(len(self._unseen) / MERGED)

    def put(self, kept: Kept) -> None:
        """Keep a batch that may have been seen."""
        self._offered.append(kept)
        while len(self._offered) > retry_limit() and (lost := self.take_offered()) is not None:
            drop_batch(RETRY_LIMIT, f"more batches failed than {self._owner} may keep", lost.batch)

    def add(self, batch: Batch) -> None:
        """Keep a batch that nobody has seen, merged with others of its kind."""
        self._unseen.add(batch)

    def take(self) -> Kept | None:
        """Take out a batch that was not offered yet, else the oldest of the others; None where there is none.

        One is cut off only now, so that what is not offered is merged on.
        """
        for batch in self._unseen.take(MERGED, 1) if len(self._unseen) else ():
            return Kept(batch)
        return self.take_offered()

    def take_to_look(self) -> Kept | None:
        """Take out a batch to look with whether the destination is back, which it may well not be.

        One that was not offered, else only what it refuses for good might be looked with, for ever; but while half of
        what may be kept was offered, one of those, lest looks fill the rest.
        """
        return self.take() if len(self._offered) < retry_limit() // 2 else self.take_offered()

    def take_offered(self) -> Kept | None:
        """Take out the oldest of the batches that failed; None where there is none."""
        try:
            return self._offered.popleft()
        except IndexError:
            return None

    def _start_afresh(self) -> None:
        """Begin empty, also in a forked process: its parent writes what it kept itself."""
        self._offered: deque[Kept] = deque()
        self._unseen = Merging(retry_limit() * MERGED, RETRY_LIMIT)
