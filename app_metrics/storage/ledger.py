"""Count a batch once, no matter how often it is delivered: its id and items are stored in one transaction.

All batches from outside the database (Redis, Celery, the spool) are written here. They become items, which the
aggregation adds to the totals like all others.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from ..conf import settings
from ..core.batch import Batch
from ..models import LedgerRow, QuarantinedItem
from ..models.primary import primary
from .dialects.base import BAD_DATA, Row, item_rows
from .items import append, append_apart, ascii_only
from .transactions import TRIES, between_others, retried
from .turns import Turns

# Days for which a repeated batch is recognised. By default, brokers redeliver within an hour.
KEPT_DAYS = 7
# Rows deleted per statement, to keep locks short.
PRUNED_AT_ONCE = 1_000


Store = Callable[[Sequence[Row]], None]


class Repeated(Exception):
    """The batch was counted before."""


def write_once(
    batch: Batch, damaged: Mapping[str, str] = MappingProxyType({}), *, tries: int = TRIES, durable: bool = False
) -> bool:
    """Add the summaries of a batch to the item log; return False if the batch was counted before.

    `damaged` maps texts that came with the batch to what is wrong with them; they become quarantined items. After a
    transient error, such as a lock timeout, the write is retried, up to `tries` tries in all. Raises database errors;
    then nothing was written. With `durable`, raises RuntimeError inside a transaction, so that the caller may safely
    delete its copy of the batch after a return.
    """
    try:
        _write_at_once_or_apart(batch, damaged, tries, durable)
    except Repeated:
        return False
    return True


def old_rows() -> Any:
    """Return the rows of batches that were written more than a week ago, as a queryset."""
    return primary(LedgerRow.objects).filter(written_at__lt=timezone.now() - timedelta(days=KEPT_DAYS))


def forget_old() -> int:
    """Delete the rows of batches that were written more than a week ago, in small transactions; return how many."""
    old = old_rows()
    deleted, turns = 0, Turns(connections[settings.APP_METRICS_DATABASE])
    while chunk := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        with between_others():
            deleted += LedgerRow.objects.filter(pk__in=chunk).delete()[0]
        turns.let_others_write()
    return deleted


def _write_at_once_or_apart(batch: Batch, damaged: Mapping[str, str], tries: int, durable: bool) -> None:
    try:
        retried(partial(_write, append, batch, damaged, durable), tries)
    except BAD_DATA:
        retried(partial(_write, append_apart, batch, damaged, durable), tries)


def _write(store: Store, batch: Batch, damaged: Mapping[str, str], durable: bool) -> None:
    # A durable write is one of a drain; others may have a request that waits.
    with between_others(durable=True) if durable else transaction.atomic(using=settings.APP_METRICS_DATABASE):
        try:
            # First, so that another process that writes the same batch waits here.
            LedgerRow.objects.create(id=batch.id, written_at=timezone.now())
        except IntegrityError as error:
            raise Repeated from error
        store(item_rows(batch))
        for payload, reason in damaged.items():
            QuarantinedItem.objects.create(payload=ascii_only(payload), reason=ascii_only(reason))
