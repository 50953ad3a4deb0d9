"""A histogram gives percentiles within 1.1 %, and merging gives the same bytes in any order."""

import json
import random
from decimal import Decimal
from fractions import Fraction
from math import ceil, ldexp
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_metrics.core.histogram import (
    BOUNDS,
    FEW,
    HIGHEST,
    LAST,
    LOWEST,
    MAX_BUCKETS,
    SHIFT,
    Histogram,
    bounds_of,
    bucket_of,
    merged,
)
from app_metrics.core.numbers import LARGEST

GOLDEN = Path(__file__).with_name("histograms_v1.json")
PERCENTS = (1, 5, 25, 50, 75, 90, 95, 99, Decimal("99.9"), 100)
# The half width of a bucket, in relation to its middle, rounded to six digits.
ERROR = 0.01083 + 5e-6

numbers = st.integers(-LARGEST + 1, LARGEST - 1) | st.decimals(-LARGEST + 1, LARGEST - 1, places=9)


def rounded(number):
    return Decimal(repr(number)).quantize(Decimal("1e-9"))


def exact_percentile(ordered, percent):
    """Return the smallest number that at least `percent` per cent of some ordered numbers do not exceed."""
    return ordered[max(1, ceil(Fraction(percent) * len(ordered) / 100)) - 1]


def lognormal(chance):
    return [rounded(chance.lognormvariate(-2, 1)) for _ in range(5000)]


def bimodal(chance):
    return [rounded(abs(chance.gauss(*chance.choice([(0.01, 0.001), (3, 0.2)])))) for _ in range(5000)]


def constant(chance):
    return [rounded(chance.random())] * 1000


def heavy_tailed(chance):
    return [rounded(min(chance.paretovariate(0.3), 1e17)) for _ in range(5000)]


def cents(chance):
    return [chance.randrange(1, 20000) for _ in range(5000)]


def with_losses(chance):
    return [rounded(chance.gauss(0, 100)) for _ in range(5000)] + [0] * 50


def on_bounds(chance):
    """Numbers at the bounds of buckets, where the error is largest."""
    shift = Decimal("1e-9")
    return [rounded(bound) + sign * shift for bound in chance.sample(BOUNDS[700:1500], 300) for sign in (-1, 0, 1)]


def smallest(chance):
    return [chance.randrange(1, 1000) * Decimal("1e-9") for _ in range(2000)]


SHAPES = (lognormal, bimodal, constant, heavy_tailed, cents, with_losses, on_bounds, smallest)


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_differ_from_the_exact_ones_by_at_most_1_1_per_cent(shape):
    recorded = shape(random.Random(shape.__name__))
    histogram, ordered = Histogram(recorded), sorted(recorded)
    for percent in PERCENTS:
        exact = exact_percentile(ordered, percent)
        assert abs(histogram.percentile(percent) - exact) <= abs(exact) * Decimal(ERROR), percent


@given(st.lists(numbers, min_size=1, max_size=50), st.sampled_from(PERCENTS))
def test_a_percentile_is_in_the_bucket_of_the_exact_one(recorded, percent):
    exact = exact_percentile(sorted(recorded), percent)
    assert bucket_of(float(Histogram(recorded).percentile(percent))) == bucket_of(float(exact))


def test_nothing_has_no_percentiles():
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize("percent", [-1, 101, Decimal("100.1")])
def test_a_percentage_that_is_none_is_refused(percent):
    with pytest.raises(ValueError, match="from 0 to 100"):
        Histogram([1]).percentile(percent)


@given(st.lists(numbers, min_size=2, max_size=20))
def test_buckets_have_the_order_of_their_numbers(recorded):
    buckets = [bucket_of(float(number)) for number in sorted(recorded)]
    assert buckets == sorted(buckets)


def test_a_bound_belongs_to_the_lower_bucket_and_is_the_largest_float_that_does_not_exceed_its_power():
    for index in range(LOWEST, HIGHEST + 1):
        bound, power, part = BOUNDS[index - LOWEST], *divmod(index, 32)
        assert bucket_of(bound) == index + SHIFT
        # Compare the 32nd powers, which are exact.
        scaled = Fraction(bound) / Fraction(2) ** power
        above = Fraction(ldexp(1, -52)) + scaled
        assert scaled**32 <= 2**part < above**32


@pytest.mark.parametrize("number", [Decimal("1e-9"), 1, Decimal("0.412"), LARGEST - 1])
def test_a_negative_number_is_in_the_mirrored_bucket(number):
    bucket = bucket_of(float(number))
    lower, upper = bounds_of(bucket)
    assert lower < number <= upper
    assert bucket_of(-float(number)) == -bucket
    assert bounds_of(-bucket) == (-upper, -lower)


