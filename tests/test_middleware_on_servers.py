"""Visitors who leave, on real servers."""

import contextlib
import socket
import sqlite3
from urllib.parse import urlsplit

import pytest

from scripts.server import HOST
from tests.support.serving import METRICS
from tests.support.small_server import environment, manage, served, sqlite
from tests.support.waiting import wait_until

UVICORN = ("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning", "tests.support.small_site:asgi")
WAITS = "tests.support.small_site.waits"
VISITORS = 8


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "site.sqlite3"
    manage(environment(sqlite(path)), "migrate", "--verbosity=0")
    return path


def found(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT slug, SUM(count) FROM app_metrics_item GROUP BY slug"))


@contextlib.contextmanager
def visitor(address, page):
    """Ask for a page, and leave at the end of the block without reading the answer."""
    with socket.create_connection((HOST, urlsplit(address).port), timeout=30) as connection:
        connection.sendall(f"GET {page} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        yield connection


@pytest.mark.parametrize("position", ["after", pytest.param("before", marks=pytest.mark.slow)])
def test_a_visitor_who_leaves_while_a_synchronous_middleware_works_is_counted_under_uvicorn(
    database, tmp_path, position
):
    log, release = tmp_path / "log", tmp_path / "release"
    middleware = [METRICS, WAITS] if position == "after" else [WAITS, METRICS]
    variables = {**environment(sqlite(database), MIDDLEWARE=middleware), "RELEASE": str(release)}
    release.touch()
    with served(UVICORN, variables, log) as (address, _):
        wait_until(lambda: "visits" in found(database), 60)  # the request that asked whether the server was ready
        release.unlink()
        before = log.read_text().count("waits")
        with contextlib.ExitStack() as visitors:
            for _ in range(VISITORS):
                visitors.enter_context(visitor(address, "/"))
            wait_until(lambda: log.read_text().count("waits") == before + VISITORS, 60)
        with visitor(address, "/"):  # once it is being answered, the server has seen that the others left
            wait_until(lambda: log.read_text().count("waits") == before + VISITORS + 1, 60)
        release.touch()
        wait_until(lambda: found(database)["visits"] == before + VISITORS + 1, 60)
