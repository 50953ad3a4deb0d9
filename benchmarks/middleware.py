"""What instrumentation adds to a request, through WSGI and ASGI: before the server has the whole body, and after.

Requests go through Django's handlers in this process, to pages that do nothing else. Results are differences to the
same page without instrumentation; the median is compared with what django-prometheus' two middlewares add.
"""

import asyncio
import gc
import re
import tracemalloc
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import prometheus_client
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db.models import Sum
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

from app_metrics import metric
from app_metrics.models import Item
from app_metrics.transport.loading import load_backend
from tests.testapp.models import Document

from . import peers, runner
from .runner import Case, Subject, Table, expect, number, spread

REQUESTS = 40
BODY = b"body"
CALLS = [f"call-{number}" for number in range(5)]
COUNTERS = [prometheus_client.Counter(f"benchmark_call_{number}", "") for number in range(5)]

OURS = ["app_metrics.middleware.MetricsMiddleware"]
PROMETHEUS = [f"django_prometheus.middleware.Prometheus{when}Middleware" for when in ("Before", "After")]
OPENTELEMETRY = ["opentelemetry.instrumentation.django.middleware.otel_middleware._DjangoMiddleware"]

PLAIN, SAVING, REFERENCE = "no instrumentation", "one save, no instrumentation", "django-prometheus"
JUDGED = "middleware, a URL rule and five calls"
UNWRITTEN = "the same, with nothing written after"


class Site(NamedTuple):
    """Middlewares, what the page calls, the slugs that a request counts, and settings.

    The URL has the name of the first slug. `less` names the same page without instrumentation.
    """

    middlewares: list[str]
    calls: list[Callable] = []
    slugs: list[str] = []
    settings: dict[str, Any] = {}
    less: str = PLAIN


FIVE = [partial(metric, slug) for slug in CALLS]
SAVE = [partial(Document.objects.create, title="Title")]
ITEMS = "app_metrics.backends.db"
RULES = {"ruled": "ruled", "five": "five"}
MODEL_RULES = {"APP_METRICS_MODELS": {"testapp.Document": {"created": "documents"}}}
SITES = {
    PLAIN: Site([], less=""),
    "middleware": Site(OURS),
    "middleware and a URL rule": Site(OURS, slugs=["ruled"]),
    JUDGED: Site(OURS, FIVE, ["five", *CALLS]),
    # A request's write slows down the next one, and no peer writes: this row shows by how much.
    UNWRITTEN: Site(OURS, FIVE, ["five", *CALLS], {"APP_METRICS_BACKEND": "benchmarks.peers"}),
    REFERENCE: Site(PROMETHEUS),
    "django-prometheus and five inc()": Site(PROMETHEUS, [counter.inc for counter in COUNTERS]),
    "OpenTelemetry": Site(OPENTELEMETRY),
    SAVING: Site([], SAVE, less=""),
    "middleware and a model rule, one save": Site(OURS, SAVE, ["documents"], MODEL_RULES, SAVING),
}


def by_wsgi(handler):
    environ = RequestFactory().get("/page/").environ
    cpu = process_time()
    begin = perf_counter()
    response = handler(environ, lambda status, headers: None)
    body = b"".join(response)
    sent = perf_counter()
    response.close()
    end = perf_counter()
    cpu = process_time() - cpu
    expect("The page", body, BODY)
    return {"before": sent - begin, "after": end - sent, "cpu": cpu}


async def by_asgi(handler):
    scope = {"type": "http", "method": "GET", "path": "/page/", "headers": [(b"host", b"testserver")]}
    messages = asyncio.Queue()  # the visitor stays connected after sending the request
    messages.put_nowait({"type": "http.request"})
    sent = []

    async def send(message):
        if message["type"] == "http.response.body":
            sent.append((perf_counter(), message["body"]))

    cpu = process_time()
    begin = perf_counter()
    await handler(scope, messages.get, send)
    end = perf_counter()
    cpu = process_time() - cpu
    expect("The page", b"".join(body for _, body in sent), BODY)
    return {"before": sent[-1][0] - begin, "after": end - sent[-1][0], "cpu": cpu}


