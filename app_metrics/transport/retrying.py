"""Shield a caller from a backend: never raise, keep what failed, write it again under the same id."""

import logging
import math
import threading
import time
from collections.abc import Sequence

from django.core.checks import CheckMessage

from ..conf import timeout
from ..core.batch import Batch
from ..core.dropped import REFUSED, drop_batch
from . import base, spool
from .circuit_breaker import FAILURES, Breaker
from .retry_queue import Kept, KeptBatches

logger = logging.getLogger("app_metrics")

# How often a batch may fail right after another one was written.
MAX_REFUSALS = 10


class RetryingBackend(base.MetricsBackend):
    """Hand batches to another backend; keep those it failed to write, and leave it alone while it keeps failing."""

    def __init__(self, backend: base.MetricsBackend) -> None:
        self.backend = backend
        # Any class with a method write() may be a backend; here is what the others stand for where it lacks them.
        self.blocks = getattr(backend, "blocks", True)
        self.feeds_totals = getattr(backend, "feeds_totals", False)
        self._kept = KeptBatches(backend.__module__)
        self._breaker = Breaker()
        self._writing = threading.local()
        self._is_failing = False

    def write(self, batch: Batch) -> None:
        """Write a batch, then for a moment what was kept; never raises an Exception."""
        if self._breaker.is_open and not self._is_back():
            self.keep_unseen(batch)
        elif not self._attempt(batch):
            self.keep(batch)
        elif self._kept and self.is_durable():
            self.retry(time.monotonic() + timeout())

    @property
    def kept(self) -> int:
        """How many batches wait in this process for the next try, those of a composite's destinations included."""
        return len(self._kept) + getattr(self.backend, "kept", 0)

    def is_durable(self) -> bool:
        try:
            return bool(getattr(self.backend, "is_durable", super().is_durable)())
        except Exception:  # write() will say what is wrong
            return False

    def drain(self) -> None:
        getattr(self.backend, "drain", super().drain)()

    def pending(self) -> Sequence[Batch]:
        return list(getattr(self.backend, "pending", super().pending)())

    def check_destination(self) -> Sequence[CheckMessage]:
        return list(getattr(self.backend, "check_destination", super().check_destination)())

    def check(self) -> Sequence[CheckMessage]:
        return list(getattr(self.backend, "check", super().check)())

    def retry(self, until: float = math.inf) -> None:
        """Write what was kept until one fails, or a moment of the monotonic clock has come; without, until three do.

        One that failed goes to the end, lest it bar the way for good.
        """
        failures, most = 0, FAILURES if until == math.inf else 1
        while failures < most and (kept := self._kept.take()) is not None:
            was_well = not self._is_failing
            if self._attempt(kept.batch):
                failures = 0
            else:
                failures += 1
                self._keep_again(kept, was_well)
            if time.monotonic() > until:
                return
        if hasattr(self.backend, "retry"):  # a composite keeps for its destinations
            self.backend.retry(until)

    def keep(self, batch: Batch) -> None:
        """Keep a batch, which may have been written: in the spool if there is one, else for the next try."""
        if not getattr(self.backend, "deduplicates", super().deduplicates) or not self._spool(batch):
            self._kept.put(Kept(batch))

    def keep_unseen(self, batch: Batch) -> None:
        """Keep a batch that was not offered: in the spool if there is one, else merged with others for the next try."""
        if not self._spool(batch):
            self._kept.add(batch)

    def _spool(self, batch: Batch) -> bool:
        """Spool what is to reach the totals, where the spool is brought to; a composite's destinations spool theirs."""
        is_counted = getattr(self.backend, "feeds_totals", False) and not hasattr(self.backend, "kept")
        return is_counted and spool.append(batch)

    def _keep_again(self, kept: Kept, was_well: bool) -> None:
        """Keep what failed; where it did so just after another batch was written, it is itself at fault in the end."""
        kept = Kept(kept.batch, kept.refusals + was_well)
        if kept.refusals < MAX_REFUSALS:
            self._kept.put(kept)
        else:
            drop_batch(REFUSED, f"{self.backend.__module__} took other batches, but not this one", kept.batch)

    def _is_back(self) -> bool:
        """Look, once the breaker lets somebody, whether the destination is back; with a kept batch if there is one."""
        if not self.is_durable() or not self._breaker.allows():
            return False
        kept = self._kept.take_to_look()
        if kept is None or self._attempt(kept.batch):
            return True
        self._kept.put(kept)
        return False

    def _attempt(self, batch: Batch) -> bool:
        if getattr(self._writing, "now", False):
            return False  # recorded by the backend itself, or by what handles the log of its failure
        self._writing.now = True
        try:
            self.backend.write(batch)
        except Exception as error:
            self._note_failure(batch, error)
            return False
        except BaseException:
            self.keep(batch)
            raise
        finally:
            self._writing.now = False
        self._is_failing = False
        self._breaker.succeeded()
        return True

    def _note_failure(self, batch: Batch, error: Exception) -> None:
        if self.is_durable():  # else the caller's transaction may be what is broken
            self._breaker.failed()
        # One traceback is enough while it goes on failing.
        message = "Could not write metrics batch %s; it is kept for the next try: %r"
        logger.error(message, batch.id, error, exc_info=not self._is_failing)
        self._is_failing = True
