"""Base of the exporters, which send series without hours to other systems and do not feed the totals."""

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

# The maximum number of timings sent for one series of a batch.
MAX_TIMINGS = 1_000


class Series(NamedTuple):
    """The key of a number at the receiver, which has no use for the hour."""

    slug: str
    kind: str
    labels: str


class Exporter(base.MetricsBackend):
    """Base of the backends that send numbers to other systems."""

    def __init__(self) -> None:
        self._label_sets: dict[str, set[str]] = {}

    def series(self, batch: Batch, *, labelled: bool = True) -> dict[Series, Summary]:
        """Return the summary of every series of a batch; use `labelled=False` if the receiver has no labels.

        This process sends at most `APP_METRICS_MAX_LABEL_SETS` label sets of each metric; further ones are added up in
        its overflow series.
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
                f"{type(self).__module__} does not feed the totals, and no other configured backend does.",
                hint='Set APP_METRICS_BACKEND to "app_metrics.backends.composite", and list this backend and '
                '"app_metrics.backends.db" in APP_METRICS_COMPOSITE_BACKENDS.',
                id="app_metrics.W008",
            )
        ]

    def _capped(self, key: Key) -> str:
        if key.labels == NO_LABELS:
            return NO_LABELS
        return cap_labels(key.labels, self._label_sets.setdefault(key.slug, set()), max_label_sets())


def timings_of(slug: str, summary: Summary) -> Iterator[Number]:
    """Yield timings with the count, total, minimum and maximum of a summary: the extremes, then the mean of the rest.

    Yields at most 1,000; further ones are counted as dropped.
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
        cause = f"a batch holds more than {MAX_TIMINGS} timings of {slug}, and an exporter sends no more"
        drop(NOT_EXPORTED, cause, summary.count - MAX_TIMINGS)
