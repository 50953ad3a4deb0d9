"""Append a batch to the item log of the project's own database."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections, transaction

from ..conf import settings
from ..sql import dialect_for
from ..sql.base import Row, flat
from ..summary import Batch
from . import base


class MetricsBackend(base.MetricsBackend):
    def write(self, batch: Batch) -> None:
        """Write all items of a batch in one statement; inside a transaction of the caller, within a savepoint.

        Raises TransactionManagementError inside a broken transaction, and whatever the database raises.
        """
        connection = connections[settings.APP_METRICS_DATABASE]
        try:
            with _guarded(connection):
                dialect_for(connection).insert_items(connection, _rows(batch))
        except DatabaseError:
            if connection.get_autocommit():
                connection.close_if_unusable_or_obsolete()  # the caller's next query shall find a good one
            raise

    def keeps(self) -> bool:
        return bool(connections[settings.APP_METRICS_DATABASE].get_autocommit())


def _guarded(connection: Any) -> AbstractContextManager[Any]:
    """Keep a failing statement from breaking the caller's transaction; one of our own would cost two more."""
    if connection.get_autocommit():
        return nullcontext()
    savepoint: AbstractContextManager[None] = transaction.atomic(using=connection.alias)
    return savepoint


def _rows(batch: Batch) -> list[Row]:
    return [
        flat((UUID(int=batch.id.int + index), *key), summary)
        for index, (key, summary) in enumerate(batch.summaries.items())
    ]
