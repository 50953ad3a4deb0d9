"""Discard every batch."""

from ..core.batch import Batch
from ..transport import base


class MetricsBackend(base.MetricsBackend):
    blocks = False

    def write(self, batch: Batch) -> None:
        pass
