"""What a writer knows of its batches, line by line, and what follows for the totals.

A line is written before the next thing is done, so that it is there whenever the writer is killed. A batch goes by the
name of a slug that nothing else is recorded under.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

# Seconds that processes go on trying to bring home what waits.
PATIENCE = 60

BEGUN, FAILED, ACKNOWLEDGED, ROLLED_BACK = "begun", "failed", "acknowledged", "rolled back"

# A slug and the value of its label `event`, None without one.
Event = tuple[str, str | None]

# Metrics that all writers add to, so that aggregators meet in the same totals.
SHARED = [f"shared-{number}" for number in range(50)]
SHARED_PER_BATCH = 5
UNIQUE_PER_BATCH = 3
EVENTS_PER_BATCH = SHARED_PER_BATCH + UNIQUE_PER_BATCH


def make_events(batch: str, random: Random) -> list[Event]:
    """Return what a batch consists of: events that are known by their labels, and some of shared metrics."""
    unique = [(batch, str(event)) for event in range(UNIQUE_PER_BATCH)]
    return [*unique, *((slug, None) for slug in random.sample(SHARED, SHARED_PER_BATCH))]


class Journal:
    """Note in a file what becomes of the batches of one process."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._begun: list[str] = []

    def begin(self, batch: str, events: Iterable[Event]) -> None:
        self._begun.append(batch)
        self._note(BEGUN, batch, list(events))

    def fail(self, batches: Iterable[str]) -> None:
        """Note an attempt that failed; whether it did before or after it was committed, nobody knows."""
        for batch in batches:
            self._note(FAILED, batch)

    def roll_back(self) -> None:
        """Note that nothing of what was begun since the last acknowledgement may be counted."""
        self._end(ROLLED_BACK)

    def acknowledge(self) -> None:
        """Note that all that was begun is where it is counted from, sooner or later."""
        self._end(ACKNOWLEDGED)

    def _end(self, what: str) -> None:
        for batch in self._begun:
            self._note(what, batch)
        self._begun.clear()

    def _note(self, *line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")  # in one piece, whoever else appends


def note_failure(path: str | Path) -> None:
    """Note that something failed that belongs to a journal."""
    with failures_of(path).open("ab", buffering=0) as file:
        file.write(b".")


def failures(path: str | Path) -> int:
    """Return how often something failed that belongs to a journal."""
    noted = failures_of(path)
    return noted.stat().st_size if noted.exists() else 0


def failures_of(path: str | Path) -> Path:
    return Path(f"{path}.failures")


class Account:
    """How often each event was acknowledged, and how often more it may have been counted.

    A strict one takes it that a batch is recognised when it comes again: then only what was begun and never
    acknowledged is undecided, once.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self._strict = strict
        self.acknowledged: Counter[Event] = Counter()
        self.undecided: Counter[Event] = Counter()

    def read(self, path: Path) -> None:
        """Add the journal of a process that has ended."""
        if not path.exists():  # it was killed before it began
            return
        events: dict[str, list[Event]] = {}
        told: dict[str, Counter[str]] = {}
        for what, batch, *rest in map(json.loads, path.read_text().splitlines()):
            if what == BEGUN:
                events[batch] = [(slug, event) for slug, event in rest[0]]
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
