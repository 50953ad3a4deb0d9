"""The comparison of sketches detects a single number that is missing, or that is there twice."""

from collections import Counter

import pytest

from app_metrics import collect
from app_metrics.aggregation.run import aggregate
from app_metrics.core.hashing import hash_of
from app_metrics.core.histogram import Histogram
from app_metrics.core.summary import KINDS, SKETCHES
from app_metrics.core.uniques import Uniques
from app_metrics.models import Total
from tests.soak.faults.journal import SKETCHED, Recorded
from tests.soak.faults.sketches import altered, without_faults
from tests.soak.workers import record

OWN = Recorded("batch-1_timer", "0", "timer", 70)
SHARED = [Recorded("shared-0_timer", None, "timer", number) for number in (0, 1, 70)]
USERS = [Recorded("shared-0_unique", None, "unique", number) for number in (0, 1, 1, 70)]
EVENTS = [OWN, *SHARED, Recorded("batch-1", "0"), *USERS]


@pytest.fixture(autouse=True)
def totals(db):
    with collect():
        record(EVENTS)
    aggregate()


def found(acknowledged, undecided=()):
    return altered(Total.objects, Counter(acknowledged), Counter(undecided))


def change(slug, histogram, **filters):
    assert Total.objects.filter(metric__slug=slug, **filters).update(histogram=histogram)


def change_users(*numbers):
    found = Total.objects.filter(metric__slug=USERS[0].slug, period="day")
    assert found.update(uniques=Uniques(map(hash_of, numbers)).encode())


def test_the_kinds_that_are_recorded_have_all_sketches():
    sketches = {kind: without_faults(Counter([(kind, 1)])) for kind in KINDS}
    assert {kind for kind, found in sketches.items() if any(found)} == {*SKETCHED}
    assert all(map(any, zip(*sketches.values(), strict=True)))
    assert all(len(found) == len(SKETCHES) for found in sketches.values())


def test_sketches_of_what_was_recorded_hold():
    assert found(EVENTS) == []


@pytest.mark.parametrize("numbers", [[], [1], [70, 70]], ids=["missing", "another", "doubled"])
@pytest.mark.parametrize("period", ["hour", "year"])
def test_one_wrong_number_is_seen_in_whichever_period_it_is(period, numbers):
    change(OWN.slug, Histogram(numbers).encode() if numbers else None, period=period)
    assert found(EVENTS) == [f"{period} {(OWN.slug, '0')}", f"{period} all"]


def test_numbers_that_two_totals_have_swapped_are_seen():
    change(OWN.slug, Histogram([0]).encode())
    change(SHARED[0].slug, Histogram([70, 1, 70]).encode())
    assert len(found(EVENTS)) == 10


def test_parts_that_are_not_merged_yet_are_those_of_one_sketch():
    change(SHARED[0].slug, Histogram([70]).encode() + Histogram([0, 1]).encode())
    assert found(EVENTS) == []


@pytest.mark.parametrize("numbers", [[0, 1], [0, 1, 71], [0, 1, 70, 71]], ids=["missing", "another", "additional"])
def test_one_wrong_hash_is_seen(numbers):
    change_users(*numbers)
    assert found(EVENTS) == ["day ('shared-0_unique', None)", "day all"]


def test_a_hash_of_an_undecided_event_may_be_there_or_not():
    others = [each for each in EVENTS if each not in USERS]
    assert found([*others, *USERS[:3]], USERS[3:]) == []
    change_users(0, 1)
    assert found([*others, *USERS[:3]], USERS[2:]) == []


def test_undecided_numbers_may_be_there_or_not_as_the_count_says():
    assert found(EVENTS[:2], EVENTS[2:]) == []
    assert found(EVENTS, SHARED) == []
    assert found(EVENTS[:2], [*EVENTS[2:], *EVENTS]) == []
    assert found(EVENTS[2:], [SHARED[1], OWN]) != []


def test_a_counter_must_have_no_sketch():
    change("batch-1", Histogram([1]).encode())
    assert len(found(EVENTS)) == 10
