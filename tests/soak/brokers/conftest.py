"""A broker of each kind, and the app of a test on it."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import celery._state
import pytest
from celery import Celery

from tests.soak.brokers.apps import make_app
from tests.soak.brokers.faults import Proxy
from tests.support import services


class Broker(NamedTuple):
    """A private broker: a URL pattern that takes a port, its direct URL, and a function that connects to it."""

    name: str
    pattern: str
    url: str
    connect: Callable[[], socket.socket]


def redis() -> Broker:
    path = services.demand("redis")["HOST"]
    # Redis has 16 databases; each process of a run uses one of the last four.
    number = 12 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4

    def connect() -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(path)
        return connected

    return Broker("redis", f"redis://127.0.0.1:{{}}/{number}", f"redis+socket://{path}?virtual_host={number}", connect)


def rabbitmq() -> Broker:
    place = services.demand("rabbitmq")
    pattern = "amqp://guest:guest@127.0.0.1:{}//"

    def connect() -> socket.socket:
        return socket.create_connection((place["HOST"], int(place["PORT"])))

    return Broker("rabbitmq", pattern, pattern.format(place["PORT"]), connect)


KINDS = {"redis": redis, "rabbitmq": rabbitmq}


@contextmanager
def sharing(exclusively: bool = False) -> Iterator[None]:
    """Hold the RabbitMQ lock, shared or exclusive, so that one process cannot starve the others."""
    with Path(os.environ["APP_METRICS_TEST_DIRECTORY"], "rabbitmq.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH)
        yield


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    found = KINDS[request.param]()
    with sharing():
        yield found


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with closing(Proxy(broker.connect)) as made:
        yield made


@pytest.fixture
def queue() -> str:
    return f"app-metrics-{uuid4().hex}"


@pytest.fixture
def use(queue: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Celery]:
    """Point the project's Celery app at a broker URL, with a timeout that suits slow machines."""
    settings.APP_METRICS_TIMEOUT = 60

    def make(url: str) -> Celery:
        app = make_app(url, queue)
        monkeypatch.setattr(celery._state, "default_app", app)
        monkeypatch.setattr(celery._state._tls, "current_app", None)
        return app

    return make


@pytest.fixture
def app(broker: Broker, use: Callable[[str], Celery]) -> Celery:
    return use(broker.url)


def waiting(app: Celery, queue: str) -> int:
    """Return how many messages a queue holds that no worker has taken; 0 if Redis has no such queue."""
    with app.connection_for_read() as connection:
        try:
            found: Any = connection.default_channel.queue_declare(queue, passive=True)
        except connection.channel_errors:
            return 0
        return int(found.message_count)
