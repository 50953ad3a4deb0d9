"""Compare the sketches of totals with those of a run without faults, byte for byte."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC
from functools import cache
from typing import Any

from app_metrics.core.batch import Fold
from app_metrics.core.hashing import hash_of
from app_metrics.core.labels import NO_LABELS, decode_labels
from app_metrics.core.periods import PERIODS
from app_metrics.core.sketches import DECODERS
from app_metrics.core.summary import SKETCHES, UNIQUE, Summary, merge_all
from tests.soak.faults.journal import SKETCHED, Event, Recorded

# The bytes of each sketch; None for those that a summary does not have.
Bytes = tuple[bytes | None, ...]
# Numbers of one kind, and how often each was recorded.
Numbers = Counter[tuple[str, int]]


def altered(totals: Any, acknowledged: Counter[Recorded], undecided: Counter[Recorded]) -> list[str]:
    """Return what has other sketches than after a run without faults: periods, and a slug and label, or "all".

    As many of the undecided events as were counted may be in a sketch, no matter which.
    """
    recorded, maybe = _by_event(acknowledged), _by_event(undecided)
    wrong = []
    for period in PERIODS:
        counts, sketches = _stored(totals.filter(period=period))
        everything: Numbers = Counter()
        for event in sketches.keys() | recorded.keys() | maybe.keys():
            numbers, found = recorded[event], _merged(sketches[event])
            for more in _choices([*maybe[event].items()], counts[event] - numbers.total()):
                if without_faults(numbers, more) == found:
                    everything += more
                    break
            else:
                wrong.append(f"{period} {event}")
            everything += numbers
        if without_faults(everything) != _merged([each for parts in sketches.values() for each in parts]):
            wrong.append(f"{period} all")
    return wrong


def _by_event(events: Counter[Recorded]) -> dict[Event, Numbers]:
    """Return the numbers of events whose kind has sketches."""
    found: dict[Event, Numbers] = defaultdict(Counter)
    for (slug, event, kind, number), times in events.items():
        if kind in SKETCHED:
            found[slug, event][kind, number] += times
    return found


def _stored(totals: Any) -> tuple[Counter[Event], dict[Event, list[Bytes]]]:
    """Return the counts and the sketches of totals, without those of other kinds."""
    counts: Counter[Event] = Counter()
    sketches: dict[Event, list[Bytes]] = defaultdict(list)
    names = [field.name for field in SKETCHES]
    for slug, labels, count, *columns in totals.values_list("metric__slug", "labels", "count", *names):
        event = slug, decode_labels(labels).get("event")
        counts[event] += count
        if any(columns):
            sketches[event].append(tuple(columns))
    return counts, sketches


def _merged(parts: Iterable[Bytes]) -> Bytes:
    """Return stored sketches as one of each field."""
    columns = list(zip(*parts, strict=True)) or [()] * len(SKETCHES)
    joined = [b"".join(filter(None, column)) for column in columns]
    pairs = zip(SKETCHES, joined, strict=True)
    return tuple(DECODERS[field.holds](data).encode() if data else None for field, data in pairs)


def _choices(numbers: list[tuple[tuple[str, int], int]], size: int) -> Iterator[Numbers]:
    """Yield all choices of so many numbers, which are given with how often each is there."""
    if not numbers:
        if not size:
            yield Counter()
        return
    (number, times), *others = numbers
    for taken in range(min(times, size) + 1):
        for rest in _choices(others, size - taken):
            yield Counter({number: taken}) + rest


def without_faults(*parts: Numbers) -> Bytes:
    """Return the sketches of a run without faults that recorded these numbers."""
    summary = merge_all(filter(None, (_folded(frozenset(numbers.items())) for numbers in parts)))
    sketches = [summary and getattr(summary, field.name) for field in SKETCHES]
    return tuple(sketch and sketch.encode() for sketch in sketches)


@cache
def _folded(numbers: frozenset[tuple[tuple[str, int], int]]) -> Summary | None:
    fold = Fold(UTC, 1)
    for (kind, number), times in numbers:
        for _ in range(times):
            fold.add(("any", kind, NO_LABELS, hash_of(number) if kind == UNIQUE else number, 0.0))
    return merge_all(fold.summaries.values())
