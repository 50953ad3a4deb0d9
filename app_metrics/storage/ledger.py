"""Count a batch once, however often it is delivered: its id and its items are stored in one transaction, or neither.

Whatever brings batches from outside the database (Redis, Celery, the spool) brings them here. They become items, which
the aggregation takes into the totals as it takes all others.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from ..conf import settings
from ..core.batch import Batch
from ..models import LedgerRow, QuarantinedItem
from .dialects import dialect_for
from .dialects.base import item_rows
from .transactions import TRIES, retried

# How long a batch is recognised. Brokers deliver again after an hour at the most, as they come configured.
KEPT_DAYS = 7
# Items of one statement: it stays below MariaDB's max_allowed_packet, which is 16 MiB by default.
ITEMS_PER_STATEMENT = 10_000
# Rows that one statement deletes, so that nobody waits long for its locks.
PRUNED_AT_ONCE = 1_000


class Repeated(Exception):
    """The batch was counted before."""


def write_once(
    batch: Batch, damaged: Mapping[str, str] = MappingProxyType({}), *, tries: int = TRIES, durable: bool = False
) -> bool:
    """Add the summaries of a batch to the item log, and tell whether they were new.

    What came with it and is damaged, as text → what is wrong with it, is set aside as quarantined items. What passes,
    such as a lock of others, is tried again up to `tries` times in all, which takes a while. Raises whatever the
    database raises; then nothing was written. Raises RuntimeError within a transaction where it is to be `durable`, as
    whoever then deletes what he brought must know that nothing undoes it.
    """
    try:
        retried(connections[settings.APP_METRICS_DATABASE], partial(_write, batch, damaged, durable), tries)
    except Repeated:
        return False
    return True


def old_rows() -> Any:
    """Return the rows of batches that were written more than a week ago, as a queryset."""
    return LedgerRow.objects.filter(written_at__lt=timezone.now() - timedelta(days=KEPT_DAYS))


def forget_old() -> int:
    """Delete the rows of batches that were written more than a week ago, in small transactions; return how many."""
    old = old_rows()
    deleted = 0
    while chunk := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        deleted += LedgerRow.objects.filter(pk__in=chunk).delete()[0]
    return deleted


def _write(batch: Batch, damaged: Mapping[str, str], durable: bool) -> None:
    alias = settings.APP_METRICS_DATABASE
    with transaction.atomic(using=alias, durable=durable):
        try:
            # First of all: whoever brings the same batch at the same time waits here.
            LedgerRow.objects.create(id=batch.id, written_at=timezone.now())
        except IntegrityError as error:
            raise Repeated from error
        rows, connection = item_rows(batch), connections[alias]
        for first in range(0, len(rows), ITEMS_PER_STATEMENT):
            dialect_for(connection).insert_items(connection, rows[first : first + ITEMS_PER_STATEMENT])
        for payload, reason in damaged.items():
            QuarantinedItem.objects.create(payload=payload.replace("\0", "\\0"), reason=reason)
