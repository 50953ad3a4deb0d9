"""What people would use instead, each with a way to ask it what it counted."""

import multiprocessing
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from multiprocessing.connection import Connection
from typing import Any

from datadog.dogstatsd.base import DogStatsd
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

# Large enough for what arrives while the receiving process does not run.
RECEIVE_BUFFER = 8 * 2**20
LARGEST_PACKET = 2**16
# Seconds without a packet after which all have arrived.
SILENCE = 0.3


class Prometheus:
    """prometheus_client with a registry of its own, or with the given one."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()

    def holds(self, sample: str) -> float:
        """Return the sum of all samples of that name: `signups_total`, `export_count`."""
        found = (each for metric in self.registry.collect() for each in metric.samples)
        return sum(each.value for each in found if each.name == sample)


class OpenTelemetry:
    """OpenTelemetry's SDK with a reader that keeps what it reads in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])
        self.meter = self.provider.get_meter("benchmarks")

    def holds(self, name: str) -> float:
        """Return the sum of a counter, the count of a histogram or the value of a gauge."""
        data = self._reader.get_metrics_data()
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
        points = [
            point
            for scope in scopes
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
        return sum(point.count if hasattr(point, "count") else point.value for point in points)


class Datadog:
    """datadog's client with its aggregation on, and a process that receives what it sends by UDP."""

    def __init__(self, client: DogStatsd, questions: Connection) -> None:
        self.client, self._questions = client, questions

    def holds(self, name: str) -> float:
        """Return the sum of a counter, the number of timings or the last value of a gauge."""
        self.client.flush_aggregated_metrics()
        self.client.flush_buffered_metrics()
        self._questions.send(name)
        held: float = self._questions.recv()
        return held


@contextmanager
def datadog() -> Iterator[Datadog]:
    """Have the client and its receiver for the length of the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        enlarge(server)
        server.bind(("127.0.0.1", 0))
        here, there = multiprocessing.Pipe()
        # Not forked: the client and Django have threads and locks.
        receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(server, there), daemon=True)
        receiver.start()
        host, port = server.getsockname()
        client = DogStatsd(host=host, port=port, disable_aggregation=False, disable_buffering=False)
        try:
            yield Datadog(client, here)
        finally:
            client.stop()
            receiver.terminate()
            receiver.join()


def enlarge(server: socket.socket) -> None:
    """Let a socket hold what arrives at once, as far as the system allows."""
    option = getattr(socket, "SO_RCVBUFFORCE", socket.SO_RCVBUF)
    try:
        server.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
    except PermissionError:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def receive(server: socket.socket, questions: Connection) -> None:
    """Add up what arrives, and tell it when asked and nothing more comes."""
    held: Counter[str] = Counter()
    server.settimeout(SILENCE)
    while True:
        try:
            packet = server.recv(LARGEST_PACKET)
        except TimeoutError:
            if questions.poll():
                questions.send(held[questions.recv()])
            continue
        for line in packet.decode().splitlines():
            take(line, held)


def take(line: str, held: Counter[str]) -> None:
    """Add a line of the protocol, `signups:3|c|#plan:pro`, to what arrived before."""
    series, kind, *_ = line.split("|")
    name, *values = series.split(":")
    if kind == "g":
        held[name] = float(values[-1])
    else:
        held[name] += sum(map(float, values)) if kind == "c" else len(values)


def counted(counter: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate with a count of the calls that returned, as one would write it on top of prometheus_client."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            counter.inc()
            return result

        return wrapper

    return decorate
