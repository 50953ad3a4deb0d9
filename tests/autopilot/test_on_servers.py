"""The autopilot in the processes of real servers: nobody runs a command, and numbers are exact in spite of kills."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from functools import partial

import pytest

from scripts.server import HOST
from tests.support.small_server import environment, found, served, sqlite, visit
from tests.support.waiting import wait_until

ASGI, WSGI = "tests.support.small_site:asgi", "tests.support.small_site:wsgi"
GUNICORN = ("gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", WSGI)
SERVERS = {
    "gunicorn sync": (*GUNICORN, "--threads=1"),
    "gunicorn gthread": GUNICORN,
    "gunicorn preloaded": (*GUNICORN, "--preload"),
    "gunicorn gevent": (*GUNICORN, "--worker-class=gevent"),
    "uvicorn": ("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning", "--workers=2", ASGI),
    "daphne": ("daphne", f"--bind={HOST}", "--port={port}", "--verbosity=0", ASGI),
    "hypercorn": ("hypercorn", "--bind={bind}", "--log-level=warning", "--workers=2", ASGI),
    "runserver": ("tests.support.small_site", "runserver", "--noreload", "{bind}"),
}
QUICK = ("gunicorn gthread", "uvicorn")
PACKAGES = {"gunicorn gevent": "gevent", "daphne": "daphne", "hypercorn": "hypercorn"}
# Servers that replace a worker that was killed.
REPLACING = ("gunicorn sync", "gunicorn gthread", "gunicorn preloaded", "gunicorn gevent")


def some(servers):
    return [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in servers]


@pytest.fixture
def database(migrated, tmp_path):
    return shutil.copy(migrated, tmp_path)


@contextlib.contextmanager
def site(server, database, tmp_path, **settings):
    pytest.importorskip(PACKAGES.get(server, "gunicorn"))
    variables = environment(
        sqlite(database), APP_METRICS_AUTOPILOT=True, APP_METRICS_AUTOPILOT_INTERVAL=1, DEBUG=True, **settings
    )
    with served(SERVERS[server], variables, tmp_path / "log") as (address, process):
        yield address, process


def visits(database):
    """Return how many visits the totals of days hold."""
    rows = """SELECT SUM(count) FROM app_metrics_total JOIN app_metrics_metric AS metric ON metric.id = metric_id
              WHERE period = 'day' AND slug = 'visits'"""
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        return connection.execute(rows).fetchone()[0] or 0


def counted(database):
    """Return how many visits are in totals, and whether none are pending."""
    return visits(database), not found(database)


@pytest.mark.parametrize("server", some(SERVERS))
def test_totals_follow_the_last_response_within_the_interval(database, tmp_path, server):
    with site(server, database, tmp_path) as (address, _):
        wait_until(lambda: visits(database) >= 1, 60)  # the request that asked whether the server was ready
        for _ in range(20):
            visit(address)
        wait_until(lambda: counted(database) == (21, True), 60)


@pytest.mark.parametrize("server", some(REPLACING))
def test_workers_that_are_killed_lose_and_double_nothing(database, tmp_path, server):
    with site(server, database, tmp_path) as (address, process):
        for answered in range(11, 132, 10):
            for _ in range(10):
                visit(address)
            # A visitor has the answer before the event is written.
            wait_until(partial(has_recorded, database, answered), 60)
            kill_one(process.pid)
        visit(address)
        wait_until(lambda: counted(database) == (132, True), 60)


def has_recorded(database, number):
    """Return whether so many visits are in totals or pending; an aggregation may be moving some of them."""
    return visits(database) + found(database).get("visits", 0) == number


def kill_one(parent):
    children = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout.split()
    if children:
        with contextlib.suppress(ProcessLookupError):  # one that was killed before, and is gone by now
            os.kill(int(random.choice(children)), signal.SIGKILL)


def test_a_server_that_is_asked_to_stop_in_the_middle_ends_at_once(database, tmp_path):
    with site("gunicorn gthread", database, tmp_path) as (address, process):
        for _ in range(50):
            visit(address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert visits(database) + found(database).get("visits", 0) == 51
