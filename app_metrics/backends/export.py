"""What exporters share: they send series that know no hours, and bring nothing to the totals."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

from ..conf import max_label_sets
from ..core.batch import Batch, Key
from ..core.dropped import NOT_EXPORTED, drop
from ..core.labels import NO_LABELS, cap_labels
from ..core.numbers import EXACT, Number, add
from ..core.summary import TIMER, Summary, headline, merge_into
from ..transport import base
from ..transport.loading import get_backend

# The most timings of one series that stand for those of a batch.
MAX_TIMINGS = 1_000


class Series(NamedTuple):
    """What a receiver tells numbers apart by; when they were recorded it does not ask."""

    slug: str
    kind: str
    labels: str


class Exporter(base.MetricsBackend):
    """Base of the backends that send numbers to other systems."""

    def __init__(self) -> None:
        self._label_sets: dict[str, set[str]] = {}

    def series(self, batch: Batch, *, labelled: bool = True) -> dict[Series, Summary]:
        """Return the summary of every series of a batch; without labels, where the receiver has none.

        This process names at most `APP_METRICS_MAX_LABEL_SETS` label sets of each metric; more go to its overflow
        series.
        """
        folded: dict[Series, Summary] = {}
        for key, summary in batch.summaries.items():
            series = Series(key.slug, key.kind, self._capped(key) if labelled else NO_LABELS)
            merge_into(folded, series, summary)
        return folded

    def check(self) -> Sequence[CheckMessage]:
        if get_backend().feeds_totals:
            return []
        return [
            CheckWarning(
                f"What {type(self).__module__} sends reaches no totals, and there is no other backend.",
                hint="Let APP_METRICS_BACKEND be the composite one, and name this backend and "
                '"app_metrics.backends.db" in APP_METRICS_COMPOSITE_BACKENDS.',
                id="app_metrics.W008",
            )
        ]

    def _capped(self, key: Key) -> str:
        if key.labels == NO_LABELS:
            return NO_LABELS
        return cap_labels(key.labels, self._label_sets.setdefault(key.slug, set()), max_label_sets())


def timings_of(slug: str, summary: Summary) -> Iterator[Number]:
    """Yield timings that have the count, total, minimum and maximum of a summary: the extremes, and a mean as the rest.

    Beyond 1,000 the rest is dropped.
    """
    yield summary.minimum
    if summary.count > 1:
        yield summary.maximum
    if summary.count > 2:
        yield from _rest(slug, summary)


def _rest(slug: str, summary: Summary) -> Iterator[Number]:
    count = summary.count - 2
    total = EXACT.subtract(summary.total, add(summary.minimum, summary.maximum))
    mean = headline(TIMER, summary._replace(count=count, total=total))
    assert mean is not None
    for _ in range(min(count, MAX_TIMINGS - 2)):
        yield mean
    if summary.count > MAX_TIMINGS:
        cause = f"a batch holds more timings of {slug} than an exporter sends"
        drop(NOT_EXPORTED, cause, summary.count - MAX_TIMINGS)
