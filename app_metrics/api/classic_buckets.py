"""The buckets of classic histograms of Prometheus, whose bounds are some of those of our own buckets.

In both, a number that equals an upper bound is in its bucket, so the counts are exact. The bounds never change, because
Prometheus compares the counts of a bucket at different times.
"""

from bisect import bisect_right
from collections.abc import Iterator
from math import inf

from ..core.histogram import SHIFT, SUBDIVISIONS, Histogram, bounds_of
from ..core.summary import DISTRIBUTION, TIMER


def _buckets(first: int, last: int, *, per_doubling: int) -> range:
    """Return our buckets with the bounds from 2^first to 2^last."""
    step = SUBDIVISIONS // per_doubling
    return range(first * SUBDIVISIONS + SHIFT, last * SUBDIVISIONS + SHIFT + 1, step)


# For each kind, the buckets whose upper bounds are exposed: for seconds from about 1 ms to 68 minutes, in steps of the
# square root of two; for numbers of any unit from about 0.001 to 10^12.
EXPOSED = {TIMER: _buckets(-10, 12, per_doubling=2), DISTRIBUTION: _buckets(-10, 40, per_doubling=1)}


def cumulative(kind: str, histogram: Histogram) -> Iterator[tuple[float, int]]:
    """Yield each bound and how many numbers do not exceed it, the last one for infinity."""
    buckets, counts = histogram.cumulative()
    reached = [0, *counts]
    for last in EXPOSED[kind]:
        yield bounds_of(last)[1], reached[bisect_right(buckets, last)]
    yield inf, reached[-1]
