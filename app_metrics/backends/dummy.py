"""Forget every batch."""

from ..summary import Batch
from . import base


class MetricsBackend(base.MetricsBackend):
    waits = False

    def write(self, batch: Batch) -> None:
        pass
