"""Requests per second of the example site under load: uninstrumented, with app_metrics, and with its peers.

gunicorn serves the site with 2 workers of 4 threads; each variant has its own copy of a durable database. wrk sends
requests from one thread, 16 at a time, on the same machine. All variants are up at the same time and loaded in turn; a
result is a variant's rate relative to the uninstrumented one in the same round. Finally each must have counted every
response that wrk read, and at most one more per connection each time that wrk stopped.

The home page makes one query and fills a table of 46 rows; the list of guides is a small template without a query, so
that nothing hides the cost of counting.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psycopg
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from redis import Redis

from tests.support import services
from tests.support.paths import ROOT
from tests.support.servers import Unavailable, find
from tests.support.small_server import served

from . import runner, server_pids
from .machine import cpu_seconds
from .runner import Case, Limit, Table, available, measure, spread

CONNECTIONS = 16
COMMAND = ["gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", "benchmarks.site_wsgi"]
# The last line that wrk prints; responses other than 2xx and 3xx count as errors.
REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format('\\n{"answered": %d, "rate": %f, "errors": %d, "p50": %f, "p99": %f}',
    summary.requests, summary.requests / summary.duration * 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""
PAGES = {"the home page": "/", "the list of guides": "/downloads/"}
BASELINE, BY_HAND = "uninstrumented", "an INSERT by hand"

Environment = dict[str, str]


class Variant(NamedTuple):
    """A way to count requests: a function that returns its environment, and one that returns the final count.

    Both are given the environment of the site and a folder of its own. `counts` is false if it counts nothing.
    """

    prepare: Callable[[Environment, Path, ExitStack], Environment]
    counted: Callable[[Environment, Path], int]
    counts: bool = True


def manage(environment, *arguments):
    command, variables = [sys.executable, "-m", "django", *arguments], {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout


def totals(environment, folder):
    """Return how many requests are in the totals, after an aggregation."""
    manage(environment, "metrics_aggregate")
    return int(json.loads(manage(environment, "show_totals")).get("requests", [0])[0])


def instrumented(by, **more):
    return lambda *_: {"BENCHMARK_INSTRUMENTATION": by, **more}


def own(backend="db", counts=True, **more):
    return Variant(instrumented("app_metrics", EXAMPLE_METRICS_BACKEND=backend, **more), totals, counts)


def redis(*_):
    url = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["URL"]
    Redis.from_url(url).flushdb()
    return {**instrumented("app_metrics")(), "EXAMPLE_METRICS_BACKEND": "redis", "EXAMPLE_REDIS_URL": url}


def celery(*_):
    path = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["HOST"]
    Redis(unix_socket_path=path, db=1).flushdb()
    broker = {"EXAMPLE_BROKER_URL": f"redis+socket://{path}?virtual_host=1"}
    return {**instrumented("app_metrics")(), "EXAMPLE_METRICS_BACKEND": "celery", **broker}


def messages(environment, folder):
    """Return the number of messages on the broker: one per request here, as no worker takes any."""
    path = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["HOST"]
    return int(Redis(unix_socket_path=path, db=1).llen("celery"))


def statsd(environment, folder, running):
    """Receive lines in a thread, which writes their number to a file after an empty packet."""
    receiving = running.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**24)
    receiving.bind(("127.0.0.1", 0))
    port = receiving.getsockname()[1]

    def receive():
        lines = 0
        while received := receiving.recv(65536):
            lines += len(re.findall(rb"^requests:1\|c", received, re.MULTILINE))
        (folder / "lines").write_text(str(lines))

    thread = threading.Thread(target=receive)
    thread.start()
    running.callback(thread.join)
    running.callback(receiving.sendto, b"", ("127.0.0.1", port))
    more = {"EXAMPLE_METRICS_BACKEND": "statsd", "EXAMPLE_STATSD_URL": f"udp://127.0.0.1:{port}"}
    return {**instrumented("app_metrics")(), **more}


def statsd_lines(environment, folder):
    return int((folder / "lines").read_text())


def django_prometheus(environment, folder, running):
    """Count in files that the server's processes share."""
    return {**instrumented("django-prometheus")(), "PROMETHEUS_MULTIPROC_DIR": str(folder)}


