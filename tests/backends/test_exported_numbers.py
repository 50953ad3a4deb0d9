"""What exporters make of a summary: numbers with its count, total and extremes, in the buckets of its histogram."""

from decimal import Decimal
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_metrics.backends.export import MAX_NUMBERS, numbers_of
from app_metrics.core.dropped import take_entries
from app_metrics.core.histogram import bounds_of, bucket_of
from app_metrics.core.summary import percentile
from tests.support.summaries import measured, summary_of

NUMBERS = st.decimals(-(10**6), 10**6, places=6) | st.decimals(0, 10, places=3) | st.integers(-5, 5)
# The last of the nine decimal places, to which numbers are rounded.
ROUNDING = 1e-9


def near_bucket(number, bucket):
    lower, upper = bounds_of(bucket)
    return lower - ROUNDING <= number <= upper + ROUNDING


@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_count_and_extremes_are_exact_and_the_total_up_to_rounding(numbers):
    found = list(numbers_of("price", measured(*numbers)))
    assert (len(found), min(found), max(found)) == (len(numbers), min(numbers), max(numbers))
    assert float(sum(found)) == pytest.approx(float(sum(numbers)), abs=len(numbers) * ROUNDING, rel=1e-9)


@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_every_number_is_in_the_bucket_of_a_recorded_one(numbers):
    found = sorted(numbers_of("price", measured(*numbers)))
    for number, recorded in zip(found, sorted(numbers), strict=True):
        assert near_bucket(float(number), bucket_of(float(recorded)))


@pytest.mark.parametrize("number", [Decimal("0.3"), 10**18 - 1, Decimal("-1E-9"), 0])
def test_equal_numbers_stay_as_they_are(number):
    assert list(numbers_of("price", measured(*repeat(number, 9)))) == [number] * 9


def test_three_numbers_stay_as_they_are():
    numbers = [1, 10**17 + 1, 10**18 - 1]
    assert sorted(numbers_of("price", measured(*numbers))) == numbers


def test_percentiles_of_more_numbers_than_are_sent_are_kept():
    numbers = [Decimal(number) ** 2 for number in range(1, 5 * MAX_NUMBERS + 1)]
    found = sorted(numbers_of("price", measured(*numbers)))
    assert len(found) == MAX_NUMBERS
    for percent in (50, 75, 95, 99):
        ours = percentile(measured(*numbers), percent)
        assert float(found[MAX_NUMBERS * percent // 100 - 1]) == pytest.approx(float(ours), rel=0.03)
    assert [entry[3] for entry in take_entries()] == [4 * MAX_NUMBERS]


def test_without_a_histogram_the_numbers_between_the_extremes_are_their_mean():
    assert list(numbers_of("export", summary_of(1, 9, 2, 4))) == [1, 9, 3, 3]
