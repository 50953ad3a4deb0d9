"""The one algebra of the project: entries fold into summaries, and summaries merge into longer spans."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from .periods import bucket

COUNTER, GAUGE, TIMER = KINDS = ("counter", "gauge", "timer")

Number = int | Decimal

# Numbers carry nine decimal places: a timer's nanosecond.
DECIMAL_PLACES = 9
# A stored number has at most 38 digits, so the largest recorded number still adds up 10**11 times.
MAX_DIGITS = 38
LARGEST = 10**18
# What a total's columns can hold lies below these.
COUNT_LIMIT = 2**63
TOTAL_LIMIT = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES)

NO_LABELS = "{}"
# The series into which further label sets of a metric fold once it has its fill of them.
OVERFLOW_LABELS = '{"overflow":"true"}'

MICROSECONDS = 1_000_000

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
QUANTUM = Decimal(1).scaleb(-DECIMAL_PLACES)
_ROUNDING = Context(prec=100)


# One recorded event: slug, kind, canonical labels, number, and Unix time in seconds. A plain tuple, because a
# named one takes several times as long to make, in the visitor's time.
Entry = tuple[str, str, str, Number | float, float]


class Key(NamedTuple):
    """What summaries are told apart by on their way to the totals."""

    slug: str
    kind: str
    labels: str
    day: date
    hour: int


class Summary(NamedTuple):
    """The fold of entries; `last_at`, in microseconds of Unix time, says which `last` is the later one."""

    count: int  # type: ignore[assignment]  # tuple.count is not missed
    total: Number
    minimum: Number
    maximum: Number
    last: Number
    last_at: int


def add(left: Number, right: Number) -> Number:
    """Add exactly, whatever precision the thread's decimal context has."""
    if type(left) is int and type(right) is int:
        return left + right
    return EXACT.add(left, right)


def merge(left: Summary, right: tuple[int, Number, Number, Number, Number, int]) -> Summary:
    """Fold two summaries into one; of two last values at the same microsecond the right one stays."""
    count, total, minimum, maximum, last, last_at = left
    more, amount, lowest, highest, newest, newest_at = right
    if newest_at >= last_at:
        last, last_at = newest, newest_at
    return Summary(
        count + more,
        add(total, amount),
        lowest if lowest < minimum else minimum,
        highest if highest > maximum else maximum,
        last,
        last_at,
    )


def merge_all(summaries: Iterable[Summary]) -> Summary | None:
    """Fold any number of summaries; None when there are none."""
    merged = None
    for summary in summaries:
        merged = summary if merged is None else merge(merged, summary)
    return merged


def headline(kind: str, summary: Summary | None) -> Number | None:
    """Return the one number that stands for a summary: a counter's total, a gauge's last value, a timer's mean.

    None where nothing was recorded; a counter then stands at 0.
    """
    if summary is None:
        return 0 if kind == COUNTER else None
    if kind == TIMER and not summary.count:  # a poisoned item
        return None
    if kind == TIMER:
        return _ROUNDING.quantize(_ROUNDING.divide(summary.total, summary.count), QUANTUM)
    return summary.last if kind == GAUGE else summary.total


def trimmed(number: Decimal) -> Decimal:
    """Return a stored number without zeros behind the point, and without an exponent."""
    whole = number.to_integral_value()
    return whole if whole == number else EXACT.normalize(number)


def digits(number: Number) -> str:
    """Return a number as digits, without an exponent."""
    return str(number) if type(number) is int else f"{number:f}"


def exact(number: Number | float) -> Number:
    """Return an int or Decimal; a float is rounded to nine decimal places from its shortest decimal form."""
    if type(number) is float:
        return Decimal(repr(number)).quantize(QUANTUM, context=_ROUNDING)
    return number  # type: ignore[return-value]


def encode_labels(labels: Mapping[str, str]) -> str:
    """Return the canonical text of a label set, the same whatever the order of its keys."""
    return json.dumps(labels, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if labels else NO_LABELS


def decode_labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = json.loads(text)
    return labels


def readable_labels(text: str) -> dict[str, str]:
    """Return a label set; none of what a poisoned item holds, which waits until an aggregation sets it aside."""
    try:
        labels = decode_labels(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}


def new_batch_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562) whose last 16 bits are zero: room for the ids of its items."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(8), "big")
    return UUID(
        int=(milliseconds & (1 << 48) - 1) << 80
        | 7 << 76
        | (random >> 52) << 64
        | 0b10 << 62
        | (random & (1 << 46) - 1) << 16
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """What a collector hands over when its scope ends; written once, however often it is delivered."""

    summaries: Mapping[Key, Summary]
    id: UUID = field(default_factory=new_batch_id)


class Fold:
    """Entries being folded into summaries, with a bounded number of label sets per metric."""

    def __init__(self, zone: ZoneInfo, max_label_sets: int) -> None:
        self.summaries: dict[Key, Summary] = {}
        self._zone = zone
        self._max_label_sets = max_label_sets
        self._label_sets: dict[str, set[str]] = {}

    def add(self, entry: Entry) -> None:
        slug, kind, labels, number, at = entry
        number = exact(number)
        if labels != NO_LABELS:
            labels = self._capped(slug, labels)
        day, hour = bucket(int(at // 1), self._zone)
        # Plain tuples: named ones take several times as long to make, and equal them.
        key, one = (slug, kind, labels, day, hour), (1, number, number, number, number, int(at * MICROSECONDS))
        before = self.summaries.get(key)  # type: ignore[call-overload]
        if before is None:
            self.summaries[Key(*key)] = Summary(*one)
        else:
            self.summaries[key] = merge(before, one)  # type: ignore[index]  # leaves the key that is there

    def merge(self, summaries: Mapping[Key, Summary], room: float) -> dict[Key, Summary]:
        """Fold summaries in; return those with a new key for which there is no room among so many summaries."""
        left: dict[Key, Summary] = {}
        for key, summary in summaries.items():
            labels = self._capped(key.slug, key.labels)
            if labels != key.labels:
                key = key._replace(labels=labels)
            before = self.summaries.get(key)
            if before is not None:
                self.summaries[key] = merge(before, summary)
            elif len(self.summaries) < room:
                self.summaries[key] = summary
            else:
                left[key] = merge(left[key], summary) if key in left else summary
        return left

    def _capped(self, slug: str, labels: str) -> str:
        if labels == NO_LABELS:
            return labels
        return cap_labels(labels, self._label_sets.setdefault(slug, set()), self._max_label_sets)


def cap_labels(labels: str, known: set[str], limit: int) -> str:
    """Return the label set, noted in `known`, or the overflow series once `known` holds `limit` others."""
    if labels in known or labels == OVERFLOW_LABELS:
        return labels
    if len(known) >= limit:
        return OVERFLOW_LABELS
    known.add(labels)
    return labels