def prometheus_requests(environment, folder):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return int(registry.get_sample_value("django_http_requests_total_by_method_total", {"method": "GET"}) or 0)


def opentelemetry(environment, folder, running):
    """Count with an in-memory reader that exports nothing."""
    return {**instrumented("opentelemetry")(), "BENCHMARK_FOLDER": str(folder)}


def opentelemetry_requests(environment, folder):
    read = [each for file in folder.iterdir() for each in json.loads(file.read_text())["resource_metrics"]]
    metrics = [metric for each in read for scope in each["scope_metrics"] for metric in scope["metrics"]]
    points = [
        point for each in metrics if each["name"] == "http.server.duration" for point in each["data"]["data_points"]
    ]
    return sum(point["count"] for point in points if point["attributes"]["http.method"] == "GET")


VARIANTS = {
    BASELINE: Variant(instrumented("none"), totals, counts=False),
    "db": own(),
    "db, buffered": own(EXAMPLE_FLUSH_INTERVAL="1"),
    BY_HAND: Variant(instrumented("by hand"), totals),
    "django-prometheus": Variant(django_prometheus, prometheus_requests),
    "OpenTelemetry": Variant(opentelemetry, opentelemetry_requests),
    "redis": Variant(redis, totals),
    "celery": Variant(celery, messages),
    "statsd": Variant(statsd, statsd_lines),
    "dummy": own("dummy", counts=False),
}


def tables(scale):
    try:
        find("wrk")
    except Unavailable as error:
        print(f"Requests per second: not measured, {error}")
        return
    rounds, seconds = scale.of((1, 1), (7, 1), (5, 2))
    short = list(VARIANTS)[:5]
    have_redis = available("redis")
    names = scale.of(short, short, [name for name in VARIANTS if have_redis or name not in ("redis", "celery")])
    for kind in [*available("postgresql"), *scale.of([], [], ["sqlite"])]:
        for page in list(PAGES)[: scale.of(1, 1, 2)]:
            with tempfile.TemporaryDirectory(prefix="app-metrics-") as folder:
                yield requests(f"{page} on {kind}", kind, PAGES[page], names, Path(folder), rounds, seconds)


def requests(what, kind, page, names, folder, rounds, seconds):
    (folder / "report.lua").write_text(REPORT)
    copy = {"sqlite": sqlite, "postgresql": postgresql}[kind](folder)
    with ExitStack() as running:
        sites = {name: Site(name, copy(number), folder / str(number), running) for number, name in enumerate(names)}
        loads = {name: partial(site.load, page, seconds) for name, site in sites.items()}
        cases = []
        for name, site in sites.items():
            references = {BASELINE: loads[BASELINE], BY_HAND: loads[BY_HAND]}
            limits = kept(what, name) if kind == "postgresql" else {}
            cases.append(Case(name, loads[name], references, site.check, limits, "rate"))
        measured = measure(cases, rounds)
    times = {"p50, ms": "p50", "p99, ms": "p99", "CPU, ms": "site", "servers' CPU, ms": "servers"}
    columns = [runner.name("counted by"), runner.number("a second", "rate"), spread("rate")]
    columns += [runner.number(title, key, unit=1e3, digits=2) for title, key in times.items()]
    columns += [("kept", lambda each: f"{each.ratio[1]:.0%}")]
    columns += [("spread", lambda each: f"{each.ratio[0]:.0%}–{each.ratio[2]:.0%}")]
    title = f"Requests per second of {what}, median of {rounds} times {seconds} s"
    return Table(title, columns, [each for each in measured if each.reference == BASELINE], measured)


