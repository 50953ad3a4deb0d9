"""Our counter and its peers, each with a method that returns what it counted."""

import socket
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from typing import NamedTuple

from datadog.dogstatsd.base import DogStatsd
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from app_metrics.transport import base

RECEIVE_BUFFER = 64 * 2**20  # bytes of packets that may arrive while the receiver does not run
SO_RCVBUFFORCE = 33  # of Linux, which the socket module does not name
SILENCE = 0.3  # seconds after which all packets have arrived

kept = []


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

    def __init__(self, **options):
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], **options)
        self.meter = self.provider.get_meter("benchmarks")

    def counted(self, name, **attributes):
        """Return the sum of a counter, the count of a histogram or the value of a gauge."""
        data = self._reader.get_metrics_data()
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        points = [point for metric in metrics for point in metric.data.data_points]
        points = [point for point in points if attributes.items() <= point.attributes.items()]
        return sum(point.count if hasattr(point, "count") else point.value for point in points)


class StatsdServer:
    """Adds up the lines of statsd clients, such as `signups:3|c|#plan:pro`."""

    def __init__(self):
        self._counted, self._silent = Counter(), threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, SO_RCVBUFFORCE):
            with suppress(OSError):  # then it is as large as the system allows
                self._socket.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(SILENCE)
        threading.Thread(target=self._receive, daemon=True).start()

    def port(self):
        return self._socket.getsockname()[1]

    def counted(self, name):
        """Return the sum of a counter, the number of timings or the last value of a gauge."""
        self._silent.clear()
        self._silent.wait()
        return self._counted[name]

    def _receive(self):
        while True:
            try:
                for line in self._socket.recv(2**16).decode().splitlines():
                    self._add(*line.split("|"))
            except TimeoutError:
                self._silent.set()

    def _add(self, series, kind, *_):
        name, *values = series.split(":")
        if kind == "g":
            self._counted[name] = float(values[-1])
        else:
            self._counted[name] += sum(map(float, values)) if kind == "c" else len(values)


class Process(BaseManager):
    """Another process, so that receiving takes no time from the threads of this one."""


Process.register("StatsdServer", StatsdServer)


@contextmanager
def receiving():
    # Spawn, not fork: clients and Django have threads and locks.
    with Process(ctx=get_context("spawn")) as process:
        yield process.StatsdServer()


class Datadog(NamedTuple):
    """The client with aggregation on."""

    client: DogStatsd
    receiver: StatsdServer

    def counted(self, name):
        self.client.flush_aggregated_metrics()
        self.client.flush_buffered_metrics()
        return self.receiver.counted(name)


@contextmanager
def datadog():
    with receiving() as receiver:
        client = DogStatsd("127.0.0.1", receiver.port(), disable_aggregation=False, disable_buffering=False)
        try:
            yield Datadog(client, receiver)
        finally:
            client.stop()
