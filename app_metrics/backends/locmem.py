"""Keep batches in `outbox`, for tests."""

from collections import deque

from ..core.batch import Batch
from ..transport import base

# The latest batches, oldest first; bounded, because few test suites clear it.
outbox: deque[Batch] = deque(maxlen=10_000)


class MetricsBackend(base.MetricsBackend):
    blocks = False

    def write(self, batch: Batch) -> None:
        outbox.append(batch)
