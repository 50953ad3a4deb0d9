"""A writer's journal of its batches, and what it implies for the totals.

Each line is written before the next action, so that it survives a kill at any time. A batch is identified by a slug
that is used only in that batch, alone or with a suffix.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

# Seconds for which processes keep trying to drain everything.
PATIENCE = 60

BEGUN, FAILED, ACKNOWLEDGED, ROLLED_BACK = "begun", "failed", "acknowledged", "rolled back"

# A slug and the value of its label `event`, or None.
Event = tuple[str, str | None]


class Recorded(NamedTuple):
    """An event, and what was recorded of it."""

    slug: str
    event: str | None = None
    kind: str = "counter"
    number: int = 1


# The kinds of metrics that have sketches; a test compares them with the sketches that there are.
SKETCHED = ("timer", "distribution", "unique")
# Few, so that the sketch of a total can be compared with each that undecided events allow.
NUMBERS = (-3, 0, 1, 70, 10**12)

# Metrics that all writers record, so that aggregators update the same totals.
SHARED = [f"shared-{number}" for number in range(50)]
# So many of these are also recorded as each kind that has sketches, under a slug of its own.
SHARED_SKETCHES = 5
SHARED_PER_BATCH = 3
UNIQUE_PER_BATCH = 2
EVENTS_PER_BATCH = SHARED_PER_BATCH + UNIQUE_PER_BATCH + 2 * len(SKETCHED)


def make_events(batch: str, random: Random) -> list[Recorded]:
    """Return the events of a batch: some identified by their label, and some of shared metrics."""
    unique = [Recorded(batch, str(event)) for event in range(UNIQUE_PER_BATCH)]
    shared = map(Recorded, random.sample(SHARED, SHARED_PER_BATCH))
    return [*unique, *shared, *make_sketched(batch, "0", random)]


def make_sketched(slug: str, event: str, random: Random) -> list[Recorded]:
    """Return two events of each kind that has sketches: one with this label, and one of a shared metric."""
    return [
        Recorded(f"{name}_{kind}", label, kind, random.choice(NUMBERS))
        for name, label in ((slug, event), (random.choice(SHARED[:SHARED_SKETCHES]), None))
        for kind in SKETCHED
    ]


def batches_of(slugs: Iterable[str]) -> set[str]:
    """Return the batches that recorded these slugs."""
    return {slug.partition("_")[0] for slug in slugs} - {*SHARED}


class Journal:
    """Log to a file what happens to the batches of one process."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._begun: list[str] = []

    def begin(self, batch: str, events: Iterable[Recorded]) -> None:
        self._begun.append(batch)
        self._note(BEGUN, batch, list(events))

    def fail(self, batches: Iterable[str]) -> None:
        """Note a failed attempt; it may have failed before or after the commit."""
        for batch in batches:
            self._note(FAILED, batch)

    def roll_back(self) -> None:
        """Note that nothing begun since the last acknowledgement may be counted."""
        self._end(ROLLED_BACK)

    def acknowledge(self) -> None:
        """Note that everything begun so far must be counted eventually."""
        self._end(ACKNOWLEDGED)

    def _end(self, what: str) -> None:
        for batch in self._begun:
            self._note(what, batch)
        self._begun.clear()

    def _note(self, *line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")  # one write call, so that concurrent lines do not mix


def note_failure(path: str | Path) -> None:
    """Note a failure in the failure file of a journal."""
    with failures_of(path).open("ab", buffering=0) as file:
        file.write(b".")


def failures(path: str | Path) -> int:
    """Return the number of failures noted for a journal."""
    noted = failures_of(path)
    return noted.stat().st_size if noted.exists() else 0


def failures_of(path: str | Path) -> Path:
    return Path(f"{path}.failures")


def counts_of(events: Counter[Recorded]) -> Counter[Event]:
    """Return how often each event is counted."""
    counts: Counter[Event] = Counter()
    for (slug, event, *_), times in events.items():
        counts[slug, event] += times
    return counts


class Account:
    """How often each event was acknowledged, and how many more times it may have been counted.

    A strict account assumes that a batch written again is recognised: only events that were begun and never
    acknowledged are undecided, once each.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self._strict = strict
        self.acknowledged: Counter[Recorded] = Counter()
        self.undecided: Counter[Recorded] = Counter()

    def read(self, path: Path) -> None:
        """Add the journal of a process that has ended."""
        if not path.exists():  # killed before it began
            return
        events: dict[str, list[Recorded]] = {}
        told: dict[str, Counter[str]] = {}
        for what, batch, *rest in map(json.loads, path.read_text().splitlines()):
            if what == BEGUN:
                events[batch] = [Recorded(*each) for each in rest[0]]
            told.setdefault(batch, Counter())[what] += 1
        for batch, begun in events.items():
            if told[batch][ROLLED_BACK]:
                continue
            if told[batch][ACKNOWLEDGED]:
                self.acknowledged.update(begun)
            else:
                self.undecided.update(begun)
            for _ in range(0 if self._strict else told[batch][FAILED]):
                self.undecided.update(begun)
