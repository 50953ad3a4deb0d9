"""Append a batch to the item log of the project's own database; on SQLite, to the journal beside it."""

from collections.abc import Iterable

from django.db import DatabaseError, connections

from ..conf import settings
from ..core.batch import Batch
from ..storage import journal
from ..storage.connections import closed_as_before, commits_at_once
from ..storage.dialects.base import BAD_DATA, item_rows
from ..storage.items import append, append_apart
from ..storage.ledger import write_once
from ..transport import base
from ..transport.databases import savepoint


class MetricsBackend(base.MetricsBackend):
    feeds_totals = True
    caches_pending = False

    def write(self, batch: Batch) -> None:
        """Insert all items of a batch, with one statement unless they are very many or large.

        Inside a caller's transaction, it does so with a savepoint.

        If there is a journal, the batch goes there instead, but not inside a transaction.

        If the database cannot store one of them, that one is quarantined, and the others are inserted.

        Raises TransactionManagementError inside a broken transaction, and database errors.
        """
        connection = connections[settings.APP_METRICS_DATABASE]
        if journal.append(connection, batch):
            return
        rows = item_rows(batch)
        with closed_as_before(connection):
            try:
                with savepoint(connection.alias):
                    append(rows)
            except BAD_DATA:
                append_apart(rows)
            except DatabaseError:
                if self.is_durable():
                    connection.close_if_unusable_or_obsolete()  # so that the caller's next query gets a new one
                raise

    def write_once(self, batch: Batch) -> None:
        """Insert all items of a batch and its id in the ledger, in one transaction of its own."""
        with closed_as_before(connections[settings.APP_METRICS_DATABASE]):
            write_once(batch, durable=True)

    def recognises_replays(self) -> bool:
        """Return False on SQLite: its own journal keeps every batch, and is not in the ledger until it is drained."""
        return connections[settings.APP_METRICS_DATABASE].vendor != "sqlite"

    def is_durable(self) -> bool:
        return commits_at_once(connections[settings.APP_METRICS_DATABASE])

    def drain(self) -> None:
        connection = connections[settings.APP_METRICS_DATABASE]
        if found := journal.journal_of(connection):
            found.drain(connection)

    def pending(self) -> Iterable[Batch]:
        found = journal.journal_of(connections[settings.APP_METRICS_DATABASE])
        return found.pending() if found else ()
