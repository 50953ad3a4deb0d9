"""The database is unavailable: pages still respond, few threads try it, and in the end everything is counted once."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from scripts.server import HOST
from tests.support.example_site import coordinates
from tests.support.small_server import environment, manage, served, visit
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

GUNICORN = (
    *("gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", "--workers=1", "--threads=2"),
    "--graceful-timeout=120",
    "tests.support.small_site:wsgi",
)


TOTAL = """
SELECT sum(count) FROM app_metrics_total AS total JOIN app_metrics_metric AS metric ON metric.id = total.metric_id
WHERE slug = 'visits' AND period = 'year'
"""


VISITED = "SELECT count(*) FROM app_metrics_item WHERE slug = 'visits'"


class Gate:
    """A TCP port in front of a database's Unix socket, which can be shut in several ways.

    `attempts` is the number of connection attempts while it was shut.
    """

    def __init__(self, upstream):
        self._upstream = upstream
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.mode, self.attempts = "open", 0
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self, mode):
        """`refused` resets connections; `silent` accepts new ones, and forwards nothing on these or the open ones."""
        self.attempts, self.mode = 0, mode
        if mode == "silent":
            self.open.clear()
        else:
            self._reset()

    def reopen(self):
        self.mode = "open"
        self.open.set()

    def close(self):
        self.reopen()
        self._listener.close()
        self._reset()

    def _reset(self):
        for each in self._sockets:
            with contextlib.suppress(OSError):  # it is already closed
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets = []

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self.attempts += self.mode != "open"
                if self.mode == "refused":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._upstream)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def database():
    """The coordinates of a new PostgreSQL database behind a gate, and the gate."""
    server = coordinates("postgresql")
    import psycopg

    name = f"outage_{os.getpid()}"
    place = {"host": server["HOST"], "port": server["PORT"] or None, "user": server["USER"]}
    with psycopg.connect(dbname=server["NAME"], autocommit=True, **place) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        gate = Gate(f"{server['HOST']}/.s.PGSQL.{server['PORT'] or 5432}")
        try:
            yield (
                {
                    "ENGINE": "django.db.backends.postgresql",
                    "NAME": name,
                    "HOST": HOST,
                    "PORT": gate.port,
                    "USER": server["USER"],
                    # Otherwise, a refused client would retry without TLS, and count twice.
                    "OPTIONS": {"connect_timeout": 2, "sslmode": "disable"},
                },
                gate,
            )
        finally:
            gate.close()
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def counted(coordinates, variables):
    """Aggregate, and return the total number of visits."""
    manage(variables, "metrics_aggregate", "--verbosity=0")
    return ask(coordinates, TOTAL)


def ask(coordinates, query):
    import psycopg

    place = {"host": coordinates["HOST"], "port": coordinates["PORT"], "user": coordinates["USER"]}
    with psycopg.connect(dbname=coordinates["NAME"], **place) as connection:
        return connection.execute(query).fetchone()[0]


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("mode", ["refused", "silent"])
def test_a_database_that_is_away_is_left_alone_and_everything_is_counted_once(database, tmp_path, mode, spooled):
    coordinates, gate = database
    options = {"APP_METRICS_SPOOL_DIR": str(tmp_path)} if spooled else {}
    variables = environment(coordinates, **options)
    manage(variables, "migrate", "--verbosity=0")
    with served(GUNICORN, variables, tmp_path / "log") as (address, process):
        wait_until(lambda: ask(coordinates, VISITED) == 1, 60)  # otherwise its write may be cut off, and never end
        gate.shut(mode)
        started = time.monotonic()
        assert {visit(address) for _ in range(200)} == {200}
        wait_until(lambda: gate.attempts >= 2, 60)  # a thread tries after its response
        looks = 1 + int(time.monotonic() - started)
        # Three failures, those that two threads had already begun, and at most one try per second since.
        assert gate.attempts <= 3 + 1 + looks
        if not spooled:
            gate.reopen()
        assert visit(address) == 200
        process.send_signal(signal.SIGTERM)
        process.wait(100)  # gunicorn kills after 120 s
    gate.reopen()
    assert counted(coordinates, variables) == 202  # one request came from the readiness check


def test_a_process_ends_though_its_database_is_silent(database, tmp_path):
    coordinates, gate = database
    variables = environment(coordinates)
    manage(variables, "migrate", "--verbosity=0")
    with served(GUNICORN, variables, tmp_path / "log") as (address, process):
        wait_until(lambda: ask(coordinates, VISITED) == 1, 60)
        gate.shut("silent")
        assert {visit(address) for _ in range(100)} == {200}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0  # gunicorn's default graceful timeout is 30 s


def test_a_database_that_freezes_in_mid_connection_holds_no_visitor_in_the_buffered_mode(database, tmp_path):
    coordinates, gate = database
    variables = environment(coordinates | {"CONN_MAX_AGE": None}, APP_METRICS_FLUSH_INTERVAL=0.1)
    manage(variables, "migrate", "--verbosity=0")
    with served(GUNICORN, variables, tmp_path / "log") as (address, process):
        assert visit(address) == 200
        # After its first write, the thread keeps its connection.
        wait_until(lambda: ask(coordinates, "SELECT count(*) FROM app_metrics_item"), 60)
        gate.shut("silent")
        assert {visit(address) for _ in range(100)} == {200}
        assert gate.attempts == 0
        gate.reopen()
        process.send_signal(signal.SIGTERM)
        process.wait(100)
    assert counted(coordinates, variables) == 102
