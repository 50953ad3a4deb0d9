"""Shield a caller from a backend: never raise, keep what failed, write it again under the same id."""

import atexit
import logging
import os
import threading
from collections import deque

from ..conf import settings
from ..drops import RETRY_LIMIT, drop
from ..summary import Batch
from . import base

logger = logging.getLogger("app_metrics")


class RetryingBackend(base.MetricsBackend):
    """Hand batches to another backend; keep up to `APP_METRICS_RETRY_LIMIT` of those it failed to write."""

    def __init__(self, backend: base.MetricsBackend) -> None:
        self._backend = backend
        self._kept: deque[Batch] = deque()
        self._owner = os.getpid()
        self._writing = threading.local()

    def write(self, batch: Batch) -> None:
        """Write a batch, then what was kept; never raises an Exception."""
        if self._attempt(batch):
            self.retry()
        else:
            self.keep(batch)

    def retry(self) -> None:
        """Write what was kept until one fails again; that one goes to the end, lest it bar the way for good."""
        while (batch := self._next_kept()) is not None:
            if not self._attempt(batch):
                return self.keep(batch)
        return None

    def keep(self, batch: Batch) -> None:
        """Keep a batch for the next try; the oldest one is dropped where there is no room."""
        if not self._kept:
            atexit.register(self.retry)
        self._kept.append(batch)
        while len(self._kept) > settings.APP_METRICS_RETRY_LIMIT and (lost := self._next_kept()) is not None:
            events = sum(summary.count for summary in lost.summaries.values())
            drop(RETRY_LIMIT, f"more batches failed than {self._backend.__module__} may keep", events)

    def _next_kept(self) -> Batch | None:
        if self._owner != os.getpid():  # forked: the parent still has them and will write them itself
            self._kept, self._owner = deque(), os.getpid()
        try:
            return self._kept.popleft()
        except IndexError:
            return None

    def _attempt(self, batch: Batch) -> bool:
        if getattr(self._writing, "now", False):
            return False  # recorded by the backend itself, or by what handles the log of its failure
        self._writing.now = True
        try:
            self._backend.write(batch)
        except Exception:
            logger.exception("Could not write metrics batch %s; it is kept for the next try", batch.id)
            return False
        except BaseException:
            self.keep(batch)
            raise
        finally:
            self._writing.now = False
        return True
