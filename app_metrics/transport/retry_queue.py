"""A bounded queue, in memory, of batches that a destination did not take."""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ..conf import retry_limit
from ..core.batch import Batch
from ..core.dropped import RETRY_LIMIT, drop_batch
from ..core.forking import after_fork
from .merging import Merging

# The maximum number of summaries in a merged batch, so that one write stays short.
MERGED = 1_000


class QueuedBatch(NamedTuple):
    """A batch, and how often it failed while other batches succeeded."""

    batch: Batch
    refusals: int = 0


class RetryQueue:
    """The batches to write again; `APP_METRICS_RETRY_LIMIT` bounds them.

    A failed batch may have been written after all, so it keeps its id. The limit is the maximum number of failed
    batches; beyond it, the oldest is dropped. Batches that the destination never received are merged, into at most
    1,000 times as many summaries; beyond that, new series and hours are dropped. So the number of metrics, label sets
    and hours, not the traffic, decides how long an outage can last without loss.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._start_afresh()
        after_fork(self._start_afresh)

    def __len__(self) -> int:
        """Return the number of failed batches, plus that of the batches that the merged summaries will fill."""
        return len(self._failed) + math.ceil(len(self._unseen) / MERGED)

    def put(self, queued: QueuedBatch) -> None:
        """Keep a batch that failed and may have been written."""
        self._failed.append(queued)
        while len(self._failed) > retry_limit() and (lost := self.take_failed()) is not None:
            drop_batch(RETRY_LIMIT, f"the retry queue of {self._owner} is full", lost.batch)

    def add(self, batch: Batch) -> None:
        """Keep a batch that the destination never received, merged with others like it."""
        self._unseen.add(batch)

    def take_each(self) -> Iterator[QueuedBatch]:
        """Take out, one at a time, the batches that are there now, but none that is added meanwhile: merged ones first.

        A merged batch is made when it is taken, so that the rest can still be merged with what follows.
        """
        failed = len(self._failed)
        for _ in range(math.ceil(self._unseen.merge() / MERGED)):
            yield from map(QueuedBatch, self._unseen.take(MERGED, 1))
        for _ in range(failed):
            if (queued := self.take_failed()) is not None:
                yield queued

    def take_for_trial(self) -> QueuedBatch | None:
        """Take out a batch for a trial write, which shows whether the destination is back.

        It is usually a merged one, because the destination may refuse the failed ones forever. Each failed trial adds a
        failed batch, so once they fill half of the limit the trial uses one of them.
        """
        return next(self.take_each(), None) if len(self._failed) < retry_limit() // 2 else self.take_failed()

    def take_failed(self) -> QueuedBatch | None:
        """Take out the oldest failed batch; None if there is none."""
        try:
            return self._failed.popleft()
        except IndexError:
            return None

    def _start_afresh(self) -> None:
        """Begin empty, also in a forked process: the parent writes what it keeps."""
        self._failed: deque[QueuedBatch] = deque()
        self._unseen = Merging(retry_limit() * MERGED, RETRY_LIMIT)
