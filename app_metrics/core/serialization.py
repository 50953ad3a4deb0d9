"""JSON: batches as text for messages and files, and answers that no browser mistakes for markup."""

import json
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from .batch import Batch, Key, milliseconds_of
from .periods import HOURS, LAST_YEAR
from .plain_text import brief
from .summary import FIELDS, NO_SKETCHES, NUMBER, Summary, from_values, of_kind, to_item_sketches, to_values
from .validation import LAST_SECOND, check_key

# The first value of an encoded batch, in this and all later versions. A process keeps a batch with a higher one until
# it is upgraded, so raise it with every change of what follows, such as a field, a kind or a sketch.
VERSION = 1

# `json.dumps` with options creates an encoder for each call.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

# As in Django's json_script: a browser that mistakes JSON for HTML finds no tag in it.
ESCAPES = {ord(character): f"\\u{ord(character):04X}" for character in "<>&"}


class NewerBatchError(Exception):
    """A newer version of this package has written a batch. It is no ValueError, because the batch is not bad."""


def encode_batch(batch: Batch) -> str:
    """Return a batch as one line of JSON, with a version, exact decimals as digits, and sketches in Base64 if any."""
    rows = [
        [slug, kind, labels, day.isoformat(), hour, *to_values(summary), *_sketches_of(summary)]
        for (slug, kind, labels, day, hour), summary in batch.summaries.items()
    ]
    return _encode([VERSION, str(batch.id), rows])


def decode_batch(text: str) -> Batch:
    """Return the batch that `encode_batch` wrote.

    Raises NewerBatchError for one of a newer version, and ValueError for any other text.
    """
    try:
        version, batch_id, rows = json.loads(text)
        if version != VERSION:
            is_newer = type(version) is int and version > VERSION
            raise newer(version) if is_newer else ValueError(f"its version is {brief(version)}")
        return Batch(dict(map(_decoded, rows)), _read_id(batch_id))
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"This is not a batch of version {VERSION}: {error}") from error


def newer(version: int) -> NewerBatchError:
    text = f"A newer app_metrics wrote this, in format {version} instead of {VERSION}."
    return NewerBatchError(f"{text} It is kept; upgrade app_metrics here.")


def _read_id(text: str) -> UUID:
    found = UUID(text)
    if milliseconds_of(found) > LAST_SECOND * 1000:  # the ids of its items would end beyond those of a UUID
        raise ValueError(f"its id {text} is from after the year {LAST_YEAR}")
    return found


def inert_json(data: Any) -> str:
    """Return data as JSON that no browser mistakes for markup."""
    return json.dumps(data).translate(ESCAPES)


def _decoded(row: Sequence[Any]) -> tuple[Key, Summary]:
    slug, kind, labels, day, hour, *values = row
    values, sketches = values[: len(FIELDS)], values[len(FIELDS) :] or NO_SKETCHES
    whole = [value for field, value in zip(FIELDS, values, strict=True) if field.holds != NUMBER]
    if any(type(number) is not int for number in (hour, *whole)) or hour not in HOURS:
        raise ValueError(f"{brief(hour)} is not an hour of a day, or one of {brief(whole)} is not an integer")
    key = _key(slug, kind, labels, day, hour)
    return key, of_kind(kind, from_values(values, sketches))


def _sketches_of(summary: Summary) -> Sequence[str | None]:
    sketches = to_item_sketches(summary)
    return () if sketches is NO_SKETCHES else sketches


# Batches that are read together have few different keys.
@lru_cache(maxsize=4096)
def _key(slug: str, kind: str, labels: str, day: str, hour: int) -> Key:
    check_key(slug, kind, labels)
    return Key(slug, kind, labels, date.fromisoformat(day), hour)
