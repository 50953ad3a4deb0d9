"""Batches: recorded events, folded by key, on their way to a backend."""

import os
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import date, tzinfo
from typing import Any, NamedTuple, Self
from uuid import UUID

from .histogram import Histogram
from .labels import NO_LABELS, OVERFLOW_LABELS, cap_labels
from .numbers import EXACT, Number, exact
from .periods import bucket
from .summary import COUNTER, MICROSECONDS, SKETCHED, UNIQUE, Summary, merge, merge_each_into
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


# The version and the variant of a UUID of version 7, and its random bits without the last 16.
_FIXED_BITS, _RANDOM_BITS = 0x7000_8000_0000_0000_0000, 0x0FFF_3FFF_FFFF_FFFF_0000


def new_batch_id(made_at: int | None = None) -> UUID:
    """Return a version 7 UUID (RFC 9562) with a Unix time in nanoseconds (default: now).

    Its last 16 bits are zero, which leaves room for the ids of its items.
    """
    milliseconds = (time.time_ns() if made_at is None else made_at) // 1_000_000 & (1 << 48) - 1
    return UUID(int=milliseconds << 80 | _FIXED_BITS | int.from_bytes(os.urandom(10)) & _RANDOM_BITS)


def milliseconds_of(batch_id: UUID) -> int:
    """Return the Unix time at which the id of a batch or an item was made."""
    return batch_id.int >> 80


class Batch:
    """The summaries that a scope writes together; counted once, no matter how often they are delivered.

    Their names and the id are made when they are first read, because batches that are merged need neither.
    """

    __slots__ = ("_ids", "_made_at", "_summaries", "rows")

    def __init__(self, summaries: Mapping[Key, Summary], id: UUID | None = None) -> None:  # noqa: A002 - its name
        self._summaries: Mapping[Key, Summary] | None = summaries
        # The same, perhaps without the names of fields: any sequences by any tuples.
        self.rows: Mapping[Any, Any] = summaries
        self._ids = [] if id is None else [id]
        self._made_at = time.time_ns()

    @classmethod
    def of_rows(cls, rows: Mapping[Any, Any]) -> Self:
        """Return a batch of summaries and keys without the names of their fields."""
        batch = cls({})
        batch._summaries, batch.rows = None, rows
        return batch

    @property
    def id(self) -> UUID:
        if not self._ids:
            self._ids.append(new_batch_id(self._made_at))
        return self._ids[0]  # if several threads came here at once, the first id is that of all

    @property
    def summaries(self) -> Mapping[Key, Summary]:
        if self._summaries is None:  # threads that come here at once find equal ones
            self._summaries = _named(self.rows)
        return self._summaries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Batch) and (self.id, self.summaries) == (other.id, other.summaries)

    __hash__ = None  # type: ignore[assignment]  # summaries have none

    def __repr__(self) -> str:
        return f"Batch({self.summaries!r}, {self.id!r})"


def _named(rows: Mapping[Any, Any]) -> dict[Key, Summary]:
    # As Key() and Summary() do, which are functions in Python and take longer.
    return {tuple.__new__(Key, key): tuple.__new__(Summary, row) for key, row in rows.items()}


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
        if self._rows:
            merge_each_into(self._summaries, _named(self._taken_rows()))
        return self._summaries

    def batch(self) -> Batch:
        """Return everything as a batch; the fold takes no further entries then."""
        return Batch(self.summaries) if self._summaries else Batch.of_rows(self._taken_rows())

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
            if number is row[4] and kind == COUNTER and type(row[1]) is int:  # the usual case: another 1
                row[0] += 1
                row[1] += number
                if at > row[5]:
                    row[5] = at
                continue
            count, total, minimum, maximum, _, last_at, histogram, uniques = row
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

    def merge(self, rows: Mapping[Any, Any], room: float) -> dict[Key, Summary]:
        """Merge summaries in, with or without the names of their fields.

        Return those left out because their key is new and there are `room` summaries already.
        """
        merged = self.summaries
        left: dict[Key, Summary] = {}
        for key, row in rows.items():
            slug, kind, labels, day, hour = key
            if labels != NO_LABELS and (capped := self._capped(slug, labels)) != labels:
                key = slug, kind, capped, day, hour
            if key in merged:
                merged[key] = merge(merged[key], row)
            else:
                merge_each_into(merged if len(merged) < room else left, _named({key: row}))
        return left

    def _taken_rows(self) -> dict[Any, list[Any]]:
        rows, self._rows = self._rows, {}
        for row in rows.values():
            row[5] = int(row[5] * MICROSECONDS)
        return rows

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
