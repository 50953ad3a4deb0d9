"""The number of items that are not aggregated yet, and when the oldest was recorded."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from ..models import Item


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of pending items, and when the oldest was recorded."""

    items: int
    oldest: datetime | None

    @property
    def age(self) -> float:
        """Seconds since the oldest item was recorded; 0 if there is none."""
        return max(0.0, time.time() - self.oldest.timestamp()) if self.oldest else 0.0


def backlog() -> Backlog:
    """Return the number of pending items, and when the oldest was recorded."""
    items = Item.objects.count()
    first = Item.objects.order_by("pk").values_list("pk", flat=True).first()
    # The first 48 bits of a UUID of version 7 are milliseconds of Unix time.
    return Backlog(items, None if first is None else datetime.fromtimestamp((first.int >> 80) / 1000, UTC))
