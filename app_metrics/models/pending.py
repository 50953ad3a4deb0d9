"""Batches that are pending outside the database, at the backend's destination, for queries to include."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db.models import BigIntegerField, Case, Value, When

from ..core.batch import Batch, Key
from ..core.dropped import warn_once
from ..core.plain_text import brief
from ..core.sketches import DECODERS, UNREADABLE
from ..core.summary import FIELDS, NAMES, NO_SKETCHES, NUMBER, SKETCHES, Field, Summary
from ..transport.loading import get_backend, load_backend, other_paths
from .aggregates import fetched
from .fields import SketchField
from .ledger import LedgerRow

# Seconds for which a process caches the backend's answer, so that a page asks only once.
CACHE_SECONDS = 1.0
# Seconds for which a destination that did not answer is not asked again, if asking takes time.
RETRY_AFTER = 10.0

_NUMBERS = [field.name for field in FIELDS if field.holds == NUMBER]

Row = tuple[Any, ...]


class PendingBatches(NamedTuple):
    """Batches that were pending when the backend was asked; some may have been written to the database since."""

    batches: Collection[Batch] = ()

    @property
    def summaries(self) -> int:
        """The number of summaries in all batches."""
        return sum(len(batch.summaries) for batch in self.batches)

    def only(self, fits: Callable[[Key], bool]) -> "PendingBatches":
        """Return the batches reduced to the summaries whose keys fit."""
        parts = (
            Batch({key: summary for key, summary in batch.summaries.items() if fits(key)}, batch.id)
            for batch in self.batches
        )
        return PendingBatches([part for part in parts if part.summaries])

    def read(
        self, rows: Any, by: Sequence[str], key_of: Callable[[Key], Row], sketches: Sequence[str] = ()
    ) -> Iterator[tuple[Row, Summary]]:
        """Read a union of querysets; yield the columns `by` and the summary of each row, then of each pending summary.

        The union has the columns `by`, the first of which is never NULL, those of a summary, and those of some
        sketches; `key_of` returns the values of `by` for a pending key. The same statement reads from the ledger which
        batches were written meanwhile, so that nothing is missed or seen twice.
        """
        written = set()
        for row in fetched(self._marked(rows, by, sketches)):
            key = row[: len(by)]
            summary = _stored(row[len(by) :], sketches, key[0])
            if key[0] is None:
                written.add(summary.last_at)
            else:
                yield key, summary
        for index, batch in enumerate(self.batches):
            if index not in written:
                for pending, summary in batch.summaries.items():
                    yield key_of(pending), _as_stored(summary, sketches)

    def _marked(self, rows: Any, by: Sequence[str], sketches: Sequence[str]) -> Any:
        """Return the union with a mark for each batch in the ledger: NULL as its key, its index as `last_at`."""
        if not self.batches:
            return rows
        index = Case(
            *(When(pk=batch.id, then=index) for index, batch in enumerate(self.batches)), output_field=BigIntegerField()
        )
        marks = LedgerRow.objects.filter(pk__in=[batch.id for batch in self.batches]).values_list(
            *[Value(None, BigIntegerField())] * len(by),
            *(index if field.name == "last_at" else Value(0) for field in FIELDS),
            *(Value(None, SketchField()) for _ in sketches),
        )
        return rows.union(marks, all=True)


NOTHING = PendingBatches()


class Answer(NamedTuple):
    """A backend's answer, the monotonic time until which it is kept, and whether it is complete."""

    backend: Any
    until: float
    batches: Collection[Batch]
    is_complete: bool


_latest = Answer(None, 0.0, (), True)


def pending_batches(slugs: Collection[str] | None = None) -> PendingBatches:
    """Return the pending batches of all metrics, or of the ones with these slugs."""
    everything = PendingBatches(_answer().batches)
    if slugs is None or not everything.batches:
        return everything
    return everything.only(lambda key: key.slug in slugs)


def is_complete() -> bool:
    """Return whether queries include everything pending; False if some of it could not be read in time."""
    return _answer().is_complete


def _stored(values: Row, sketches: Sequence[str], of: Any) -> Summary:
    """Return the summary of stored values; a damaged sketch is one that was lost."""
    summary = Summary(*values[: len(FIELDS)])
    if not any(values[len(FIELDS) :]):
        return summary
    found = dict(zip(sketches, values[len(FIELDS) :], strict=True))
    return summary._replace(
        **{field.name: _decoded(field, found[field.name], of) for field in SKETCHES if found.get(field.name)}
    )


def _decoded(field: Field, data: bytes, of: Any) -> Any:
    try:
        return DECODERS[field.holds](data)
    except ValueError as error:
        cause = f"A stored sketch of {of} ({field.name}) cannot be read, so numbers that need it are unknown: {error}"
        warn_once(cause, source=str(of))
        return UNREADABLE[field.holds]


def _as_stored(summary: Summary, sketches: Sequence[str]) -> Summary:
    """Return a summary with the types that a database returns, and some of its sketches."""
    values: Row = summary
    numbers = [Decimal(value) if name in _NUMBERS else value for name, value in zip(NAMES, values, strict=False)]
    return Summary._make([*numbers, *NO_SKETCHES])._replace(**{name: getattr(summary, name) for name in sketches})


def _answer() -> Answer:
    global _latest
    try:
        backend = get_backend()
    except ImproperlyConfigured:  # the check and the health page report it
        return Answer(None, 0.0, (), True)
    if _latest.backend is not backend or time.monotonic() >= _latest.until:
        _latest = _ask(backend)
    return _latest


def _ask(backend: Any) -> Answer:
    batches: dict[UUID, Batch] = {}
    is_complete = True
    for each in (backend, *map(load_backend, other_paths())):
        try:
            batches.update((batch.id, batch) for batch in each.pending())
        except Exception as error:
            is_complete = False
            cause = f"Some pending batches could not be read, so readings are incomplete: {brief(error)}"
            warn_once(cause, source="pending")  # its causes name files, and share no limit with others
    kept = CACHE_SECONDS if is_complete else RETRY_AFTER
    return Answer(backend, time.monotonic() + kept * backend.caches_pending, batches.values(), is_complete)
