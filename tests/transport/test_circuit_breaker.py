"""When the circuit breaker opens, and when it tries the destination again."""

import pytest

from app_metrics.transport import circuit_breaker
from app_metrics.transport.circuit_breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(circuit_breaker.time, "monotonic", lambda: Clock.now)
    return Clock


def opened():
    found = Breaker()
    for _ in range(FAILURES):
        found.failed()
    return found


def test_it_stays_closed_for_fewer_than_three_consecutive_failures(clock):
    found = Breaker()
    for _ in range(10):
        found.failed()
        found.failed()
        found.succeeded()
    assert found.allows()
    assert not found.is_open


def test_after_three_failures_the_breaker_is_open(clock):
    found = opened()
    assert found.is_open
    assert not found.allows()


def test_after_a_pause_exactly_one_caller_probes(clock):
    found = opened()
    clock.now += FIRST_PAUSE
    assert found.allows()
    assert not found.allows()


def test_the_pause_doubles_with_every_failed_probe_up_to_30_seconds(clock):
    found, pauses = opened(), []
    for _ in range(8):
        pause = 0
        while not found.allows():
            clock.now += 0.5
            pause += 0.5
        pauses.append(pause)
        found.failed()
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_probes_that_hang_block_fewer_and_fewer_callers(clock):
    found, held = opened(), 0
    for _ in range(120):
        clock.now += 1
        held += found.allows()
    assert held == 7  # the pauses are 1, 2, 4, 8, 16, 30 and 30 seconds


def test_a_successful_probe_closes_the_breaker(clock):
    found = opened()
    clock.now += FIRST_PAUSE
    assert found.allows()
    found.succeeded()
    assert [found.allows() for _ in range(5)] == [True] * 5
    for _ in range(FAILURES):
        found.failed()
    clock.now += FIRST_PAUSE
    assert found.allows()
