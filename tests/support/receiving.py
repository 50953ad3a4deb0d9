"""Receivers on loopback, which stand in for a statsd server and an OpenTelemetry collector."""

import socket
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)

from app_metrics.core.batch import Batch

SECONDS = 60
NAME = "statsd.example"
NEVER = float("inf")


class StatsdServer:
    """A UDP socket, and the datagrams it received."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self.socket.getsockname()[1]}"

    def datagrams(self):
        """Return the datagrams received so far; on loopback they arrive as soon as they are sent."""
        found = []
        self.socket.setblocking(False)
        try:
            while True:
                found.append(self.socket.recv(65_535))
        except BlockingIOError:
            return found

    def lines(self):
        return [line for datagram in self.datagrams() for line in datagram.decode().splitlines()]


class NameServer:
    """A fake resolver for NAME: lookups hang until it is `answering`."""

    def __init__(self, monkeypatch):
        self.answering, self.lookups = threading.Event(), 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host, *args, **kwargs):
        if host == NAME:
            self.lookups += 1
            assert self.answering.wait(30)
            host = "127.0.0.1"
        return self._real(host, *args, **kwargs)


def wait_for_address(backend):
    """Wait until a backend has looked up its server."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            return backend.write(Batch({}))
        except OSError:
            time.sleep(0.01)
    raise AssertionError("the address was not found")


class Scope(ThreadingHTTPServer):
    """An OTLP receiver: HTTP with protobuf."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.requests = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}/v1/metrics"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class CollectorHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportMetricsServiceRequest.FromString(body)
        self.server.requests.append((self.path, self.headers["Content-Type"], request))
        answer = ExportMetricsServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Telemetry:
    """The SDK as a project sets it up, once per process, with an in-memory reader and an exporter to a scope."""

    def __init__(self):
        delta = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
        self.reader = InMemoryMetricReader(preferred_temporality=delta)
        self.scope = Scope()
        exporter = OTLPMetricExporter(endpoint=self.scope.endpoint, preferred_temporality=delta, timeout=SECONDS)
        periodic = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER)
        self.provider = MeterProvider([self.reader, periodic])
        metrics.set_meter_provider(self.provider)

    def metrics(self):
        """Return what was recorded since the last call, by name."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name):
        return {tuple(sorted(point.attributes.items())): point for point in self.metrics()[name].data.data_points}

    def exported(self):
        """Return what an export sends to the scope now, by name."""
        self.scope.requests.clear()
        assert self.provider.force_flush(SECONDS * 1000)
        return {
            metric.name: (scope.scope.name, metric)
            for path, content, request in self.scope.requests
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if (path, content) == ("/v1/metrics", "application/x-protobuf")
        }


@cache
def telemetry():
    return Telemetry()
