"""Redis servers: the private one of a test run, and others with custom configurations."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from tests.support import services
from tests.support.servers import Redis, find

_numbers = itertools.count()


def url():
    """Return the URL of the test run's Redis; skip the test if there is none."""
    if services.variable("redis") not in os.environ:
        pytest.skip(f"redis: {services.missing.get('redis', 'no server was started')}")
    return json.loads(os.environ[services.variable("redis")])["URL"]


def new_prefix():
    """Return a key prefix for one test, because other processes run tests at the same time."""
    return f"test-{os.getpid()}-{next(_numbers)}"


class ConfiguredRedis(Redis):
    """A Redis on a TCP port, which a cluster requires."""

    def __init__(self, parent, *options):
        super().__init__(parent)
        self.options = options
        self.port = free_port()

    def command(self):
        return [find("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.options]

    def ping(self):
        return [find("redis-cli"), "-p", str(self.port), "ping"]

    def coordinates(self):
        return {"URL": f"redis://127.0.0.1:{self.port}/0"}

    def start_again(self):
        self.process = self.popen(*self.command())
        self.wait_until_ready()


# A cluster node talks to the other nodes on its own port plus this number.
BUS = 10_000


def free_port():
    """Return a free port for a cluster node, with a free port for its bus."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        # The bus port may be above 65,535 or in use.
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + BUS)):
            return port


@contextlib.contextmanager
def configured(*options):
    """Run a Redis with extra options."""
    url()
    parent = Path(tempfile.mkdtemp(prefix="app_metrics-redis-"))
    parent.chmod(0o755)
    server = ConfiguredRedis(parent, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(parent)


class Proxy:
    """A Unix socket in front of a Redis; it counts requests, and can drop a reply."""

    def __init__(self, folder, target):
        self.path = str(folder / "proxy")
        self.target = target.removeprefix("unix://")
        self.asked = self.connections = 0
        self.loses_answers = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, sink, client), daemon=True).start()

    def _forward(self, source, sink, client):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                # A request may arrive in several pieces; only the first begins with an asterisk and a short first line.
                if source is client:
                    self.asked += data.startswith(b"*")
                elif self.loses_answers:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()
