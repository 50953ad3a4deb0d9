"""Batches: recorded events, folded by key, on their way to a backend."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, tzinfo
from typing import NamedTuple
from uuid import UUID

from .histogram import Histogram
from .labels import NO_LABELS, cap_labels
from .numbers import Number, exact
from .periods import bucket
from .summary import FIELDS, SKETCHED, UNIQUE, Summary, merge, merge_into, single
from .uniques import Uniques

# One recorded event: slug, kind, canonical labels, number, and Unix time in seconds. The number of a unique count is a
# hash. A plain tuple, because a named one takes several times as long to create, and requests wait for it.
Entry = tuple[str, str, str, Number | float, float]

_PLAIN = len(FIELDS)


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
        self.summaries: dict[Key, Summary] = {}
        self._zone = zone
        self._max_label_sets = max_label_sets
        self._label_sets: dict[str, set[str]] = {}
        # The sketches that this fold has created, and to which it adds.
        self._sketches: list[Histogram | Uniques] = []

    def add(self, entry: Entry) -> None:
        slug, kind, labels, number, at = entry
        added = exact(number)
        number = 1 if kind == UNIQUE else added
        if labels != NO_LABELS:
            labels = self._capped(slug, labels)
        day, hour = bucket(int(at // 1), self._zone)
        # Runs for every event, so it uses plain tuples, which equal named ones but are faster to create, and no
        # merge_into().
        key, one = (slug, kind, labels, day, hour), single(number, at)
        before = self.summaries.get(key)  # type: ignore[call-overload]
        if before is None:
            values = (*one[:_PLAIN], *self._begun(kind, added)) if kind in SKETCHED else one
            self.summaries[Key(*key)] = tuple.__new__(Summary, values)
            return
        self.summaries[key] = merge(before, one)  # type: ignore[index]  # the Key that is there stays
        # The sketches of both summaries.
        if before.histogram is not None:
            before.histogram.fresh.append(added)
        elif before.uniques is not None:
            before.uniques.fresh.add(int(added))

    def settle(self) -> None:
        """Let the sketches summarise what was added, so that memory does not grow with it."""
        for sketch in self._sketches:
            sketch.settle()

    def merge(self, summaries: Mapping[Key, Summary], room: float) -> dict[Key, Summary]:
        """Merge summaries in; return those left out because their key is new and there are `room` summaries already."""
        left: dict[Key, Summary] = {}
        for key, summary in summaries.items():
            labels = self._capped(key.slug, key.labels)
            if labels != key.labels:
                key = key._replace(labels=labels)
            fits = key in self.summaries or len(self.summaries) < room
            merge_into(self.summaries if fits else left, key, summary)
        return left

    def _begun(self, kind: str, number: Number) -> tuple[Histogram | None, Uniques | None]:
        if kind == UNIQUE:
            uniques = Uniques([int(number)])
            self._sketches.append(uniques)
            return None, uniques
        histogram = Histogram([number])
        self._sketches.append(histogram)
        return histogram, None

    def _capped(self, slug: str, labels: str) -> str:
        if labels == NO_LABELS:
            return labels
        return cap_labels(labels, self._label_sets.setdefault(slug, set()), self._max_label_sets)