def kept(what, name):
    """Limit a durable write against the INSERT by hand, and the buffered mode against the uninstrumented site."""
    against, least = {"db": (BY_HAND, 1.0), "db, buffered": (BASELINE, 0.95)}.get(name, ("", 0.0))

    def found(measured):
        low, ratio, high = measured.ratio
        return f"{ratio:.0%} ({low:.0%}–{high:.0%})"

    what = f"requests per second that are kept, {what}, {name}"
    return (
        {against: Limit(f"at least {least:.0%}", found, lambda each: each.ratio[1] >= least, what)} if against else {}
    )


class Site:
    """A served variant, which wrk loads and which reports its count in the end."""

    def __init__(self, name, environment, folder, running):
        folder.mkdir()
        self._name, self._variant, self._folder = name, VARIANTS[name], folder / "counts"
        self._folder.mkdir()
        self._running = running.enter_context(ExitStack())
        prepared = self._variant.prepare(environment, self._folder, self._running)
        self._environment = {**environment, **prepared}
        variables = {**os.environ, **self._environment}
        # wrk's script is in the parent folder.
        self._report = folder.parent / "report.lua"
        self._address, self._process = self._running.enter_context(served(COMMAND, variables, folder / "log"))
        self._answered, self._loads = 0, 0

    def load(self, page, seconds):
        """Request a page continuously, with a new connection for each request, as most proxies do.

        Persistent connections are sometimes all accepted by the same gunicorn worker, which halves the rate.
        """
        limits = ["--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
        command = [find("wrk"), *limits, "--header=Connection: close", f"--script={self._report}", self._address + page]
        before = cpu_seconds(self._process.pid), cpu_seconds(*server_pids)
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = json.loads(printed.splitlines()[-1])
        if found["errors"] or not found["answered"]:
            raise AssertionError(f"{self._name} did not answer all that it was asked:\n{printed}")
        self._answered, self._loads = self._answered + int(found["answered"]), self._loads + 1
        found["site"] = (cpu_seconds(self._process.pid) - before[0]) / found["answered"]
        found["servers"] = (cpu_seconds(*server_pids) - before[1]) / found["answered"]
        return found

    def check(self, runs):
        """Stop the site; raise AssertionError unless it counted the responses that wrk read."""
        self._running.close()
        counted = self._variant.counted(self._environment, self._folder)
        check(self._name, counted, self._answered if self._variant.counts else 0, self._variant.counts * self._loads)


def check(name, counted, answered, loads):
    """Allow more for each load: the request that looks for the page, and one per connection that wrk did not read."""
    if not answered <= counted <= answered + loads * (CONNECTIONS + 1):
        raise AssertionError(f"{name} counted {counted} requests where {answered} were answered.")


def sqlite(folder):
    """Migrate a database, and return a function that makes numbered copies of it."""

    def environment(path):
        return {**MIGRATING, "EXAMPLE_DATABASE": "sqlite", "EXAMPLE_DB_NAME": str(path)}

    original = folder / "original.sqlite3"
    manage(environment(original), "migrate", "--verbosity=0")
    return lambda number: environment(shutil.copy(original, folder / f"{number}.sqlite3"))


def postgresql(folder):
    place = json.loads(os.environ[services.variable("postgresql")])
    prefix = re.sub(r"\W", "_", folder.name).lower()

    def create(name, template):
        with psycopg.connect(host=place["HOST"], user=place["USER"], dbname=place["NAME"], autocommit=True) as server:
            server.execute(f"CREATE DATABASE {prefix}_{name} TEMPLATE {template}")
        coordinates = {f"EXAMPLE_DB_{key}": value for key, value in {**place, "NAME": f"{prefix}_{name}"}.items()}
        return {**MIGRATING, "EXAMPLE_DATABASE": "postgresql", **coordinates}

    manage(create("original", "template1"), "migrate", "--verbosity=0")
    return lambda number: create(str(number), f"{prefix}_original")


# Any variant will do for the migration.
MIGRATING = {"DJANGO_SETTINGS_MODULE": "benchmarks.site", "BENCHMARK_INSTRUMENTATION": "app_metrics"}
