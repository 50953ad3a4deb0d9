"""The number of items that are not aggregated yet, and when the oldest was recorded."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..models import Item
from ..models.primary import primary


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of pending items, and when the oldest was recorded."""

    items: int
    oldest: datetime | None

    @property
    def age(self) -> float:
        """Seconds since the oldest item was recorded; 0 if there is none."""
        return max(0.0, time.time() - self.oldest.timestamp()) if self.oldest else 0.0


def backlog(rows: Any = None) -> Backlog:
    """Return the number of pending items (default: all that were written), and when the oldest was recorded."""
    rows = primary(Item.objects) if rows is None else rows
    items = rows.count()
    first = rows.order_by("pk").values_list("pk", flat=True).first()
    # The first 48 bits of a UUID of version 7 are milliseconds of Unix time.
    return Backlog(items, None if first is None else datetime.fromtimestamp((first.int >> 80) / 1000, UTC))
