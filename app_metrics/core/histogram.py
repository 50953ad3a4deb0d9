"""Histograms: how many of some numbers lie in each bucket, from which percentiles are read.

The buckets are those of OpenTelemetry's exponential histograms of scale 5, and of Prometheus' native histograms of
schema 5. They never change, so histograms merge by adding the counts of equal buckets, and the result does not depend
on their order. Positive numbers above 2^((i-1)/32) and up to 2^(i/32) share a bucket. Here it has the number i + 957,
so that the smallest number that can be recorded is in bucket 1. Zero is in bucket 0, and a negative number in the
bucket of its opposite with a minus sign. Numbers and buckets have the same order.

Of more than MAX_BUCKETS different buckets, the lowest are added to the lowest of those kept, so only the lowest numbers
lose precision. The highest buckets of several histograms are among the highest of each, so this does not depend on the
order of merging either.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, islice, repeat
from math import ceil, isqrt, ldexp
from operator import sub
from typing import NamedTuple

from .numbers import COUNT_LIMIT, QUANTUM, Number, check_percent, trimmed

# They span 64 doublings, that is a factor of 10**19.
MAX_BUCKETS = 2048
# Buckets per doubling.
SUBDIVISIONS = 32
# Bucket 1 is the one with 10**-9, the last one is that of the numbers just below 10**18.
LOWEST, HIGHEST = -956, 1914
SHIFT = 1 - LOWEST
LAST = HIGHEST + SHIFT
# Numbers at which `settle` puts them into buckets.
FEW = 32
# Numbers of about as many buckets as those of a timer have.
MANY = 200

VERSION = 1
_VARINT = re.compile(rb"[\x80-\xff]*[\x00-\x7f]")
_HEAD = re.compile(rb"%c(%b)(%b)" % (VERSION, _VARINT.pattern, _VARINT.pattern))


def _bounds() -> list[float]:
    """Return the upper bounds of the positive buckets: the largest floats that do not exceed 2^(i/32).

    They are calculated with integers, because the power functions of platforms differ in the last bit.
    """
    roots = [2 ** (SUBDIVISIONS * 52 + part) for part in range(SUBDIVISIONS)]
    for _ in range(5):  # the 32nd root
        roots = [isqrt(root) for root in roots]
    places = (divmod(index, SUBDIVISIONS) for index in range(LOWEST, HIGHEST + 1))
    return [ldexp(roots[part], power - 52) for power, part in places]


BOUNDS = _bounds()
# The position of a positive number among these is its bucket; without the highest, so that it is the last one at most.
_LOWER = [0.0, *BOUNDS[:-1]]


class Bucket(NamedTuple):
    """Count of the numbers above `lower` and up to `upper`; of negative ones, from `lower` on and below `upper`."""

    lower: float
    upper: float
    count: int  # type: ignore[assignment]  # tuple.count is not missed


class Histogram:
    """The number of recorded numbers in each bucket.

    It never changes, except that the `Fold` that has created it adds further numbers.
    """

    __slots__ = ("_counts", "fresh")

    def __init__(self, numbers: Iterable[Number] = (), counts: dict[int, int] | None = None) -> None:
        self._counts: dict[int, int] = {} if counts is None else counts
        # A few numbers that are not in buckets yet, because a single event never needs them. A list, because appending
        # to it is faster than a call of ours.
        self.fresh: list[Number] = [*numbers]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]  # it may change

    def __repr__(self) -> str:
        return f"Histogram(counts={dict(sorted(self.counts.items()))})"

    def __add__(self, other: "Histogram") -> "Histogram":
        counts, others = self.counts, other.counts
        if len(others) > len(counts):
            counts, others = others, counts
        return Histogram(counts=_capped(_added(counts.copy(), others)))

    @property
    def counts(self) -> dict[int, int]:
        """The counts by bucket; do not change them."""
        # Not stored, because threads share the histograms of pending batches.
        return _capped(_added(self._counts.copy(), bucketed(self.fresh))) if self.fresh else self._counts

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def settle(self) -> None:
        """Put appended numbers into buckets if there are many, so that memory does not grow with them."""
        if len(self.fresh) >= FEW:
            self._counts, self.fresh = self.counts, []

    def buckets(self) -> Iterator[Bucket]:
        """Yield the buckets in ascending order, without empty ones."""
        for bucket, count in sorted(self.counts.items()):
            yield Bucket(*bounds_of(bucket), count)

    def percentile(self, percent: int | Decimal | Fraction) -> Decimal | None:
        """Return about the smallest number that at least `percent` per cent of the numbers do not exceed.

        It differs from that number by at most 1.1 %, unless that is in the lowest of MAX_BUCKETS buckets. None if there
        are no numbers. Raises ValueError for a percentage that is none.
        """
        rank = rank_of(percent, self.count)
        buckets, reached = self.cumulative()
        return middle_of(buckets[bisect_left(reached, rank)]) if buckets else None

    def cumulative(self) -> tuple[list[int], list[int]]:
        """Return the buckets in order, and for each how many numbers are in it or in those before."""
        counts = self.counts
        buckets = sorted(counts)
        return buckets, list(accumulate(map(counts.__getitem__, buckets)))

    def encode(self) -> bytes:
        """Return the histogram as bytes, which are equal for equal histograms. Raises ValueError if it is empty.

        They are varints (LEB128): the version; the number of bytes after the next varint; the first bucket, as 2n, or
        as -2n - 1 if it is negative; its count; then, for each further bucket, its distance from the one before and its
        count.
        """
        counts = self.counts
        buckets = sorted(counts)
        pairs = [0] * (2 * len(buckets) - 1)
        pairs[::2], pairs[1::2] = map(counts.__getitem__, buckets), map(sub, buckets[1:], buckets)
        body = bytes(pairs) if max(pairs) < 128 else b"".join(map(_ENCODED.__getitem__, pairs))
        first = 2 * buckets[0] if buckets[0] >= 0 else -2 * buckets[0] - 1
        return _ENCODED[VERSION] + _ENCODED[len(body)] + _ENCODED[first] + body

    @classmethod
    def decode(cls, data: bytes) -> "Histogram":
        """Return the histogram of the bytes of one or more histograms. Raises ValueError for other bytes.

        So histograms can be merged by appending the bytes of one to those of another.
        """
        counts: dict[int, int] = {}
        for part in _parts(data):
            counts = _added(counts, part) if counts else part
        return cls.of(counts)

    @classmethod
    def of(cls, counts: dict[int, int]) -> "Histogram":
        """Return the histogram with stored or sent counts by bucket. Raises ValueError if they are impossible."""
        if not counts or min(counts) < -LAST or max(counts) > LAST:
            raise ValueError(f"{dict(islice(counts.items(), 5))} is not a histogram: it needs buckets within ±{LAST}.")
        if min(counts.values()) < 1 or sum(counts.values()) >= COUNT_LIMIT:
            raise ValueError(f"{dict(islice(counts.items(), 5))} is not a histogram: its counts are wrong.")
        return cls(counts=_capped(counts))


def rank_of(percent: int | Decimal | Fraction, count: int) -> int:
    """Return the place of a percentile among sorted numbers, counted from 1. Raises ValueError for a bad percentage."""
    check_percent(percent)
    return max(1, ceil(Fraction(percent) * count / 100))


def histogram_of(numbers: Iterable[Number | str]) -> Histogram:
    """Return the histogram of some numbers, which may be texts, in buckets at once."""
    return Histogram(counts=_capped(bucketed(numbers)))


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """Return the histogram of all numbers in one or more histograms."""
    if len(histograms) == 1:
        return histograms[0]
    largest, *others = sorted((each.counts for each in histograms), key=len, reverse=True)
    counts = largest.copy()
    for each in others:
        _added(counts, each)
    return Histogram(counts=_capped(counts))


def bucketed(numbers: Iterable[Number | str]) -> dict[int, int]:
    """Return how many of some numbers are in each bucket; texts are read as numbers."""
    # Runs for every event.
    floats = list(map(float, numbers))
    if len(floats) >= MANY:
        floats.sort()
        first, last = bucket_of(floats[0]), bucket_of(floats[-1])
        if first > 0 and last - first < len(floats):
            # Find the bounds among the numbers, because these are more.
            ends = [*map(bisect_right, repeat(floats), _LOWER[first:last]), len(floats)]
            counts = zip(range(first, last + 1), map(sub, ends, [0, *ends]), strict=True)
            return {bucket: count for bucket, count in counts if count}
    if not floats or min(floats) <= 0:
        return _counted(map(bucket_of, floats))
    return _counted(map(bisect_left, repeat(_LOWER), floats))


def bucket_of(number: float) -> int:
    """Return the bucket of a number."""
    if number > 0:
        return bisect_left(_LOWER, number)
    return -bucket_of(-number) if number else 0


def bounds_of(bucket: int) -> tuple[float, float]:
    """Return the bounds of the numbers in a bucket, the lower first."""
    if bucket < 0:
        lower, upper = bounds_of(-bucket)
        return -upper, -lower
    return (BOUNDS[bucket - 2] if bucket > 1 else 0.0, BOUNDS[bucket - 1]) if bucket else (0.0, 0.0)


def middle_of(bucket: int) -> Decimal:
    """Return the number from which the numbers in a bucket differ by 1.1 % at most."""
    if abs(bucket) <= 1:  # it holds a single number
        return Decimal(bucket) * QUANTUM
    lower, upper = bounds_of(bucket)
    return trimmed(Decimal(f"{2 * lower * upper / (lower + upper):.6g}"))


def _counted(buckets: Iterable[int]) -> dict[int, int]:
    counts: dict[int, int] = {}  # a Counter takes longer for a few
    get = counts.get
    for bucket in buckets:
        counts[bucket] = get(bucket, 0) + 1
    return counts


def _added(counts: dict[int, int], others: dict[int, int]) -> dict[int, int]:
    get = counts.get
    for bucket, count in others.items():
        counts[bucket] = get(bucket, 0) + count
    return counts


def _capped(counts: dict[int, int]) -> dict[int, int]:
    if len(counts) <= MAX_BUCKETS:
        return counts
    *low, lowest = sorted(counts)[: 1 - MAX_BUCKETS]
    counts[lowest] += sum(counts.pop(bucket) for bucket in low)
    return counts


class _Encoded(dict[int, bytes]):
    """The varint of each integer; those of two bytes are kept."""

    def __missing__(self, number: int) -> bytes:
        rest, found = number, bytearray()
        while rest > 127:
            found.append(rest & 127 | 128)
            rest >>= 7
        found.append(rest)
        if number < 1 << 14:
            self[number] = bytes(found)
        return bytes(found)


class _Decoded(dict[bytes, int]):
    """The integer of each varint; those of two bytes are kept."""

    def __missing__(self, varint: bytes) -> int:
        number = sum((byte & 127) << 7 * place for place, byte in enumerate(varint))
        if len(varint) < 3:
            self[varint] = number
        return number


_ENCODED, _DECODED = _Encoded(), _Decoded()


def _parts(data: bytes) -> Iterator[dict[int, int]]:
    """Yield the counts by bucket of each histogram of some bytes."""
    place = 0
    while place < len(data):
        head = _HEAD.match(data, place)
        size, first = map(_DECODED.__getitem__, head.groups()) if head else (0, 0)
        end = head.end() + size if head else 0
        body = data[end - size : end]
        pairs = list(body) if body.isascii() else list(map(_DECODED.__getitem__, _VARINT.findall(body)))
        if not size or len(body) < size or body[-1] > 127 or len(pairs) % 2 == 0 or not all(pairs):
            hint = "If a newer version of app_metrics wrote it, upgrade this one."
            raise ValueError(f"{data[:20]!r} is not a histogram of version {VERSION}. {hint}")
        buckets = accumulate(pairs[1::2], initial=first >> 1 ^ -(first & 1))
        yield dict(zip(buckets, pairs[::2], strict=True))
        place = end