class Bench:
    """One site behind one kind of server, the requests it has served, and their counters."""

    def __init__(self, name, server, opentelemetry):
        self.site, self._name, self._opentelemetry = SITES[name], f"{name}, {server}", opentelemetry
        self._ours, self._prometheus = peers.Ours(), peers.Prometheus(prometheus_client.REGISTRY)
        self._is_async, self._url = server == "ASGI", next(iter(self.site.slugs), re.sub(r"\W", "_", name))
        # The only URL pattern: trying others first would take time.
        urls = (path("page/", self._aview if self._is_async else self._view, name=self._url),)
        self.settings = {"ROOT_URLCONF": urls, "APP_METRICS_BACKEND": ITEMS, "APP_METRICS_URLS": RULES}
        self.settings |= self.site.settings
        self.served, self._before = 0, self._counted()
        with override_settings(MIDDLEWARE=self.site.middlewares):
            self._handler = ASGIHandler() if self._is_async else WSGIHandler()

    def _view(self, request):
        for call in self.site.calls:
            call()
        return HttpResponse(BODY)

    async def _aview(self, request):
        """Run in a thread only what uses the database."""
        return await sync_to_async(self._view)(request) if self.site.calls is SAVE else self._view(request)

    def serve(self, requests):
        self.served += requests
        if self._is_async:
            return asyncio.run(self._serve_async(requests))
        return [by_wsgi(self._handler) for _ in range(requests)]

    async def _serve_async(self, requests):
        return [await by_asgi(self._handler) for _ in range(requests)]

    def medians(self, requests=REQUESTS):
        with override_settings(**self.settings):
            found = self.serve(requests)
        return {key: median(each[key] for each in found) for key in ("before", "after", "cpu")}

    def statements(self):
        with override_settings(**self.settings):
            return len(runner.statements(partial(self.serve, 1)))

    def check(self, runs=0):
        """Raise AssertionError unless every request was counted."""
        for who, counted in self._counted().items():
            expect(f"{self._name}, {who}", counted - self._before[who], self.served)

    def _counted(self):
        """Return how often each counter has counted."""
        if self.site.middlewares == PROMETHEUS:
            sample = "django_http_requests_total_by_view_transport_method_total"
            calls = {"benchmark_call_4_total": {}} if self.site.calls else {}
            samples = {sample: {"view": self._url}, **calls}
            return {each: self._prometheus.counted(each, **labels) for each, labels in samples.items()}
        if self.site.middlewares == OPENTELEMETRY:
            return {"requests": self._opentelemetry.counted("http.server.duration")}
        if "APP_METRICS_BACKEND" in self.site.settings:
            return {slug: self._ours.counted(slug) for slug in self.site.slugs}
        load_backend("app_metrics.backends.db").drain()  # SQLite's journal
        items = dict(Item.objects.values_list("slug").annotate(Sum("count")))
        return {slug: items.get(slug, 0) for slug in self.site.slugs}


def tables(scale):
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    opentelemetry = peers.OpenTelemetry()
    DjangoInstrumentor().instrument(meter_provider=opentelemetry.provider)
    with runner.database("sqlite"):
        for server in ("WSGI", "ASGI"):
            yield added(server, list(SITES), opentelemetry, scale)
        yield memory([name for name in SITES if "nothing written" not in name], opentelemetry, scale)


def added(server, names, opentelemetry, scale):
    """Measure what sites add to their plain versions; ratios are shown only if the reference is among the names."""
    repeats, requests = scale.of(1, 41, 101), scale.of(2, REQUESTS, REQUESTS)
    facts = {name: {"statements": Bench(name, "WSGI", opentelemetry).statements()} for name in names}
    sites = {name: Bench(name, server, opentelemetry) for name in names}
    subjects = {name: Subject(partial(site.medians, requests), site.check) for name, site in sites.items()}
    beside = {REFERENCE: subjects[REFERENCE]} if REFERENCE in names else {}
    limits = {
        (JUDGED, "before"): at_most(0.25, f"{JUDGED}, {server}, before the body is out"),
        (UNWRITTEN, "cpu"): at_most(0.35, f"{UNWRITTEN}, {server}, processor time of the request"),
    }
    cases = [
        Case(
            name, subjects[name], {} if name == REFERENCE else beside, limits.get((name, key)) if beside else None,
            key, {name: sites[name].site.less, REFERENCE: PLAIN}, facts[name],
        )
        for key in ("before", "cpu") for name in names if sites[name].site.less
    ]  # fmt: skip
    judged = runner.measure(cases, repeats, beside={name: subjects[name] for name in (PLAIN, SAVING)})
    measured = [each for each in judged if each.case.key == "before"]
    title = (
        f"Added to a request of {measured[0].median('before', PLAIN) * 1e6:.0f} µs through {server}, before its body "
        f"is out and after it, beside {REFERENCE}; median of {repeats} times {requests}"
    )
    before, after = ([number(f"{key}, µs", key), spread("µs", key)] for key in ("before", "after"))
    columns = [runner.name(), *before, *runner.ratio(), runner.AT_MOST, *after, number("processor, µs", "cpu")]
    return Table(title, [*columns, runner.fact("statements")], measured, judged)


def at_most(ratio, what):
    return runner.at_most(ratio, what=what, against="what django-prometheus' two middlewares add")


def memory(names, opentelemetry, scale):
    requests, cases = scale.of(1, 1_000, 10_000), []
    for name in names:
        site = Bench(name, "WSGI", opentelemetry)
        cases.append(Case(name, Subject(partial(memory_of, site, requests), site.check)))
    columns = [number("most during a request, KiB", "peak"), number(f"kept after {requests:,} requests, KiB", "kept")]
    return Table("Memory, by tracemalloc, through WSGI", [runner.name(), *columns], runner.measure(cases, 1, warm=0))


def memory_of(bench, requests):
    """Return a request's peak memory, and what this many requests leave behind, in bytes."""
    with override_settings(**bench.settings):
        bench.serve(min(50, requests))  # create everything that is created only once
        tracemalloc.start()
        try:
            peak = median(peak_of(bench) for _ in range(min(21, requests)))
            before = in_use()
            for _ in range(0, requests, 100):
                bench.serve(min(100, requests))  # drop their times at once
            return {"peak": peak, "kept": in_use() - before}
        finally:
            tracemalloc.stop()


def peak_of(bench):
    before = in_use()
    tracemalloc.reset_peak()
    bench.serve(1)
    return tracemalloc.get_traced_memory()[1] - before


def in_use():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
