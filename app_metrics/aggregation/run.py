"""Turn items into totals, each exactly once, however often and by however many processes at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.db import connections
from django.utils import timezone

from ..conf import MAX_CHUNK_SIZE, settings
from ..models import AggregationRun
from ..notifications import milestones
from ..storage.dialects.base import BAD_DATA
from ..storage.transactions import retried
from ..storage.turns import Turns
from .chunks import ChunkRunner
from .intake import gather

# Items of a chunk, unless those of the chunk before had so many keys: then most of its time went into their totals, of
# which a longer chunk writes hardly more. One of more keys takes long enough, and as much memory as it should.
USUAL_CHUNK_SIZE = 10_000
KEYS_OF_LONG_CHUNKS = range(100, 3_001)


@dataclass(slots=True)
class Aggregation:
    """The result of one run; `seconds` of wall-clock time, `failures` to move batches to the item log, a line each."""

    items: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def aggregate(*, chunk_size: int | None = None, on_progress: Callable[[int], None] | None = None) -> Aggregation:
    """Add all pending items to their totals, in transactions of up to `chunk_size` items (default: the setting).

    More than 10,000 are taken only if they are likely to belong to few totals.

    It may run at any time and in several processes at once. `on_progress` is called with the number of items after each
    transaction. A row that no total can take is moved to the quarantined items, and the rest goes on. Raises ValueError
    for a bad chunk size and OperationalError when the database stays unavailable; what was committed stays counted.
    """
    limit = checked_chunk_size(chunk_size)
    started = time.monotonic()
    done = Aggregation(failures=gather())
    milestones.remember()
    drain, turns = ChunkRunner(), Turns(connections[settings.APP_METRICS_DATABASE])
    size = usual = min(limit, USUAL_CHUNK_SIZE)
    while True:
        try:
            taken, quarantined, keys = drain.take(size)
        except BAD_DATA:
            if size == 1:  # it cannot even be set aside
                raise
            size = max(1, size // 10)  # close in on the bad row
            continue
        done.items += taken
        done.quarantined += quarantined
        if on_progress:
            on_progress(taken)
        if taken < size:
            break
        turns.give()
        size = min(limit if keys in KEYS_OF_LONG_CHUNKS else usual, size * 10)
    done.seconds = time.monotonic() - started
    retried(connections[settings.APP_METRICS_DATABASE], partial(_note, done))
    milestones.announce()
    return done


def checked_chunk_size(chunk_size: int | None) -> int:
    """Return a good chunk size; the setting stands for None. Raises ValueError for a bad one."""
    chunk_size = settings.APP_METRICS_CHUNK_SIZE if chunk_size is None else chunk_size
    if type(chunk_size) is not int or not 0 < chunk_size <= MAX_CHUNK_SIZE:
        raise ValueError(f"The chunk size is {chunk_size!r}; give a number from 1 to {MAX_CHUNK_SIZE}.")
    return chunk_size


def _note(done: Aggregation) -> None:
    run = {
        "finished_at": timezone.now(),
        "seconds": done.seconds,
        "items": done.items,
        "quarantined": done.quarantined,
    }
    # Not update_or_create: it reads before it writes, which SQLite refuses beside another writer.
    if not AggregationRun.objects.filter(pk=1).update(**run):
        AggregationRun.objects.bulk_create([AggregationRun(pk=1, **run)], ignore_conflicts=True)
