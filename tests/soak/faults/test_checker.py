"""The checker detects a single lost event, and a single event counted twice."""

from collections import Counter

import pytest

from tests.soak.faults.checker import PERIODS, check
from tests.soak.faults.journal import Account, Journal

EVENTS = [("batch-1", str(number)) for number in range(3)]
SHARED = ("shared", None)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("batch-1", [*EVENTS, SHARED])
    return journal


def account(tmp_path, **options):
    account = Account(**options)
    account.read(tmp_path / "journal")
    return account


def totals(*events, **differing):
    return {period: Counter(differing.get(period, events)) for period in PERIODS}


def test_events_counted_once_are_exact(journal, tmp_path):
    journal.acknowledge()
    verdict = check(account(tmp_path), totals(*EVENTS, SHARED))
    assert (verdict.acknowledged, verdict.counted, verdict.undecided) == (4, 4, 0)
    assert verdict.holds
    assert str(verdict) == "exact"


@pytest.mark.parametrize("period", PERIODS)
def test_one_lost_event_is_seen_in_whichever_period_it_is_missing(journal, tmp_path, period):
    journal.acknowledge()
    verdict = check(account(tmp_path), totals(*EVENTS, SHARED, **{period: [*EVENTS[1:], SHARED]}))
    assert (verdict.lost, verdict.doubled, verdict.holds) == (1, 0, False)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("twice", [EVENTS[0], SHARED], ids=["its own", "shared"])
def test_one_doubled_event_is_seen_in_whichever_period_it_is(journal, tmp_path, period, twice):
    journal.acknowledge()
    verdict = check(account(tmp_path), totals(*EVENTS, SHARED, **{period: [*EVENTS, SHARED, twice]}))
    assert (verdict.lost, verdict.doubled, verdict.holds) == (0, 1, False)


def test_a_loss_and_a_doubling_do_not_cancel_out(journal, tmp_path):
    journal.acknowledge()
    verdict = check(account(tmp_path), totals(EVENTS[0], EVENTS[0], EVENTS[1], SHARED))
    assert (verdict.acknowledged, verdict.counted) == (4, 4)
    assert str(verdict) == "lost 1, doubled 1"


def test_unrecorded_events_must_not_be_counted(journal, tmp_path):
    journal.acknowledge()
    assert check(account(tmp_path), totals(*EVENTS, SHARED, ("batch-2", "0"))).doubled == 1


def test_rolled_back_events_must_not_be_counted(journal, tmp_path):
    journal.roll_back()
    assert check(account(tmp_path), totals()).holds
    assert check(account(tmp_path), totals(EVENTS[0])).doubled == 1


@pytest.mark.parametrize(("counted", "settled"), [([], 0), ([*EVENTS, SHARED], 4)], ids=["not counted", "counted"])
def test_unacknowledged_events_may_be_counted_once_or_not(journal, tmp_path, counted, settled):
    verdict = check(account(tmp_path), totals(*counted))
    assert (verdict.holds, verdict.settled) == (True, settled)
    assert str(verdict) == "within undecided (4)"
    assert check(account(tmp_path), totals(*counted, *counted)).doubled == settled


def test_a_lost_answer_may_count_twice_only_as_documented(journal, tmp_path):
    journal.fail(["batch-1"])
    journal.acknowledge()
    twice = totals(*EVENTS, SHARED, *EVENTS, SHARED)
    assert check(account(tmp_path), twice).doubled == 4
    assert check(account(tmp_path, strict=False), twice).holds
    assert check(account(tmp_path, strict=False), totals()).lost == 4
