"""Add items to totals, each exactly once, even if several processes do so at the same time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.db import connections
from django.utils import timezone

from ..conf import MAX_CHUNK_SIZE, SETTINGS, settings
from ..models import AggregationRun, QuarantinedItem
from ..models.primary import primary
from ..notifications import milestones
from ..storage.dialects.base import BAD_DATA
from ..storage.items import unknown_columns
from ..storage.transactions import between_others, retried
from ..storage.turns import Turns
from ..transport.aside import writing
from .chunks import ChunkRunner, Taken
from .intake import gather
from .releases import annotate_release

# The usual number of items in a chunk. If the previous chunk had at least MANY_KEYS, most of its time went into writing
# totals, and a longer chunk writes hardly more totals.
USUAL_CHUNK_SIZE = 10_000
MANY_KEYS = 100


@dataclass(slots=True)
class Aggregation:
    """The result of one run; `failures` has one line for each failed move of batches to the item log."""

    items: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def aggregate(*, chunk_size: int | None = None, on_progress: Callable[[int], None] | None = None) -> Aggregation:
    """Add all pending items to their totals, in transactions of up to `chunk_size` items (default: the setting).

    A transaction takes more than 10,000 only if the items probably belong to few totals.

    It may run at any time and in several processes at once. `on_progress` is called with the number of items after each
    transaction. An item that cannot be added to a total is quarantined, and the run continues. Raises ValueError for a
    bad chunk size and OperationalError if the database stays unavailable; what was committed stays counted.
    """
    limit = checked_chunk_size(chunk_size)
    started = time.monotonic()
    before = _quarantined()
    done = Aggregation(failures=gather())
    done.quarantined = max(0, _quarantined() - before)  # less than zero: somebody deletes some just now
    if unknown := unknown_columns():
        # It would delete the items, and what is in these columns with them.
        done.failures.append(
            f"A newer version of app_metrics has migrated the database: {', '.join(unknown)} of the item log is "
            "unknown here. No item was aggregated; all stay pending. Upgrade app_metrics here."
        )
        return done
    milestones.remember()
    turns = Turns(connections[settings.APP_METRICS_DATABASE])
    chunks = ChunkRunner(turns)
    size = turns.fitting(min(limit, USUAL_CHUNK_SIZE))
    while True:
        try:
            with writing():  # a project's count of its SQL statements would be new items in each transaction, for ever
                taken = chunks.take(size)
        except BAD_DATA:
            if size == 1:  # it cannot even be quarantined
                raise
            size = max(1, size // 10)  # close in on the bad row
            continue
        done.items += taken.items
        done.quarantined += taken.quarantined
        if on_progress:
            on_progress(taken.items)
        if taken.items < size:
            break
        turns.let_others_write()
        size = turns.fitting(_next_size(taken, limit, size), size)
    done.seconds = time.monotonic() - started
    retried(partial(_note, done))
    milestones.announce()
    annotate_release()
    return done


def _next_size(taken: Taken, limit: int, size: int) -> int:
    longest = max(taken.room, USUAL_CHUNK_SIZE) if taken.keys >= MANY_KEYS else USUAL_CHUNK_SIZE
    return min(limit, longest, size * 10)


def checked_chunk_size(chunk_size: int | None) -> int:
    """Return the chunk size; None means the setting. Raises ValueError for a bad one."""
    chunk_size = settings.APP_METRICS_CHUNK_SIZE if chunk_size is None else chunk_size
    if not SETTINGS["CHUNK_SIZE"].is_valid(chunk_size):
        raise ValueError(f"The chunk size is {chunk_size!r}; give a number from 1 to {MAX_CHUNK_SIZE}.")
    return chunk_size


def _quarantined() -> int:
    return int(primary(QuarantinedItem.objects).count())


def _note(done: Aggregation) -> None:
    run = {
        "finished_at": timezone.now(),
        "seconds": done.seconds,
        "items": done.items,
        "quarantined": done.quarantined,
    }
    # Not update_or_create: it reads before it writes, which SQLite refuses beside another writer.
    with between_others(savepoint=False):
        if not AggregationRun.objects.filter(pk=1).update(**run):
            AggregationRun.objects.bulk_create([AggregationRun(pk=1, **run)], ignore_conflicts=True)
