"""Visitors who leave, and servers that stop, with real servers."""

import contextlib
import os
import shutil
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from scripts.server import HOST
from tests.support.serving import METRICS
from tests.support.small_server import environment, found, served, sqlite
from tests.support.waiting import wait_until

SITE = "tests.support.small_site:asgi"
UVICORN = ("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning", SITE)
HYPERCORN = ("hypercorn", "--bind={bind}", "--log-level=warning", SITE)
DAPHNE = ("daphne", f"--bind={HOST}", "--port={port}", "--verbosity=0", SITE)
# ASGI servers, and where a request waits while its visitor leaves: in a page, or in a middleware around ours or within.
SERVERS = {"uvicorn": UVICORN, "hypercorn": HYPERCORN, "daphne": DAPHNE}
WAITS, AWAITS = "tests.support.small_site.waits", "tests.support.small_site.awaits"
PLACES = {
    "a synchronous view": ("/slow/", [METRICS]),
    "an asynchronous view": ("/aslow/", [METRICS]),
    "a synchronous middleware after": ("/", [METRICS, WAITS]),
    "a synchronous middleware before": ("/", [WAITS, METRICS]),
    "an asynchronous middleware after": ("/", [METRICS, AWAITS]),
    "an asynchronous middleware before": ("/", [AWAITS, METRICS]),
}
# The combination that every test run tries.
QUICK = "a synchronous middleware after"
VISITORS = 8


@pytest.fixture
def database(migrated, tmp_path):
    return shutil.copy(migrated, tmp_path)


@contextlib.contextmanager
def visitor(address, page):
    """Ask for a page, and leave at the end of the block without reading the answer."""
    with socket.create_connection((HOST, urlsplit(address).port), timeout=30) as connection:
        connection.sendall(f"GET {page} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        yield connection


@pytest.mark.parametrize(
    ("server", "place"),
    [
        pytest.param(server, place, marks=() if (server, place) == ("uvicorn", QUICK) else pytest.mark.slow)
        for server in SERVERS
        for place in PLACES
    ],
)
def test_a_visitor_who_leaves_while_the_request_waits_anywhere_is_counted(database, tmp_path, server, place):
    pytest.importorskip(server)
    page, middleware = PLACES[place]
    log, release = tmp_path / "log", tmp_path / "release"
    variables = {**environment(sqlite(database), MIDDLEWARE=middleware), "RELEASE": str(release)}
    release.touch()
    with served(SERVERS[server], variables, log) as (address, _):
        wait_until(lambda: "visits" in found(database), 60)  # the request that asked whether the server was ready
        release.unlink()
        before = log.read_text().count("waits")
        with contextlib.ExitStack() as visitors:
            for _ in range(VISITORS):
                visitors.enter_context(visitor(address, page))
            wait_until(lambda: log.read_text().count("waits") == before + VISITORS, 60)
        with visitor(address, page):  # once it is being answered, the server has seen that the others left
            wait_until(lambda: log.read_text().count("waits") == before + VISITORS + 1, 60)
        release.touch()
        wait_until(lambda: found(database)["visits"] == 1 + VISITORS + 1, 60)


GUNICORN = ("gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", "--workers=1")
APPLICATION = "tests.support.small_site:wsgi"


# uvicorn waits for streams until they end, unless it is told not to.
STOPPING = {**SERVERS, "uvicorn": (*UVICORN, "--timeout-graceful-shutdown=1")}


# https://github.com/pgjones/hypercorn/issues/308
WAITS_FOR_STREAMS = pytest.mark.skipif(sys.version_info >= (3, 12, 1), reason="Hypercorn waits for streams to end")


@contextlib.contextmanager
def stopped_amid_streams(command, database, tmp_path):
    """Ask a server to stop while visitors receive streams; yield it, and the parts that they have received.

    The block ends the server or waits for its end.
    """
    variables, received, log = environment(sqlite(database)), [], tmp_path / "log"
    with (
        ThreadPoolExecutor(3) as pool,  # ends after the server, which ends the streams
        served(command, variables, log) as (address, process),
        streams(address, 3) as visitors,
    ):
        receiving = [pool.submit(count_parts, each, received) for each in visitors]
        wait_until(lambda: len(received) > 30, 60)
        process.send_signal(signal.SIGTERM)
        yield process, received
        for each in receiving:
            each.result(60)


@pytest.mark.parametrize(
    "server",
    [
        "uvicorn",
        pytest.param("daphne", marks=pytest.mark.slow),
        pytest.param("hypercorn", marks=[pytest.mark.slow, WAITS_FOR_STREAMS]),
    ],
)
def test_a_server_that_stops_writes_the_events_of_open_streams(database, tmp_path, server):
    pytest.importorskip(server)
    with stopped_amid_streams(STOPPING[server], database, tmp_path) as (process, received):
        process.wait(60)
    assert found(database)["openings"] == 3
    assert found(database)["parts"] >= len(received)


@pytest.mark.parametrize("server", ["uvicorn", pytest.param("hypercorn", marks=pytest.mark.slow)])
def test_streams_that_a_stopping_server_waits_for_are_written_until_it_is_killed(database, tmp_path, server):
    pytest.importorskip(server)
    with stopped_amid_streams(SERVERS[server], database, tmp_path) as (process, received):
        known = len(received)
        wait_until(lambda: found(database).get("parts", 0) >= known and found(database)["openings"] == 3, 60)
        os.killpg(process.pid, signal.SIGKILL)
    assert found(database)["openings"] == 3
    assert known <= found(database)["parts"] <= len(received) + 3  # each stream may have a part that was never sent


@pytest.mark.parametrize("threads", ["8", pytest.param("1", marks=pytest.mark.slow)])
def test_streams_are_written_before_gunicorn_kills_them(database, tmp_path, threads):
    server = (*GUNICORN, f"--threads={threads}", "--graceful-timeout=1", APPLICATION)
    number = min(int(threads), 3)
    with (
        served(server, environment(sqlite(database)), tmp_path / "log") as (address, process),
        streams(address, number),
    ):
        wait_until(lambda: found(database).get("openings") == number, 60)
        wait_until(lambda: found(database)["parts"] > 50, 60)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert found(database)["openings"] == number


@contextlib.contextmanager
def streams(address, number):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(visitor(address, "/stream/")) for _ in range(number)]


def count_parts(connection, received):
    """Add to a list for each part that arrives until the server ends the connection."""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            received.extend([1] * data.count(b"part\n"))
