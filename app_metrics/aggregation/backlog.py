"""The number of items that are not aggregated yet, those outside the database included, and the age of the oldest."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ..core.batch import milliseconds_of
from ..core.validation import LAST_SECOND
from ..models import Item
from ..models.pending import NOTHING, PendingBatches, pending_batches
from ..models.primary import primary


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of pending items, when the oldest was recorded, and those that are pending outside the database."""

    items: int
    oldest: datetime | None
    elsewhere: PendingBatches = NOTHING

    @property
    def stored(self) -> int:
        """The number of pending items in the database."""
        return self.items - self.elsewhere.summaries

    @property
    def age(self) -> float:
        """Seconds since the oldest item was recorded; 0 if there is none."""
        return _age(self.oldest)


def backlog(rows: Any = None) -> Backlog:
    """Return the number of pending items, and when the oldest was recorded.

    They are the rows (default: all that were written), and what is pending at the backend's destination.
    """
    rows = primary(Item.objects) if rows is None else rows
    elsewhere = pending_batches()
    return Backlog(rows.count() + elsewhere.summaries, _oldest(rows, elsewhere), elsewhere)


def oldest_age() -> float:
    """Return the same as `backlog(Item.objects).age`, without counting the items; one query."""
    return _age(_oldest(Item.objects.all(), pending_batches()))


def _age(oldest: datetime | None) -> float:
    return max(0.0, time.time() - oldest.timestamp()) if oldest else 0.0


def _oldest(rows: Any, elsewhere: PendingBatches) -> datetime | None:
    first = rows.order_by("pk").values_list("pk", flat=True).first()
    # Only version 7 holds a time. Another version stands in for an id that is damaged.
    ids = [*([] if first is None else [first]), *(batch.id for batch in elsewhere.batches if batch.id.version == 7)]
    return _made_at(min(ids)) if ids else None


def _made_at(item_id: UUID) -> datetime:
    # A clock may have been ahead of all dates.
    return datetime.fromtimestamp(min(milliseconds_of(item_id) / 1000, LAST_SECOND), UTC)
