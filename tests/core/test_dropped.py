"""Dropped events are counted by reason, and each cause is logged once."""

import logging
import threading
from collections import deque
from datetime import timedelta
from functools import partial

from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.core import dropped
from app_metrics.core.dropped import DROPPED_SLUG, drop, drop_batch, take_entries, warn_once
from app_metrics.core.summary import COUNTER
from app_metrics.testing.recorded import capture_metrics


def test_drops_add_up_by_reason_and_are_taken_once():
    drop("one", "a cause")
    drop("two", "a cause", 5)
    drop("one", "another cause", 2)
    taken = [entry[:4] for entry in take_entries()]
    assert taken == [
        (DROPPED_SLUG, COUNTER, '{"reason":"one"}', 3),
        (DROPPED_SLUG, COUNTER, '{"reason":"two"}', 5),
    ]
    assert take_entries() == []


def test_the_next_batch_counts_dropped_events():
    drop("reason", "cause", 3)
    with capture_metrics() as recording:
        with collect():
            pass
        assert recording.total(DROPPED_SLUG, {"reason": "reason"}) == 3
        with collect():
            pass
    assert len(recording.batches) == 1


def test_a_cause_is_logged_when_it_first_occurs(caplog):
    for cause in ["a", "b", "a", "a"]:
        drop("reason", cause)
    assert [(each.name, each.levelno) for each in caplog.records] == [("app_metrics", logging.WARNING)] * 2
    assert caplog.messages == ["Not counted (reason): a", "Not counted (reason): b"]


def test_causes_that_visitors_vary_neither_fill_the_memory_nor_the_log(caplog):
    for number in range(5000):
        drop("reason", f"cause {number} {'x' * 100_000}", source=f"source {number}")
        warn_once(f"cause {number}", source=f"source {number}")
    remembered = [cause for causes in dropped._causes.values() for cause in causes]
    assert len(caplog.records) == len(remembered) < 1000
    assert max(map(len, caplog.messages)) < 500
    assert max(map(len, remembered)) < 500
    assert [number for *_, number, _ in take_entries()] == [5000]


def test_causes_that_visitors_vary_hide_no_problem_of_another_reason_or_source(caplog):
    for number in range(5000):
        drop("varied", f"cause {number}")
        drop("varied", f"cause {number}", source=f"source {number}")
    for drops in (partial(drop, "other"), partial(drop, "varied", source="source 1"), warn_once):
        drops(f"another cause, of {drops}")
        assert f"another cause, of {drops}" in caplog.messages[-1]


def test_the_last_line_of_a_reason_says_that_further_causes_are_not_logged(caplog):
    for number in range(20):
        drop("reason", f"cause {number}")
    says = ["for an hour" in message for message in caplog.messages]
    assert says == [False] * 9 + [True]


def test_after_an_hour_a_cause_is_logged_again(caplog):
    with freeze_time("2026-06-01 12:00") as clock:
        for minutes in (0, 59, 2):
            clock.tick(timedelta(minutes=minutes))
            drop("reason", "cause")
    assert caplog.messages == ["Not counted (reason): cause"] * 2


def test_drops_of_many_threads_add_up():
    taken = []

    def work():
        for _ in range(1000):
            drop("reason", "cause")
            taken.extend(take_entries())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(number for *_, number, _ in [*taken, *take_entries()]) == 8000


def test_a_signal_handler_that_drops_in_the_middle_of_a_drop_does_not_wait_for_it(monkeypatch):
    class Interrupted(deque):
        def append(self, element):
            super().append(element)
            if len(self) == 1:
                drop("nested", "cause")

    monkeypatch.setattr(dropped, "_pending", Interrupted())
    thread = threading.Thread(target=drop, args=("outer", "cause"), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert [entry[2:4] for entry in take_entries()] == [('{"reason":"outer"}', 1), ('{"reason":"nested"}', 1)]


def test_untaken_drops_are_bounded():
    for number in range(50_000):
        drop(f"reason {number % 3}", "cause")
    assert len(dropped._pending) < 2000
    assert sum(number for *_, number, _ in take_entries()) == 50_000


def test_a_lost_batch_counts_its_events_and_the_drops_it_reported():
    drop("earlier", "cause", 40)
    with capture_metrics() as recording, collect():
        metric("a", 1000)
        metric("b")
    drop_batch("later", "cause", recording.batches[0])
    assert [entry[2:4] for entry in take_entries()] == [('{"reason":"later"}', 42)]


def test_a_percent_sign_in_a_cause_is_logged_as_it_is(caplog):
    warn_once("100 % of %s")
    assert caplog.messages == ["100 % of %s"]
