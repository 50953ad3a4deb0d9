"""Count quarantined items that can be read by now, because a newer version of this package was installed."""

import json
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from ..conf import settings
from ..core.batch import new_batch_id
from ..models import QuarantinedItem
from ..storage.dialects.base import BAD_DATA, ITEM_COLUMNS, SKETCH_COLUMNS, Row
from ..storage.items import append
from .grouping import COLUMNS, sifted

# The columns that are integers; a payload has texts only.
INTEGERS = ("hour", "count", "last_at")


def count_again(quarantined: Iterable[QuarantinedItem]) -> tuple[int, int]:
    """Return items that can be read to the item log; return how many these were, and how many could not be read."""
    returned = [_returned(each) for each in quarantined]
    return sum(returned), len(returned) - sum(returned)


def _returned(quarantined: QuarantinedItem) -> bool:
    try:
        row = _row_of(quarantined.payload)
        if sifted([row])[1]:
            return False
        with transaction.atomic(using=settings.APP_METRICS_DATABASE):
            # Whoever deletes it counts it, so that two people at once do not count it twice.
            if QuarantinedItem.objects.filter(pk=quarantined.pk).delete()[0]:
                append([(f"{new_batch_id().int:032x}", *row)])
    except BAD_DATA:
        return False
    return True


def _row_of(payload: str) -> Row:
    """Return the columns of an item that was quarantined. Raises ValueError if the payload holds something else."""
    values = json.loads(payload)
    # The first release quarantined items without sketches.
    if not isinstance(values, dict) or not values.keys() >= {*COLUMNS} - {*SKETCH_COLUMNS}:
        raise ValueError("The payload is not an item.")
    return tuple(_value(name, values.get(name)) for name in ITEM_COLUMNS[1:])


def _value(name: str, text: Any) -> Any:
    if name in SKETCH_COLUMNS:
        return None if text == "None" else text
    return int(text) if name in INTEGERS else text
