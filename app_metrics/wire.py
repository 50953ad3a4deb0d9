"""Batches as text, for messages and files: JSON with a version, numbers as digits."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from .arguments import MAX_LABELS_LENGTH, check_slug
from .summary import (
    EXACT,
    KINDS,
    QUANTUM,
    TOTAL_LIMIT,
    Batch,
    Key,
    Number,
    Summary,
    decode_labels,
    digits,
    encode_labels,
)

VERSION = 1
# Elapsed hours of the longest day there was, and then some.
MAX_HOUR = 47


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
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of metric")
    if any(type(number) is not int for number in (hour, count, last_at)) or not 0 <= hour <= MAX_HOUR or count < 1:
        raise ValueError(f"{hour!r}, {count!r} or {last_at!r} is not a number that fits there")
    if len(labels) > MAX_LABELS_LENGTH or encode_labels(decode_labels(labels)) != labels:
        raise ValueError(f"{labels!r} is not a label set")
    key = Key(check_slug(slug), kind, labels, date.fromisoformat(day), hour)
    return key, Summary(count, _number(total), _number(minimum), _number(maximum), _number(last), last_at)


def _number(text: str) -> Number:
    number = Decimal(text)
    if not -TOTAL_LIMIT < number < TOTAL_LIMIT:
        raise ValueError(f"{text!r:.100} does not fit into a total")
    return EXACT.quantize(number, QUANTUM)
