"""The thread of the autopilot: what starts it, how long it lives, and where it cannot run."""

import os
import sys
import threading
from types import SimpleNamespace

import pytest
from django.core.signals import request_finished

from app_metrics.autopilot import pilot
from app_metrics.autopilot.pilot import Autopilot, hindrance
from app_metrics.core import test_runs
from tests.support.forking import fork
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _on(settings):
    settings.APP_METRICS_AUTOPILOT = True
    settings.APP_METRICS_AUTOPILOT_INTERVAL = 1


@pytest.fixture
def rounds(monkeypatch):
    """The rounds that were begun, instead of their work."""
    begun = []
    monkeypatch.setattr(pilot, "do_due_jobs", begun.append)
    return begun


@pytest.fixture
def autopilot(rounds):
    made = Autopilot()
    yield made
    made.stop()


def threads():
    return [each for each in threading.enumerate() if each.name == "app_metrics-autopilot"]


def test_a_response_begins_a_round(autopilot, rounds):
    autopilot.wake()
    wait_until(lambda: len(rounds) == 1)


def test_the_end_of_each_request_wakes_it(monkeypatch, autopilot, rounds):
    monkeypatch.setattr(pilot, "_pilot", autopilot)
    pilot.connect()
    request_finished.send(object)
    request_finished.disconnect(autopilot.wake)
    wait_until(lambda: rounds)


def test_many_responses_share_a_thread(autopilot, rounds, settings):
    settings.APP_METRICS_AUTOPILOT_INTERVAL = 3600  # else it may end among them on a machine that stands still
    for _ in range(100):
        autopilot.wake()
    assert len(threads()) == 1


def test_a_response_during_the_pause_brings_another_round(autopilot, rounds):
    autopilot.wake()
    wait_until(lambda: rounds)
    autopilot.wake()
    wait_until(lambda: len(rounds) >= 2)


def test_a_round_follows_the_last_one_that_a_response_began(autopilot, rounds):
    """The first found the lease taken, or was too early for what the process still kept to be written together."""
    autopilot.wake()
    wait_until(lambda: not threads())
    assert len(rounds) == 2


def test_without_responses_the_thread_ends_and_the_next_one_starts_it_again(autopilot, rounds):
    autopilot.wake()
    wait_until(lambda: not threads())
    ended_after = len(rounds)
    autopilot.wake()
    wait_until(lambda: len(rounds) == ended_after + 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced(autopilot, monkeypatch):
    begun = []

    def die(is_stopping):
        begun.append(is_stopping)
        raise SystemExit  # as a receiver of a project's signal may

    monkeypatch.setattr(pilot, "do_due_jobs", die)
    autopilot.wake()
    wait_until(lambda: begun and not threads())
    autopilot.wake()
    wait_until(lambda: len(begun) == 2)


def test_stopping_ends_the_pause(autopilot, rounds, settings):
    settings.APP_METRICS_AUTOPILOT_INTERVAL = 3600
    autopilot.wake()
    wait_until(lambda: rounds)
    autopilot.stop()
    assert not threads()


def test_after_the_stop_no_response_starts_it(autopilot, rounds):
    autopilot.stop()
    autopilot.wake()
    assert not threads()


def test_a_round_can_ask_whether_the_process_ends(autopilot, rounds):
    autopilot.wake()
    wait_until(lambda: rounds)
    before = rounds[0]()
    autopilot.stop()
    assert (before, rounds[0]()) == (False, True)


@pytest.mark.parametrize("state", ["off", "disabled", "in tests"])
def test_it_stays_off(autopilot, rounds, settings, monkeypatch, state):
    settings.APP_METRICS_AUTOPILOT = state != "off"
    settings.APP_METRICS_DISABLED = state == "disabled"
    monkeypatch.setattr(test_runs, "in_tests", lambda: state == "in tests")
    autopilot.wake()
    assert not threads()


def test_a_fork_has_a_thread_of_its_own(autopilot, rounds):
    autopilot.wake()
    wait_until(lambda: rounds)
    child = fork()
    if not child:
        autopilot.wake()
        os._exit(len(threads()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_thread_that_cannot_be_started_is_logged(autopilot, monkeypatch, caplog):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    autopilot.wake()
    assert 'Could not start the autopilot of app_metrics: RuntimeError("can\'t start new thread")' in caplog.text


def test_tenants_need_a_command_each(settings):
    settings.TENANT_APPS = ["app_metrics"]
    assert str(hindrance()) == "Each tenant has its own tables, so each needs its own command."


@pytest.mark.parametrize(
    ("options", "runs"),
    [({}, False), ({"enable-threads": True}, True), ({b"enable-threads": b"true"}, True), ({b"threads": b"4"}, True)],
)
def test_uwsgi_needs_threads(monkeypatch, options, runs):
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options))
    assert (hindrance() == "") == runs


def test_a_module_that_only_stands_in_for_uwsgi_does_not_keep_django_from_starting(monkeypatch):
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace())
    assert hindrance() == ""


def test_uwsgi_without_threads_is_logged(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={}))
    monkeypatch.setattr(pilot, "_pilot", Autopilot())  # goes with the test, unless atexit keeps it
    monkeypatch.setattr(pilot.atexit, "register", lambda act: None)
    pilot.connect()
    assert "uWSGI runs threads only with enable-threads = true. Use cron instead." in caplog.text
