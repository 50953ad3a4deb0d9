"""Put aside what is recorded while nothing can be written, and write it together with the next batch.

What is recorded during a write comes from the write itself, such as a project's count of its SQL statements. If that
caused another write at once, writes would never end. Before Django is ready, there is no backend yet.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from django.apps import apps

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Fold
from ..core.dropped import NO_BACKEND, drop_batch
from ..core.forking import after_fork
from .databases import ByDatabase, in_schema
from .merging import MAX_SUMMARIES, Merging

_is_writing: ContextVar[bool] = ContextVar("app_metrics_is_writing", default=False)

_aside = ByDatabase(partial(Merging, MAX_SUMMARIES))

# For batches on their way to a backend, where `writing()` would cost time in every write.
begin_write, end_write = partial(_is_writing.set, True), _is_writing.reset


@contextmanager
def writing() -> Iterator[None]:
    """Put aside what is recorded in the block."""
    token = begin_write()
    try:
        yield
    finally:
        end_write(token)


def is_needed() -> bool:
    """Return whether nothing can be written now."""
    return _is_writing.get() or not apps.ready


def put(batch: Batch) -> None:
    _aside.here().add(batch)


def has_any() -> bool:
    """Return whether anything may have been put aside."""
    return bool(_aside)


def joined(batch: Batch) -> Batch:
    """Return a batch together with what was put aside, under the id of the batch."""
    if not len(_aside.here()):
        return batch
    fold = Fold(time_zone(), max_label_sets())
    for each in (batch, *take()):
        fold.merge(each.summaries, math.inf)
    return Batch(fold.summaries, batch.id)


def take() -> list[Batch]:
    """Take out what was put aside for the current database."""
    return _aside.here().take()


def move(add: Callable[[Batch], object]) -> None:
    """Pass on what was put aside, each batch while what it is added to belongs to its schema."""
    for schema, store in _aside.in_all_schemas():
        with in_schema(schema):
            for batch in store.take():
                add(batch)


def drop() -> None:
    """Drop what was recorded if Django never became ready."""
    for batch in take():
        drop_batch(
            NO_BACKEND, "django.setup() has not finished; call it before the end of every script that records", batch
        )


# The parent process writes what it put aside itself.
after_fork(_aside.clear)
