"""Wrap a backend so that it never raises: keep what it failed to write, and write that again under the same id."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from django.core.checks import CheckMessage

from ..conf import timeout
from ..core.batch import Batch
from ..core.dropped import REFUSED, drop_batch, warn_once
from ..core.logs import log
from . import aside, base, databases, spool
from .circuit_breaker import FAILURES, Breaker
from .databases import ByDatabase
from .retry_queue import QueuedBatch, RetryQueue

# Failures right after a successful write of another batch, until a batch is considered bad and dropped.
MAX_REFUSALS = 10
NO_TABLES = (
    "What happens in the public schema is not counted, because only the schemas of tenants have the tables of "
    'app_metrics. List "app_metrics" in SHARED_APPS, too.'
)


class RetryingBackend(base.MetricsBackend):
    """Pass batches to another backend, keep those it fails to write, and pause while it keeps failing."""

    def __init__(self, backend: base.MetricsBackend) -> None:
        self.backend = backend
        self.blocks, self.feeds_totals = backend.blocks, backend.feeds_totals
        self.caches_pending, self.deduplicates = backend.caches_pending, backend.deduplicates
        self._queues = ByDatabase(partial(RetryQueue, backend.__module__))
        self._breaker = Breaker()
        self._is_failing = False

    def write(self, batch: Batch) -> None:
        """Write a batch, then kept batches of the same tenant for up to `APP_METRICS_TIMEOUT`.

        Never raises an Exception.
        """
        if self._lacks_tables():
            return
        if self._breaker.is_open and not self._is_back():
            self.keep_unseen(batch)
        elif not self._attempt(batch):
            self.keep(batch)
        elif self._queues and (queue := self._queues.here()) and self.is_durable():
            self._retry(queue, time.monotonic() + timeout(), most_failures=1)

    def write_part(self, batch: Batch) -> bool:
        """Write a part of the journal; return whether it is written or spooled, so that its file may be deleted.

        Never raises an Exception. Whatever else is kept is left to `retry`.
        """
        if self.backend.destinations:
            failed = [each for each in self.backend.destinations if not each.write_part(batch)]
            return not failed
        if not self.is_journalled():
            self.write(batch)
            return True
        if self._breaker.is_open and not self._is_back():
            return self._spool(batch)
        if self._attempted(batch, self.backend.write_once):
            return True
        return self.deduplicates and self._spool(batch)

    def replay(self, batch: Batch) -> bool:
        """Write what is left of a journal again, unless the ledger is to recognise it: return False then.

        May raise any exception.
        """
        for each in self.backend.destinations or [self]:
            if each.feeds_totals and not each.deduplicates:
                each.backend.write_once(batch)
                return True
        return False

    def is_journalled(self) -> bool:
        """Return whether the buffered mode keeps a journal of the batches for this backend, or for a destination of it.

        What is left of a journal only reaches the totals.
        """
        if self.backend.destinations:
            return any(each.is_journalled() for each in self.backend.destinations)
        return self._is_for_totals and databases.can_be_spooled() and self.backend.recognises_replays()

    @property
    def kept(self) -> int:
        """How many batches this process keeps for the next try, including those kept for `destinations`."""
        return sum(len(queue) for _, queue in self._queues.in_all_schemas()) + sum(
            int(destination.kept) for destination in self.backend.destinations
        )

    def is_durable(self) -> bool:
        try:
            return self.backend.is_durable()
        except Exception:  # write() will raise it, too, and log it
            return False

    def drain(self) -> None:
        self.backend.drain()

    def pending(self) -> Iterable[Batch]:
        return self.backend.pending()

    def check_destination(self) -> Sequence[CheckMessage]:
        return list(self.backend.check_destination())

    def check(self) -> Sequence[CheckMessage]:
        return list(self.backend.check())

    def retry(self, until: float = math.inf, most_failures: int = FAILURES) -> None:
        """Write what is kept now, until so many writes in a row fail or `time.monotonic()` exceeds `until`.

        Each tenant's queue has its own such row of failures, unless the destination is down.
        """
        for schema, queue in self._queues.in_all_schemas():
            if queue:
                with databases.in_schema(schema):
                    self._retry(queue, until, most_failures)
                if self._breaker.is_open:
                    break
        for destination in self.backend.destinations:
            destination.retry(until, most_failures)

    def _retry(self, queue: RetryQueue, until: float, most_failures: int) -> None:
        """Write a queue again. A batch that fails goes to its end, so that it does not block the others."""
        failures = 0
        if time.monotonic() > until:
            return
        for queued in queue.take_each():
            was_well = not self._is_failing
            if self._attempt(queued.batch):
                failures = 0
            else:
                failures += 1
                self._keep_again(queued, was_well)
            if failures == most_failures or time.monotonic() > until:
                return

    def keep(self, batch: Batch) -> None:
        """Keep a batch that may have been written: in the spool if there is one, else in the retry queue."""
        if not self.deduplicates or not self._spool(batch):
            self._queues.here().put(QueuedBatch(batch))

    def keep_unseen(self, batch: Batch) -> None:
        """Keep a batch that the backend never received: in the spool if there is one, else merged into the queue."""
        if not self._lacks_tables() and not self._spool(batch):
            self._queues.here().add(batch)

    def _lacks_tables(self) -> bool:
        """Return whether batches need tables that the current schema lacks; log that they are not counted."""
        lacks_tables = self._is_for_totals and databases.lacks_tables()
        if lacks_tables:
            warn_once(NO_TABLES)
        return lacks_tables

    @property
    def _is_for_totals(self) -> bool:
        """Whether this backend itself feeds the totals, rather than one of its destinations."""
        return self.feeds_totals and not self.backend.destinations

    def _spool(self, batch: Batch) -> bool:
        """Spool a batch if it only has to reach the totals, because spooled batches reach nothing else.

        They reach the totals of whatever database the next aggregation has, so tests and tenants have no spool.
        """
        return self._is_for_totals and databases.can_be_spooled() and spool.append(batch)

    def _keep_again(self, queued: QueuedBatch, was_well: bool) -> None:
        """Keep a batch that failed again; drop it if it failed too often while other batches succeeded."""
        queued = QueuedBatch(queued.batch, queued.refusals + was_well)
        if queued.refusals < MAX_REFUSALS:
            self._queues.here().put(queued)
        else:
            drop_batch(
                REFUSED,
                f"{self.backend.__module__} accepted other batches, but refused this one",
                queued.batch,
            )

    def _is_back(self) -> bool:
        """Return whether a trial write succeeds, once the breaker allows one; with a kept batch if there is one."""
        if not self.is_durable() or not self._breaker.allows():
            return False
        queued = self._queues.here().take_for_trial()
        if queued is None or self._attempt(queued.batch):
            return True
        self._queues.here().put(queued)
        return False

    def _attempt(self, batch: Batch) -> bool:
        """Return whether a batch needs no other try; keep it if an exit interrupts it."""
        try:
            return self._attempted(batch, self.backend.write)
        except BaseException:
            self.keep(batch)
            raise

    def _attempted(self, batch: Batch, write: Callable[[Batch], None]) -> bool:
        token = aside.begin_write()
        try:
            databases.in_own_schema(write, batch)
        except Exception as error:
            return self._failed(batch, error)
        else:
            self._is_failing = False
            self._breaker.succeeded()
            return True
        finally:
            aside.end_write(token)

    def _failed(self, batch: Batch, error: Exception) -> bool:
        if databases.is_forbidden(error):
            log(logging.INFO, "The current test may not use the database, so metrics batch %s is dropped", batch.id)
            return True
        if self.is_durable():  # otherwise the caller's transaction may be the broken part
            if databases.concerns_one_tenant(error):
                self._breaker.succeeded()  # the database answers, and other tenants may have their tables
            else:
                self._breaker.failed()
        # Only the first of several failures in a row is logged with a traceback.
        is_first, self._is_failing = not self._is_failing, True
        message = "Could not write metrics batch %s; it is kept for the next try: %s"
        log(logging.ERROR, message, batch.id, databases.described(error), exc_info=is_first)
        return False
