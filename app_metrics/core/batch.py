"""Batches: recorded events, folded by key, on their way to a backend."""

import os
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, tzinfo
from typing import Any, NamedTuple
from uuid import UUID

from .histogram import Histogram
from .labels import NO_LABELS, OVERFLOW_LABELS, cap_labels
from .numbers import EXACT, Number, exact
from .periods import bucket
from .summary import MICROSECONDS, SKETCHED, UNIQUE, Summary, merge_into
from .uniques import Uniques

# One recorded event: slug, kind, canonical labels, number, and Unix time in seconds. The number of a unique count is a
# hash. A plain tuple, because a named one takes several times as long to create, and requests wait for it.
Entry = tuple[str, str, str, Number | float, float]


class Key(NamedTuple):
    """The metric, label set and hour that a summary belongs to; hours are counted from local midnight."""

    slug: str
    kind: str
    labels: str
    day: date
    hour: int


def new_batch_id() -> UUID:
    """Return a version 7 UUID (RFC 9562); its last 16 bits are zero, which leaves room for the ids of its items."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(8), "big")
    return UUID(
        int=(milliseconds & (1 << 48) - 1) << 80
        | 7 << 76
        | (random >> 52) << 64
        | 0b10 << 62
        | (random & (1 << 46) - 1) << 16
    )


def milliseconds_of(batch_id: UUID) -> int:
    """Return the Unix time at which the id of a batch or an item was made."""
    return batch_id.int >> 80


@dataclass(frozen=True, slots=True)
class Batch:
    """The summaries that a scope writes together; counted once, no matter how often they are delivered."""

    summaries: Mapping[Key, Summary]
    id: UUID = field(default_factory=new_batch_id)


class Fold:
    """Folds entries into summaries, with a bounded number of label sets per metric."""

    def __init__(self, zone: tzinfo, max_label_sets: int) -> None:
        self._zone = zone
        self._max_label_sets = max_label_sets
        # Summaries that still change, by their keys: lists of their values, except that `last_at` is in seconds.
        self._rows: dict[tuple[str, str, str, date, int], list[Any]] = {}
        self._summaries: dict[Key, Summary] = {}
        # The label sets of each metric; None as long as none can have too many.
        self._label_sets: dict[str, set[str]] | None = None
        # The sketches that this fold has created, and to which it adds.
        self._sketches: list[Histogram | Uniques] = []

    @property
    def size(self) -> int:
        """The number of summaries; more if entries of their keys were added after `summaries` was read."""
        return len(self._rows) + len(self._summaries)

    @property
    def summaries(self) -> dict[Key, Summary]:
        rows, self._rows = self._rows, {}
        for row in rows.values():
            row[5] = int(row[5] * MICROSECONDS)
        # As Key() and Summary() do, which are functions in Python.
        found = {tuple.__new__(Key, key): tuple.__new__(Summary, row) for key, row in rows.items()}
        if self._summaries:
            for key, summary in found.items():
                merge_into(self._summaries, key, summary)
        else:
            self._summaries = found
        return self._summaries

    def add(self, entry: Entry) -> None:
        self.drain(deque([entry]))

    def drain(self, entries: deque[Entry]) -> None:  # noqa: C901 - runs for every event, so it calls few functions
        """Fold the entries of a deque and take them out; other threads may do so, too, or append further ones."""
        rows, take, begin, end = self._rows, entries.popleft, 0.0, 0.0
        few = self._max_label_sets - len(self._summaries) if self._label_sets is None else 0
        while entries:
            try:
                slug, kind, labels, number, at = take()
            except IndexError:  # another thread took it
                break
            if not begin <= at < end:  # most events are from the same second as the one before
                begin = at // 1
                end = begin + 1
                day, hour = bucket(int(begin), self._zone)
            if type(number) is float:
                number = exact(number)
            key = slug, kind, labels, day, hour
            row = rows.get(key)
            if row is None and len(rows) >= few and labels != NO_LABELS:  # with fewer rows, there is room for labels
                key = slug, kind, self._capped(slug, labels), day, hour
                row = rows.get(key)
            if row is None:
                row = [1, number, number, number, number, at, None, None]
                if kind in SKETCHED:
                    self._begin_sketch(kind, row)
                rows[key] = row
                continue
            count, total, minimum, maximum, last, last_at, histogram, uniques = row
            if uniques is not None:
                hashed, number = number, 1
            if type(total) is type(number) is int:
                total += number
            else:
                total = EXACT.add(total, number)  # type: ignore[arg-type]  # no float any more
            is_latest = at >= last_at or int(at * MICROSECONDS) == int(last_at * MICROSECONDS)
            # No further calls but the last one: a signal handler, which may raise, interrupts no half of an event.
            row[0] = count + 1
            row[1] = total
            if number is not last:  # the usual case: both are 1
                if number < minimum:
                    row[2] = number
                elif number > maximum:
                    row[3] = number
            if is_latest:
                row[4] = number
                row[5] = at
            if histogram is not None:
                histogram.fresh.append(number)
            elif uniques is not None:
                uniques.fresh.add(hashed)

    def settle(self) -> None:
        """Let the sketches summarise what was added, so that memory does not grow with it."""
        for sketch in self._sketches:
            sketch.settle()

    def merge(self, summaries: Mapping[Key, Summary], room: float) -> dict[Key, Summary]:
        """Merge summaries in; return those left out because their key is new and there are `room` summaries already."""
        merged = self.summaries
        left: dict[Key, Summary] = {}
        for key, summary in summaries.items():
            labels = key.labels if key.labels == NO_LABELS else self._capped(key.slug, key.labels)
            if labels != key.labels:
                key = key._replace(labels=labels)
            fits = key in merged or len(merged) < room
            merge_into(merged if fits else left, key, summary)
        return left

    def _begin_sketch(self, kind: str, row: list[Any]) -> None:
        """Give the row of a first event its sketch; the number of a unique count is a hash, which counts as 1."""
        number = row[1]
        if kind == UNIQUE:
            row[1:5] = 1, 1, 1, 1
            row[7] = Uniques([number])
        else:
            row[6] = Histogram([number])
        self._sketches.append(row[6] or row[7])

    def _capped(self, slug: str, labels: str) -> str:
        if self._label_sets is None:
            self._label_sets = defaultdict(set)
            for known, _, text, *_ in (*self._summaries, *self._rows):
                if text not in (NO_LABELS, OVERFLOW_LABELS):
                    self._label_sets[known].add(text)
        return cap_labels(labels, self._label_sets[slug], self._max_label_sets)
