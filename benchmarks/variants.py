"""What may count the requests of the measured site, and how each is asked how many it counted."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

Environment = dict[str, str]


class Subject(NamedTuple):
    """A site's environment; how many requests it counted, once it has ended; whether it counts any at all."""

    environment: Environment
    counted: Callable[[], int]
    counts: bool = True


class Unmeasured(Exception):
    """A variant cannot be measured here; the message says why."""


Variant = Callable[[Environment, Path], AbstractContextManager[Subject]]


def django(environment: Environment, *arguments: str) -> str:
    """Run a management command of the measured site and return what it prints."""
    command = [sys.executable, "-m", "django", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout


def totals(environment: Environment) -> int:
    """Return how many requests are in the totals, of which an aggregation brings what waits."""
    django(environment, "metrics_aggregate")
    printed = json.loads(django(environment, "show_totals"))
    return int(printed.get("requests", [0])[0])


@contextmanager
def uninstrumented(site: Environment, folder: Path) -> Iterator[Subject]:
    environment = {**site, "BENCHMARK_INSTRUMENTATION": "none"}
    yield Subject(environment, partial(totals, environment), counts=False)


@contextmanager
def own(site: Environment, folder: Path, backend: str = "db", counts: bool = True, **more: str) -> Iterator[Subject]:
    """Count with app_metrics, into the totals."""
    environment = {**site, "BENCHMARK_INSTRUMENTATION": "app_metrics", "EXAMPLE_METRICS_BACKEND": backend, **more}
    yield Subject(environment, partial(totals, environment), counts)


@contextmanager
def by_hand(site: Environment, folder: Path) -> Iterator[Subject]:
    """Count by an INSERT of a row in each request, into the log that an aggregation of ours brings to the totals."""
    environment = {**site, "BENCHMARK_INSTRUMENTATION": "by hand"}
    yield Subject(environment, partial(totals, environment))


@contextmanager
def redis(site: Environment, folder: Path) -> Iterator[Subject]:
    from redis import Redis

    url = server("redis")["URL"]
    Redis.from_url(url).flushdb()
    with own(site, folder, "redis", EXAMPLE_REDIS_URL=url) as subject:
        yield subject


@contextmanager
def celery(site: Environment, folder: Path) -> Iterator[Subject]:
    """Count the messages: one is one request here, and no worker takes any while others are measured."""
    from redis import Redis

    path = server("redis")["HOST"]
    broker = Redis(unix_socket_path=path, db=1)
    broker.flushdb()
    with own(site, folder, "celery", EXAMPLE_BROKER_URL=f"redis+socket://{path}?virtual_host=1") as subject:
        yield subject._replace(counted=lambda: broker.llen("celery"))


@contextmanager
def statsd(site: Environment, folder: Path) -> Iterator[Subject]:
    lines = 0

    def receive() -> None:
        nonlocal lines
        while received := receiving.recv(65536):
            lines += len(re.findall(rb"^requests:1\|c", received, re.MULTILINE))

    with socket.socket(type=socket.SOCK_DGRAM) as receiving:
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**24)
        receiving.bind(("127.0.0.1", 0))
        port = receiving.getsockname()[1]
        listening = threading.Thread(target=receive)
        listening.start()

        def counted() -> int:
            receiving.sendto(b"", ("127.0.0.1", port))  # the last one
            listening.join()
            return lines

        try:
            with own(site, folder, "statsd", BENCHMARK_STATSD_URL=f"udp://127.0.0.1:{port}") as subject:
                yield subject._replace(counted=counted)
        finally:
            counted()


@contextmanager
def django_prometheus(site: Environment, folder: Path) -> Iterator[Subject]:
    """Count with both middlewares, and as the processes of a server have to: in files that they share."""
    peer("django_prometheus")
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    def counted() -> int:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))
        name, method = "django_http_requests_total_by_method_total", {"method": "GET"}
        return int(registry.get_sample_value(name, method) or 0)

    instrumentation = {"BENCHMARK_INSTRUMENTATION": "django-prometheus", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    yield Subject({**site, **instrumentation}, counted)


@contextmanager
def opentelemetry(site: Environment, folder: Path) -> Iterator[Subject]:
    """Count with its instrumentation and SDK, by a reader in memory that exports nothing."""
    peer("opentelemetry.instrumentation.django")
    peer("opentelemetry.sdk.metrics")

    def counted() -> int:
        points = [point for path in folder.iterdir() for point in durations(json.loads(path.read_text()))]
        return sum(point["count"] for point in points if point["attributes"]["http.method"] == "GET")

    instrumentation = {"BENCHMARK_INSTRUMENTATION": "opentelemetry", "BENCHMARK_FOLDER": str(folder)}
    yield Subject({**site, **instrumentation}, counted)


def durations(told: dict) -> Iterator[dict]:
    for resource in told["resource_metrics"]:
        for scope in resource["scope_metrics"]:
            for each in scope["metrics"]:
                if each["name"] == "http.server.duration":
                    yield from each["data"]["data_points"]


def server(name: str) -> Environment:
    """Return where a private server is."""
    from tests.support import services

    if services.variable(name) not in os.environ:
        raise Unmeasured(services.missing[name])
    found: Environment = json.loads(os.environ[services.variable(name)])
    return found


def peer(module: str) -> None:
    try:
        __import__(module)
    except ImportError as error:
        raise Unmeasured(f"{module} cannot be imported: {error}") from error


BASELINE = "uninstrumented"
VARIANTS: dict[str, Variant] = {
    BASELINE: uninstrumented,
    "db": own,
    "db, buffered": partial(own, EXAMPLE_FLUSH_INTERVAL="1"),
    "an INSERT by hand": by_hand,
    "django-prometheus": django_prometheus,
    "OpenTelemetry": opentelemetry,
    "redis": redis,
    "celery": celery,
    "statsd": statsd,
    "dummy": partial(own, backend="dummy", counts=False),
}
SHORT = [BASELINE, "db", "db, buffered", "an INSERT by hand", "django-prometheus"]
