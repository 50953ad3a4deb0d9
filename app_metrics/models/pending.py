"""What waits outside the database, at the backend's destination, so that readings can add it to what is stored."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db.models import BigIntegerField, Case, Value, When

from ..core.batch import Batch, Key
from ..transport.loading import get_backend

logger = logging.getLogger("app_metrics")

# Seconds for which a process believes what it was told, so that a page asks once.
BELIEVED = 1.0
# Seconds for which a destination is not asked again that did not answer.
LEFT_ALONE = 10.0
# The count of a row that says which of the held batches the ledger knows.
KNOWN = -1


class PendingBatches(NamedTuple):
    """Batches that wait, and the ledger that knows them once they are brought; none where there is none to ask."""

    batches: Collection[Batch] = ()
    ledger: Any = None

    def only(self, fits: Callable[[Key], bool]) -> "PendingBatches":
        """Return what is held of some keys."""
        parts = (
            Batch({key: summary for key, summary in batch.summaries.items() if fits(key)}, batch.id)
            for batch in self.batches
        )
        return PendingBatches([part for part in parts if part.summaries], self.ledger)

    def marked(self, rows: Any, leading: int) -> Any:
        """Return the union of rows and of marks, which tell what the ledger knows at the same moment.

        The rows are so many leading columns and a summary.
        """
        if not self.batches:
            return rows
        number = Case(
            *(When(pk=batch.id, then=index) for index, batch in enumerate(self.batches)), output_field=BigIntegerField()
        )
        known = self.ledger.filter(pk__in=[batch.id for batch in self.batches]).order_by()
        marks = known.values_list(*[Value(None, BigIntegerField())] * leading, Value(KNOWN), *[Value(0)] * 4, number)
        return rows.union(marks, all=True)

    def added(self, rows: Iterable[Any], shape: Callable[[Key], tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a union without its marks, then, as such rows, what the ledger did not know.

        `shape` begins a row. What was brought before the union's moment is among its rows, and what was not is held:
        nothing is seen twice.
        """
        known = set()
        for row in rows:
            if self.batches and row[-6] == KNOWN:
                known.add(row[-1])
            else:
                yield row
        for index, batch in enumerate(self.batches):
            if index not in known:
                for key, (count, *numbers, last_at) in batch.summaries.items():
                    yield (*shape(key), count, *map(Decimal, numbers), last_at)


NOTHING = PendingBatches()


class Answer(NamedTuple):
    """What a backend said, until when it is believed, and whether it said all."""

    backend: Any
    until: float
    batches: Collection[Batch]
    is_complete: bool


_latest = Answer(None, 0.0, (), True)


def held(ledger: Any, slugs: Collection[str] | None = None) -> PendingBatches:
    """Return what waits of some metrics, or of all; `ledger` is the queryset of the ledger's rows."""
    everything = PendingBatches(_answer().batches, ledger)
    if slugs is None or not everything.batches:
        return everything
    return everything.only(lambda key: key.slug in slugs)


def is_complete() -> bool:
    """Tell whether readings hold all that waits; False where the destination does not answer in time."""
    return _answer().is_complete


def _answer() -> Answer:
    global _latest
    try:
        backend = get_backend()
    except ImproperlyConfigured:  # the check and the health page say so
        return Answer(None, 0.0, (), True)
    if _latest.backend is not backend or time.monotonic() > _latest.until:
        _latest = _asked(backend)
    return _latest


def _asked(backend: Any) -> Answer:
    try:
        batches = backend.pending()
    except Exception as error:
        logger.warning("What waits at the backend's destination is missing from what is shown: %r", error)
        return Answer(backend, time.monotonic() + LEFT_ALONE, (), False)
    return Answer(backend, time.monotonic() + BELIEVED, batches, True)
