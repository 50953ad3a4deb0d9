"""The autopilot in the processes of real servers: nobody runs a command."""

import contextlib
import shutil
import signal
import sqlite3

import pytest

from tests.support.autopilot_servers import SERVERS, served_on_autopilot
from tests.support.small_server import found, sqlite, visit
from tests.support.waiting import wait_until

QUICK = ("gunicorn gthread", "uvicorn")


def some(servers):
    return [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in servers]


@pytest.fixture
def database(migrated, tmp_path):
    return shutil.copy(migrated, tmp_path)


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
    with served_on_autopilot(server, sqlite(database), tmp_path) as (address, _):
        wait_until(lambda: visits(database) >= 1, 60)  # the request that asked whether the server was ready
        for _ in range(20):
            visit(address)
        wait_until(lambda: counted(database) == (21, True), 60)


def test_a_server_that_is_asked_to_stop_in_the_middle_ends_at_once(database, tmp_path):
    with served_on_autopilot("gunicorn gthread", sqlite(database), tmp_path) as (address, process):
        for _ in range(50):
            visit(address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert visits(database) + found(database).get("visits", 0) == 51
