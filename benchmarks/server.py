"""Requests per second of the example site under load: uninstrumented, with app_metrics, and with its peers.

gunicorn serves the site with 2 workers of 4 threads; each variant has its own copy of a durable database. wrk sends
requests from one thread, 16 at a time, on the same machine. All variants are up at the same time and loaded in turn; a
result is a variant's rate relative to the uninstrumented one, or to an INSERT by hand, in the same round. Finally each
must have counted every response that wrk read, and at most one more per connection each time that wrk stopped.

The home page makes one query and fills a table of 46 rows; the list of guides is a small template without a query, so
that nothing hides the cost of counting.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from redis import Redis

from scripts.server import manage
from tests.support import example_site
from tests.support.servers import Unavailable, find
from tests.support.small_server import served

from . import peers, runner, server_pids
from .machine import cpu_seconds
from .page import verdict
from .runner import Case, Limit, Scale, Subject

CONNECTIONS = 16
COMMAND = ["gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", "benchmarks.site_wsgi"]
REPORT = Path(__file__).parent / "report.lua"
SMALL = "the list of guides"
PAGES = {"the home page": "/", SMALL: "/downloads/"}
BASELINE, BY_HAND = "uninstrumented", "an INSERT by hand"


def totals(site):
    """Return how many requests are in the totals, after an aggregation."""
    manage(sys.executable, site.environment, "metrics_aggregate")
    return int(json.loads(manage(sys.executable, site.environment, "show_totals")).get("requests", [0])[0])


def prometheus_requests(site):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(site.folder))
    return peers.Prometheus(registry).counted("django_http_requests_total_by_method_total", method="GET")


class Variant(NamedTuple):
    """A way to count requests: what counts, more of its environment, and a function that returns a site's final count.

    The environment may name the site's folder, the port of a statsd server, and Redis. `counts` is false if it counts
    nothing.
    """

    instrumentation: str = "app_metrics"
    environment: dict[str, str] = {}
    counted: Callable = totals
    counts: bool = True


BACKEND, BROKER = "EXAMPLE_METRICS_BACKEND", "redis+socket://{redis[HOST]}?virtual_host=1"
VARIANTS = {
    BASELINE: Variant("none", counts=False),
    "db": Variant(environment={BACKEND: "db"}),
    "db, buffered": Variant(environment={BACKEND: "db", "EXAMPLE_FLUSH_INTERVAL": "1"}),
    "db, journalled": Variant(
        environment={BACKEND: "db", "EXAMPLE_FLUSH_INTERVAL": "1", "EXAMPLE_SPOOL_DIR": "{folder}"}
    ),
    BY_HAND: Variant("by hand"),
    "django-prometheus": Variant("django-prometheus", {"PROMETHEUS_MULTIPROC_DIR": "{folder}"}, prometheus_requests),
    "OpenTelemetry": Variant(
        "opentelemetry", {"BENCHMARK_FOLDER": "{folder}"},
        lambda site: sum(int(file.read_text()) for file in site.folder.iterdir()),
    ),
    "redis": Variant(environment={BACKEND: "redis", "EXAMPLE_REDIS_URL": "{redis[URL]}"}),
    "celery": Variant(
        environment={BACKEND: "celery", "EXAMPLE_BROKER_URL": BROKER},
        # One message for each request, as no worker takes any.
        counted=lambda site: Redis(unix_socket_path=example_site.coordinates("redis")["HOST"], db=1).llen("celery"),
    ),
    "statsd": Variant(
        environment={BACKEND: "statsd", "EXAMPLE_STATSD_URL": "udp://127.0.0.1:{port}"},
        counted=lambda site: site.receiver.counted("requests"),
    ),
    "dummy": Variant(environment={BACKEND: "dummy"}, counts=False),
}  # fmt: skip
# How much of the rate must be kept: by a durable write, and on PostgreSQL by the buffered mode, also with a journal.
DURABLE = {"db": (BY_HAND, 1.0)}
LEAST = {**DURABLE, "db, buffered": (BASELINE, 0.95), "db, journalled": (BASELINE, 0.95)}
# The databases beside PostgreSQL, and what is compared on them: only the writes differ.
OTHERS, COMPARED = ("sqlite", "mariadb", "mysql"), (BASELINE, "db", BY_HAND)


def tables(scale):
    try:
        find("wrk")
    except Unavailable as error:
        print(f"Requests per second: not measured, {error}")
        return
    rounds, seconds = scale.of((1, 1), (7, 1), (5, 2))
    redis = runner.available("redis")
    names = [name for name in VARIANTS if redis or name not in ("redis", "celery")]
    for kind in runner.available("postgresql"):
        chosen = scale.of(COMPARED, (BASELINE, BY_HAND, *LEAST), names)
        yield from requests(kind, PAGES, chosen, rounds, seconds)
    for kind in ("sqlite", *runner.available("mariadb", "mysql")):
        # The smaller page shows more of what a write costs.
        yield from requests(kind, PAGES if scale is Scale.FULL else [SMALL], COMPARED, rounds, seconds)


def requests(kind, pages, names, rounds, seconds):
    """Yield a table for each page; the same sites serve all of them, and finally count what they answered."""
    redis = example_site.coordinates("redis") if "redis" in names else {}
    if redis:
        Redis.from_url(redis["URL"]).flushall()
    with TemporaryDirectory(prefix="app-metrics-") as folder, ExitStack() as running:
        receiver, sites = running.enter_context(peers.receiving()), {}
        for number, name in enumerate(names):
            database = running.enter_context(getattr(example_site, kind)(f"variant_{number}", Path(folder)))
            sites[name] = Site(name, database, Path(folder, f"{number}"), receiver, redis, running)
        for page in pages:
            yield loaded(f"{page} on {kind}", LEAST if kind == "postgresql" else DURABLE, sites, page, rounds, seconds)
        for site in sites.values():
            site.check()


def loaded(what, limits, sites, page, rounds, seconds):
    subjects = {name: Subject(partial(site.load, PAGES[page], seconds)) for name, site in sites.items()}
    references = {name: subjects[name] for name in (BASELINE, BY_HAND)}
    cases = [
        Case(name, subject, references, kept(what, name, *limits[name]) if name in limits else None, "rate")
        for name, subject in subjects.items()
    ]
    found = runner.measure(cases, rounds)
    rows, beside = ([each for each in found if each.reference == name] for name in references)
    limits = {each.case.name: each.limit for each in found if each.limit}
    times = {"p50, ms": "p50", "p99, ms": "p99", "CPU, ms": "site", "servers' CPU, ms": "servers"}
    columns = [runner.name("counted by"), runner.number("a second", "rate"), runner.spread(key="rate")]
    columns += [runner.number(title, key, digits=2) for title, key in times.items()]
    columns += [*runner.ratio("{:.0%}", "", "kept"), against(beside), judged(limits)]
    return runner.Table(f"Requests per second of {what}, median of {rounds} times {seconds} s", columns, rows, found)


def against(measured):
    """Return the column that shows the rates relative to that with an INSERT by hand."""
    texts = {each.case.name: runner.ratio_text(each, "{:.0%}", "") for each in measured}
    return f"of {BY_HAND}", lambda each: texts[each.case.name]


def judged(limits):
    """Return the column that shows the limits, of the rate with an INSERT by hand or of the uninstrumented one."""
    texts = {name: f"{limit['limit']} of {limit['against']} {verdict(limit)}" for name, limit in limits.items()}
    return "limit", lambda each: texts.get(each.case.name, "")


def kept(what, name, against, least):
    """Limit how much of the rate is kept."""
    found = partial(runner.ratio_text, form="{:.0%}", sign="")
    what = f"requests per second that are kept, {what}, {name}"
    return Limit(f"at least {least:.0%}", found, lambda each: each.ratio[1] >= least, what, reference=against)


class Site:
    """A served variant, which wrk loads and which reports its count in the end."""

    def __init__(self, name, database, folder, receiver, redis, running):
        self._name, self._variant, self.folder, self.receiver = name, VARIANTS[name], folder / "counts", receiver
        self.folder.mkdir(parents=True)
        names = {"folder": self.folder, "port": receiver.port(), "redis": redis}
        variables = {key: value.format(**names) for key, value in self._variant.environment.items()}
        self.environment = {**os.environ, **database, **variables}
        manage(sys.executable, database, "migrate", "--verbosity=0")
        measured = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.site",
            "BENCHMARK_INSTRUMENTATION": self._variant.instrumentation,
        }
        self._running = running.enter_context(ExitStack())
        self._address, self._process = self._running.enter_context(
            served(COMMAND, {**self.environment, **measured}, folder / "log")
        )
        self._answered, self._loads = 0, 0

    def load(self, page, seconds):
        """Request a page continuously, with a new connection for each request, as most proxies do.

        Persistent connections are sometimes all accepted by the same gunicorn worker, which halves the rate.
        """
        limits = ["--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
        command = [find("wrk"), *limits, "--header=Connection: close", f"--script={REPORT}", self._address + page]
        before = cpu_seconds(self._process.pid), cpu_seconds(*server_pids)
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = json.loads(printed.splitlines()[-1])
        if found["errors"] or not found["answered"]:
            raise AssertionError(f"{self._name} did not answer all that it was asked:\n{printed}")
        self._answered, self._loads = self._answered + int(found["answered"]), self._loads + 1
        found["site"] = (cpu_seconds(self._process.pid) - before[0]) / found["answered"]
        found["servers"] = (cpu_seconds(*server_pids) - before[1]) / found["answered"]
        return found

    def check(self):
        """Stop the site; raise AssertionError unless it counted the responses that wrk read."""
        self._running.close()
        counts = self._variant.counts
        check(self._name, self._variant.counted(self), self._answered * counts, self._loads * counts)


def check(name, counted, answered, loads):
    """Allow more for each load: the request that looks for the page, and one per connection that wrk did not read."""
    if not answered <= counted <= answered + loads * (CONNECTIONS + 1):
        raise AssertionError(f"{name} counted {counted} requests where {answered} were answered.")
