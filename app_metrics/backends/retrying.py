"""Shield a caller from a backend: never raise, keep what failed, write it again under the same id."""

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from django.core.checks import CheckMessage

from ..conf import retry_limit
from ..drops import REFUSED, RETRY_LIMIT, drop_batch
from ..summary import Batch
from . import base

logger = logging.getLogger("app_metrics")

# How often a batch may fail right after another one was written.
MAX_REFUSALS = 10


class Kept(NamedTuple):
    """A batch that failed, and how often it did so while others were written."""

    batch: Batch
    refusals: int


class RetryingBackend(base.MetricsBackend):
    """Hand batches to another backend; keep up to `APP_METRICS_RETRY_LIMIT` of those it failed to write."""

    def __init__(self, backend: base.MetricsBackend) -> None:
        self.backend = backend
        # Any class with a method write() may be a backend; here is what the others stand for where it lacks them.
        self.waits = getattr(backend, "waits", True)
        self._kept: deque[Kept] = deque()
        self._owner = os.getpid()
        self._writing = threading.local()
        self._is_failing = False
        self._retries_at_exit = False

    def write(self, batch: Batch) -> None:
        """Write a batch, then what was kept; never raises an Exception."""
        if not self._attempt(batch):
            self.keep(batch)
        elif self._kept and self.keeps():
            self.retry()

    def keeps(self) -> bool:
        return bool(getattr(self.backend, "keeps", super().keeps)())

    def check(self) -> Sequence[CheckMessage]:
        return list(getattr(self.backend, "check", super().check)())

    def retry(self) -> None:
        """Write what was kept until one fails again; that one goes to the end, lest it bar the way for good."""
        while (kept := self._next_kept()) is not None:
            if not self._attempt(kept.batch):
                return self._keep_again(kept)
        return None

    def keep(self, batch: Batch, refusals: int = 0) -> None:
        """Keep a batch for the next try; the oldest one is dropped where there is no room."""
        if not self._retries_at_exit:
            self._retries_at_exit = True
            atexit.register(self.retry)
        self._leave_to_parent()
        self._kept.append(Kept(batch, refusals))
        while len(self._kept) > retry_limit() and (lost := self._next_kept()) is not None:
            drop_batch(RETRY_LIMIT, f"more batches failed than {self.backend.__module__} may keep", lost.batch)

    def _keep_again(self, kept: Kept) -> None:
        """Keep what failed just after another batch was written; in the end the batch itself is at fault."""
        if kept.refusals + 1 < MAX_REFUSALS:
            self.keep(kept.batch, kept.refusals + 1)
        else:
            drop_batch(REFUSED, f"{self.backend.__module__} took other batches, but not this one", kept.batch)

    def _next_kept(self) -> Kept | None:
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
            self.backend.write(batch)
        except Exception as error:
            # One traceback is enough while it goes on failing.
            message = "Could not write metrics batch %s; it is kept for the next try: %r"
            logger.error(message, batch.id, error, exc_info=not self._is_failing)
            self._is_failing = True
            return False
        except BaseException:
            self.keep(batch)
            raise
        finally:
            self._writing.now = False
        self._is_failing = False
        return True
