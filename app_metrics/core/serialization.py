"""Batches as text, for messages and files: JSON with a version, numbers as digits."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from .batch import Batch, Key
from .numbers import EXACT, QUANTUM, TOTAL_LIMIT, Number, digits
from .periods import HOURS
from .summary import Summary
from .validation import check_key

VERSION = 1


def encode_batch(batch: Batch) -> str:
    """Return a batch as one line of JSON."""
    rows = [
        [slug, kind, labels, day.isoformat(), hour, count, *map(digits, numbers), last_at]
        for (slug, kind, labels, day, hour), (count, *numbers, last_at) in batch.summaries.items()
    ]
    return json.dumps([VERSION, str(batch.id), rows], ensure_ascii=False, separators=(",", ":"))


def decode_batch(text: str) -> Batch:
    """Return what `encode_batch` made text of. Raises ValueError for anything else."""
    try:
        version, batch_id, rows = json.loads(text)
        if version != VERSION:
            raise ValueError(f"version {version!r} is not {VERSION}")
        return Batch(dict(map(_decoded, rows)), UUID(batch_id))
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"This is not a batch of version {VERSION}: {error}") from error


def _decoded(row: Sequence[Any]) -> tuple[Key, Summary]:
    slug, kind, labels, day, hour, count, total, minimum, maximum, last, last_at = row
    check_key(slug, kind, labels)
    if any(type(number) is not int for number in (hour, count, last_at)) or hour not in HOURS or count < 1:
        raise ValueError(f"{hour!r}, {count!r} or {last_at!r} is not a number that fits there")
    key = Key(slug, kind, labels, date.fromisoformat(day), hour)
    return key, Summary(count, _number(total), _number(minimum), _number(maximum), _number(last), last_at)


def _number(text: str) -> Number:
    number = Decimal(text)
    if not -TOTAL_LIMIT < number < TOTAL_LIMIT:
        raise ValueError(f"{text!r:.100} does not fit into a total")
    return EXACT.quantize(number, QUANTUM)
