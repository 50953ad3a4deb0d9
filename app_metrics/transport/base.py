"""The contract of a backend."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.checks import CheckMessage

from ..core.batch import Batch


class MetricsBackend:
    """Base class of all backends: where batches go."""

    # Whether `write` may block, on a database or a network. Defaults to True.
    blocks = True
    # Whether the batches reach the totals. Defaults to False.
    feeds_totals = False
    # Whether the ledger recognises a batch from the spool that `write` had received before. Defaults to True; only
    # matters if `feeds_totals` is True.
    deduplicates = True
    # Whether readers may use an answer of `pending` for a second, because it takes time. Defaults to True.
    caches_pending = True
    # The retrying backends to which this one passes every batch; each keeps and spools its own. Defaults to none.
    destinations: Sequence[Any] = ()

    def write(self, batch: Batch) -> None:
        """Store or send a batch. Mandatory.

        Runs on an event loop only if `blocks` is False, otherwise on a thread. May raise any exception: the batch is
        then kept and written again under the same id. Count a batch only once if you can recognise its id.
        """
        raise NotImplementedError

    def write_once(self, batch: Batch) -> None:
        """Write a batch that may come again from the journal of the buffered mode. Defaults to `write`.

        Then the ledger must recognise it; if `deduplicates` is False, `write_once` itself, which then gets it again.
        """
        self.write(batch)

    def recognises_replays(self) -> bool:
        """Return whether that is so. Defaults to True; only matters if `feeds_totals` is True."""
        return True

    def is_durable(self) -> bool:
        """Return whether a write survives a rollback by the caller. Defaults to True.

        Return False if the write is part of the caller's transaction.
        """
        return True

    def drain(self) -> None:
        """Move what is pending at the destination to the item log, each batch exactly once. Defaults to nothing.

        Every aggregation calls this first, and several may run at once. May raise any exception: the aggregation then
        continues with the stored items and reports the failure.
        """

    def pending(self) -> Iterable[Batch]:
        """Return what is pending at the destination, under the ids with which `drain` will store it. Defaults to none.

        Readers add it to the stored numbers. Answer fast, because a page is waiting. May raise any exception: the page
        then says that numbers are missing. A generator may yield some batches and then raise: readers count those.
        """
        return ()

    def check_destination(self) -> Sequence[CheckMessage]:
        """Return problems at the destination, which may be contacted. Defaults to none.

        Runs with `manage.py check --database …`; `check` runs before every command and must not use a network.
        """
        return ()

    def check(self) -> Sequence[CheckMessage]:
        """Return problems in this backend's settings. Defaults to none."""
        return ()
