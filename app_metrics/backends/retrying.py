"""Shield a caller from a backend: never raise, keep what failed, write it again under the same id."""

import atexit
import logging
import os
import threading
from collections import deque

from ..conf import retry_limit
from ..drops import RETRY_LIMIT, drop_batch
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
        self._retries_at_exit = False

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
        if not self._retries_at_exit:
            self._retries_at_exit = True
            atexit.register(self.retry)
        self._leave_to_parent()
        self._kept.append(batch)
        while len(self._kept) > retry_limit() and (lost := self._next_kept()) is not None:
            drop_batch(RETRY_LIMIT, f"more batches failed than {self._backend.__module__} may keep", lost)

    def _next_kept(self) -> Batch | None:
        self._leave_to_parent()
        try:
            return self._kept.popleft()
        except IndexError:
            return None

    def _leave_to_parent(self) -> None:
        """Forget, in a forked process, what the parent kept: it will write that itself."""
        if self._owner != os.getpid():
            self._kept, self._owner = deque(), os.getpid()

    def _attempt(self, batch: Batch) -> bool:
        if getattr(self._writing, "now", False):
            return False  # recorded by the backend itself, or by what handles the log of its failure
        self._writing.now = True
        try:
            self._backend.write(batch)
        except Exception as error:
            # One traceback is enough while it goes on failing.
            message = "Could not write metrics batch %s; it is kept for the next try: %r"
            logger.error(message, batch.id, error, exc_info=not self._kept)
            return False
        except BaseException:
            self.keep(batch)
            raise
        finally:
            self._writing.now = False
        return True
