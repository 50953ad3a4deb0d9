"""Forget every batch."""

from ..core.summary import Batch
from ..transport import base


class MetricsBackend(base.MetricsBackend):
    waits = False

    def write(self, batch: Batch) -> None:
        pass
