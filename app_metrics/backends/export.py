"""Base of the exporters, which send series without hours to other systems and do not feed the totals."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import repeat
from math import fsum
from typing import NamedTuple

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

from ..conf import max_label_sets
from ..core.batch import Batch, Key
from ..core.dropped import NOT_EXPORTED, drop
from ..core.histogram import bounds_of
from ..core.labels import NO_LABELS, cap_labels
from ..core.numbers import EXACT, QUANTUM, ROUNDING, Number, add, trimmed
from ..core.summary import TIMER, Summary, headline, merge_into, whole_histogram
from ..transport import base
from ..transport.loading import get_backend

# The maximum number of numbers sent for one series of a batch.
MAX_NUMBERS = 1_000


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


def numbers_of(slug: str, summary: Summary) -> Iterator[Number]:
    """Yield numbers with the count, total, minimum and maximum of a summary: the extremes, then the rest by size.

    Each of the rest is in the bucket of the histogram in which a recorded number was. Without a histogram, all of them
    are their mean. Yields at most 1,000 numbers; further ones are counted as dropped.
    """
    yield summary.minimum
    if summary.count > 1:
        yield summary.maximum
    if summary.count > 2:
        yield from _rest(summary)
    if summary.count > MAX_NUMBERS:
        cause = f"a batch holds more than {MAX_NUMBERS} numbers of {slug}, and an exporter sends no more"
        drop(NOT_EXPORTED, cause, summary.count - MAX_NUMBERS)


def _rest(summary: Summary) -> Iterator[Number]:
    count = summary.count - 2
    total = EXACT.subtract(summary.total, add(summary.minimum, summary.maximum))
    mean = headline(TIMER, summary._replace(count=count, total=total))
    assert mean is not None
    kept = min(count, MAX_NUMBERS - 2)
    if kept == 1 or not whole_histogram(summary):
        yield from repeat(mean, kept)
        return
    for number in _spread([_limits(summary, bucket) for bucket in _buckets(summary, kept)], float(mean) * kept):
        yield min(max(number, summary.minimum), summary.maximum)  # floats of large numbers are rounded


def _buckets(summary: Summary, kept: int) -> Iterator[int]:
    """Yield the buckets of that many of the numbers between the extremes, at equal distances among them."""
    assert summary.histogram is not None
    buckets, reached = summary.histogram.cumulative()
    for place in range(kept):
        yield buckets[bisect_right(reached, 1 + (2 * place + 1) * (summary.count - 2) // (2 * kept))]


def _limits(summary: Summary, bucket: int) -> tuple[float, float]:
    lower, upper = bounds_of(bucket)
    return max(lower, float(summary.minimum)), min(upper, float(summary.maximum))


def _spread(limits: Sequence[tuple[float, float]], total: float) -> Iterator[Number]:
    """Yield a number within each of these limits; all at the same part of the way, so that they have this total."""
    least, most = (fsum(each) for each in zip(*limits, strict=True))
    # Beyond the limits, if the numbers are not all, or the lowest ones share a bucket.
    part = min(max((total - least) / (most - least), 0), 1) if most > least else 0
    for lower, upper in limits:
        yield trimmed(ROUNDING.quantize(Decimal(lower + part * (upper - lower)), QUANTUM))
