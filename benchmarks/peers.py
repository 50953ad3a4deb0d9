"""Our counter and its peers, each with a method that returns what it counted."""

import multiprocessing
import socket
from collections import Counter
from contextlib import contextmanager
from functools import wraps

from datadog.dogstatsd.base import DogStatsd
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from app_metrics.core.batch import Batch
from app_metrics.transport import base

# Bytes of packets that may arrive while the receiver does not run.
RECEIVE_BUFFER = 64 * 2**20
# Seconds of silence after which all packets have arrived.
SILENCE = 0.3

kept: list[Batch] = []


class MetricsBackend(base.MetricsBackend):
    """Keep batches in memory."""

    blocks = False

    def write(self, batch):
        kept.append(batch)


class Ours:
    def __init__(self):
        self._calls = Counter()

    def counted(self, name):
        """Return the number of calls of all slugs with this prefix."""
        while kept:
            for key, summary in kept.pop().summaries.items():
                self._calls[key.slug] += summary.count
        return sum(calls for slug, calls in self._calls.items() if slug.startswith(name))


class Prometheus:
    def __init__(self, registry=None):
        self.registry = registry or CollectorRegistry()

    def counted(self, sample, **labels):
        """Return the sum of all samples with this name and labels: `signups_total`, `export_count`."""
        found = (each for metric in self.registry.collect() for each in metric.samples if each.name == sample)
        return sum(each.value for each in found if labels.items() <= each.labels.items())


class OpenTelemetry:
    """The SDK with an in-memory reader."""

    def __init__(self):
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])
        self.meter = self.provider.get_meter("benchmarks")

    def counted(self, name):
        """Return the sum of a counter, the count of a histogram or the value of a gauge."""
        data = self._reader.get_metrics_data()
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        points = [point for metric in metrics for point in metric.data.data_points]
        return sum(point.count if hasattr(point, "count") else point.value for point in points)


class Datadog:
    """The client with aggregation on, and a process that receives its packets."""

    def __init__(self, client, questions):
        self.client, self._questions = client, questions

    def counted(self, name):
        """Return the sum of a counter, the number of timings or the last value of a gauge."""
        self.client.flush_aggregated_metrics()
        self.client.flush_buffered_metrics()
        self._questions.send(name)
        counted = self._questions.recv()
        return counted


@contextmanager
def datadog():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        enlarge(server)
        server.bind(("127.0.0.1", 0))
        here, there = multiprocessing.Pipe()
        # Spawn, not fork: the client and Django have threads and locks.
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


def enlarge(server):
    """Enlarge a socket's buffer to RECEIVE_BUFFER bytes, or as far as the system allows."""
    try:
        server.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", socket.SO_RCVBUF), RECEIVE_BUFFER)
    except PermissionError:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def receive(server, questions):
    """Add up lines such as `signups:3|c|#plan:pro`, and answer questions once nothing more arrives."""
    counted = Counter()
    server.settimeout(SILENCE)
    while True:
        try:
            packet = server.recv(2**16)
        except TimeoutError:
            if questions.poll():
                questions.send(counted[questions.recv()])
            continue
        for line in packet.decode().splitlines():
            series, kind, *_ = line.split("|")
            name, *values = series.split(":")
            if kind == "g":
                counted[name] = float(values[-1])
            else:
                counted[name] += sum(map(float, values)) if kind == "c" else len(values)


def counting(counter):
    """Decorate a function with a hand-written count of the calls that returned."""

    def decorate(function):
        @wraps(function)
        def wrapper():
            result = function()
            counter.inc()
            return result

        return wrapper

    return decorate