def test_the_smallest_and_the_largest_number_are_in_the_first_and_the_last_bucket():
    assert (bucket_of(1e-9), bucket_of(0), bucket_of(float(LARGEST))) == (1, 0, LAST)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_tree_of_merging_gives_the_same_bytes(shape):
    chance = random.Random(shape.__name__)
    recorded = shape(chance)[:400]
    expected = Histogram(recorded).encode()
    for _ in range(1000 // len(SHAPES)):
        assert merged_somehow(recorded, chance).encode() == expected


def merged_somehow(recorded, chance):
    """Split numbers into parts, and merge these two by two in any order, now and then by way of their bytes."""
    shuffled = chance.sample(recorded, len(recorded))
    cuts = sorted(chance.choices(range(len(recorded) + 1), k=chance.randrange(1, 30)))
    trees = [Histogram(shuffled[first:last]) for first, last in zip([0, *cuts], [*cuts, None], strict=True)]
    while len(trees) > 1:
        left, right = (trees.pop(chance.randrange(len(trees))) for _ in range(2))
        both = left + right
        trees.append(Histogram.decode(both.encode()) if both.count and chance.random() < 0.5 else both)
    return trees[0]


@pytest.mark.parametrize("parts", range(2, 6))
def test_merging_gives_the_same_bytes_beyond_the_largest_number_of_buckets(parts):
    chance = random.Random(parts)
    everything = [bucket * sign for bucket in range(1, LAST + 1) for sign in (-1, 1)]
    pieces = [dict.fromkeys(chance.sample(everything, 2500), 1 + part) for part in range(parts)]
    whole = {bucket: sum(piece.get(bucket, 0) for piece in pieces) for bucket in set().union(*pieces)}
    expected = capped(whole)
    for _ in range(20):
        chance.shuffle(pieces)
        trees = [Histogram.decode(Histogram(counts=capped(piece)).encode()) for piece in pieces]
        while len(trees) > 1:
            trees.append(trees.pop(0) + trees.pop(chance.randrange(len(trees))))
        assert trees[0].counts == expected
    assert len(expected) == MAX_BUCKETS
    assert sum(expected.values()) == sum(whole.values())


def capped(counts):
    kept = sorted(counts)[-MAX_BUCKETS:]
    return {bucket: counts[bucket] for bucket in kept} | {kept[0]: sum(counts[b] for b in counts if b <= kept[0])}


def test_beyond_the_largest_number_of_buckets_only_the_lowest_numbers_lose_precision():
    recorded = [rounded(bound) for bound in BOUNDS if bound > 1e-6] + [Decimal("1e-6")] * 10
    histogram, ordered = Histogram(recorded), sorted(recorded)
    lowest = min(histogram.counts)
    for percent in range(1, 101):
        exact = exact_percentile(ordered, percent)
        assert bucket_of(float(histogram.percentile(percent))) == max(bucket_of(float(exact)), lowest)


@given(st.lists(numbers, min_size=1, max_size=100))
def test_a_histogram_survives_as_bytes(recorded):
    histogram = Histogram(recorded)
    assert Histogram.decode(histogram.encode()) == histogram


@given(st.dictionaries(st.integers(-LAST, LAST), st.integers(1, 2**50), min_size=1, max_size=50))
def test_counts_of_any_size_survive_as_bytes(counts):
    histogram = Histogram(counts=counts)
    assert Histogram.decode(histogram.encode()).counts == counts


def test_the_bytes_of_version_1_are_read_and_written_as_ever():
    for each in json.loads(GOLDEN.read_text()):
        counts = {int(bucket): count for bucket, count in each["counts"].items()}
        assert Histogram.decode(bytes.fromhex(each["bytes"])).counts == counts
        assert Histogram(counts=counts).encode().hex() == each["bytes"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\x01",
        b"\x01\x01\x02",
        b"\x01\x00\x02",
        b"\x02\x01\x02\x01",  # a later version
        b"\x01\x01\x02\x00",  # a count of 0
        b"\x01\x03\x02\x01\x00\x01",  # the same bucket again
        b"\x01\x02\x02\x01\x01",  # a bucket without a count
        b"\x01\x01\x02\x81",  # cut off
        b"\x01\x03\x02\x01\x02",
        b"\x01\x81\x80",
        b"\x01\x01\x02\x01\x01",  # cut off after the first of two
        b"\x01\x01\x02\x01\x02\x01\x02\x01",
        b"\x01\x01\xf0\x2c\x01",  # beyond the last bucket
        b"\x01\x01\xef\x2c\x01",
        b"\x01\x04\x02\x01\xff\x7f\x01",
        b"\x01\x0a\x02" + b"\xff" * 9 + b"\x7f",
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError, match="is not a histogram"):
        Histogram.decode(data)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bytes_of_several_histograms_are_those_of_all_their_numbers(shape):
    chance = random.Random(shape.__name__)
    recorded = shape(chance)[:400]
    cuts = sorted(chance.sample(range(1, len(recorded)), 10))
    parts = [recorded[first:last] for first, last in zip([0, *cuts], [*cuts, None], strict=True)]
    appended = b"".join(Histogram(part).encode() for part in parts)
    assert Histogram.decode(appended).encode() == Histogram(recorded).encode()


def test_an_empty_histogram_has_no_bytes():
    with pytest.raises(ValueError, match="empty"):
        Histogram().encode()


def test_a_histogram_is_small():
    chance = random.Random(1)
    sizes = [
        len(Histogram([rounded(chance.lognormvariate(-2, 1)) for _ in range(n)]).encode()) for n in (1, 100, 10_000)
    ]
    assert sizes[0] == 5
    assert sizes[1] < 160
    assert sizes[2] < 700


def test_appended_numbers_are_put_into_buckets_once_there_are_some():
    histogram = Histogram()
    for number in range(1, 10 * FEW):
        histogram.fresh.append(number)
        histogram.settle()
        assert len(histogram.fresh) < FEW
    assert histogram == Histogram(range(1, 10 * FEW))


def test_merging_changes_neither_part():
    left, right = Histogram([1, 2]), Histogram([2, 3])
    both = merged([left, right])
    assert (left, right) == (Histogram([1, 2]), Histogram([2, 3]))
    assert [bucket.count for bucket in both.buckets()] == [1, 2, 1]
