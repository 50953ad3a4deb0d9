"""What instrumentation adds to a request: before its body is with the server, and after, through WSGI and ASGI.

The requests go through Django's handlers in this process, to pages that do nothing else. What is shown is the
difference to the same page without any instrumentation, measured alternately, and its median is compared with that of
what django-prometheus' two middlewares add: one repeat's difference may be nothing, or less. Afterwards everything that
was timed must have counted every request.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from .measuring import FULL, Result, alternate, expect, held, middle, save, site, verdict
from .memory import memory_of
from .peers import OpenTelemetry, Prometheus
from .serving import SERVERS, Times, handlers
from .tables import Table

REPEATS = 101 if FULL else 41
REQUESTS = 40
KEPT_AFTER = 10_000 if FULL else 1_000
LIMIT = 0.25

OURS = ("app_metrics.middleware.MetricsMiddleware",)
PROMETHEUS = (
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
)
OPENTELEMETRY = ("opentelemetry.instrumentation.django.middleware.otel_middleware._DjangoMiddleware",)
MODEL_RULES = {"testapp.Document": {"created": "documents"}}


PLAIN, SAVING = "no instrumentation", "one save, no instrumentation"
RULED = "middleware and a URL rule"
JUDGED = "middleware, a URL rule and five calls"
KEPT = "the same, with nothing written after"
MODEL_RULED = "middleware and a model rule, one save"
REFERENCE, BY_PROMETHEUS, BY_OPENTELEMETRY = "django-prometheus", "django-prometheus and five inc()", "OpenTelemetry"


class Site(NamedTuple):
    """Middlewares, a page, the plain site beside which they are measured, the rules of models, and the backend."""

    middlewares: tuple[str, ...]
    page: str
    plain: str = PLAIN
    models: Mapping[str, Any] = {}
    backend: str = "app_metrics.backends.db"


SITES = {
    PLAIN: Site((), "quiet"),
    "middleware": Site(OURS, "quiet"),
    RULED: Site(OURS, "ruled"),
    JUDGED: Site(OURS, "five"),
    # The write of a request makes the next one slower, and no peer writes: this row tells how much that is.
    KEPT: Site(OURS, "five", backend="benchmarks.keeping"),
    REFERENCE: Site(PROMETHEUS, "quiet"),
    BY_PROMETHEUS: Site(PROMETHEUS, "by_prometheus"),
    BY_OPENTELEMETRY: Site(OPENTELEMETRY, "quiet"),
    SAVING: Site((), "saving"),
    MODEL_RULED: Site(OURS, "saving", SAVING, MODEL_RULES),
}
# What each request leaves in the item log.
COUNTED = {
    RULED: ["ruled"],
    JUDGED: ["five", *(f"call-{number}" for number in range(5))],
    MODEL_RULED: ["documents"],
}


class Bench:
    """Handlers for every site, and the requests that each of them has served."""

    def __init__(self) -> None:
        self.served: Counter[tuple[str, str]] = Counter()
        self._handlers = {name: handlers(each.middlewares) for name, each in SITES.items()}

    @contextmanager
    def ready(self, name: str, server: str) -> Iterator[Callable[[int], list[Times]]]:
        """Have the settings of a site; yield what serves so many requests."""
        from django.test import override_settings

        from . import pages

        urls = pages.SITES[f"{'a' if server == 'ASGI' else ''}{SITES[name].page}"]
        rules, backend = SITES[name].models, SITES[name].backend
        with override_settings(ROOT_URLCONF=urls, APP_METRICS_MODELS=rules, APP_METRICS_BACKEND=backend):
            yield partial(self._serve, name, server)

    def _serve(self, name: str, server: str, requests: int) -> list[Times]:
        self.served[server, name] += requests
        return SERVERS[server](self._handlers[name][server], "/page/", requests)

    def times(self, name: str, server: str) -> Times:
        """Return the medians of a few requests."""
        with self.ready(name, server) as serve:
            before, after = zip(*serve(REQUESTS), strict=True)
        return Times(median(before), median(after))


def main() -> int:
    opentelemetry = OpenTelemetry()
    with site("benchmarks.bare"):
        instrument(opentelemetry)
        bench = Bench()
        times = {server: measured(bench, server) for server in SERVERS}
        statements = {name: statements_of(bench, name) for name in SITES}
        memory = {name: memory_at(bench, name) for name in SITES if name != KEPT}
        check(bench.served, opentelemetry)
    results = {server: added(each) for server, each in times.items()}
    plain = {server: median(each.before for each in sites[PLAIN]) for server, sites in times.items()}
    tables = [added_table(server, each, plain[server], statements) for server, each in results.items()]
    tables.append(memory_table(memory))
    print("\n".join(table.text() for table in tables))
    limits = [limit(server, each) for server, each in results.items()]
    save("middleware", tables=tables, limits=limits, repeats=REPEATS, plain=plain, results=results, memory=memory)
    return 0


def instrument(opentelemetry: OpenTelemetry) -> None:
    """Tell the peer's middleware where to count; it is put into the sites by name."""
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    DjangoInstrumentor().instrument(meter_provider=opentelemetry.provider)


def measured(bench: Bench, server: str) -> dict[str, list[Times]]:
    subjects = {name: partial(bench.times, name, server) for name in SITES}
    return alternate(subjects, REPEATS)


def statements_of(bench: Bench, name: str) -> int:
    """Return how many SQL statements a request is, the page's own included."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with bench.ready(name, "WSGI") as serve, CaptureQueriesContext(connection) as queries:
        serve(1)
    return len(queries)


def memory_at(bench: Bench, name: str) -> Result:
    with bench.ready(name, "WSGI") as serve:
        return memory_of(serve, KEPT_AFTER)


def check(served: Mapping[tuple[str, str], int], opentelemetry: OpenTelemetry) -> None:
    """Raise AssertionError unless everything counted every request, and no more."""
    from django.db.models import Sum
    from prometheus_client import REGISTRY

    from app_metrics.models import Item

    from .keeping import Ours

    found = dict(Item.objects.values_list("slug").annotate(Sum("count")))
    expected: Counter[str] = Counter()
    for (_, name), requests in served.items():
        for slug in COUNTED.get(name, ()):
            expected[slug] += requests
    expect("django-app-metrics", found, dict(expected))

    def requests_to(*names: str) -> int:
        return sum(requests for (_, name), requests in served.items() if name in names)

    expect(KEPT, Ours().holds("five"), requests_to(KEPT))
    prometheus = Prometheus(REGISTRY)
    for sample in ("requests_before_middlewares_total", "responses_before_middlewares_total"):
        expect(REFERENCE, prometheus.holds(f"django_http_{sample}"), requests_to(REFERENCE, BY_PROMETHEUS))
    expect(BY_PROMETHEUS, prometheus.holds("benchmark_call_4_total"), requests_to(BY_PROMETHEUS))
    expect(BY_OPENTELEMETRY, opentelemetry.holds("http.server.duration"), requests_to(BY_OPENTELEMETRY))


def added(times: Mapping[str, list[Times]]) -> dict[str, Result]:
    """Return what every site adds to its plain one, and how much that is of what the reference adds before the body."""
    before, after = {}, {}
    for name, each in times.items():
        pairs = list(zip(each, times[SITES[name].plain], strict=True))
        before[name] = [one.before - plain.before for one, plain in pairs]
        after[name] = [one.after - plain.after for one, plain in pairs]
    return {
        name: {**beside(before[name], before[REFERENCE]), "after": middle(after[name])}
        for name in times
        if name not in (PLAIN, SAVING)
    }


def beside(mine: Sequence[float], others: Sequence[float]) -> Result:
    """Return medians of differences and their ratio, which spreads as far as the middle halves of both let it.

    Raises AssertionError where the others' cannot be told from nothing.
    """
    low, seconds, high = middle(mine)
    least, reference, most = middle(others)
    if least <= 0:
        spread = f"{least * 1e6:.1f} to {most * 1e6:.1f} µs"
        raise AssertionError(
            f"{REFERENCE} adds {spread}, beside which nothing can be measured: the machine is too busy."
        )
    return {
        "seconds": seconds,
        "seconds_from": low,
        "seconds_to": high,
        "reference_seconds": reference,
        "ratio": seconds / reference,
        "ratio_from": min(low / least, low / most),
        "ratio_to": max(high / least, high / most),
    }


def limit(server: str, results: Mapping[str, Result]) -> Result:
    what = f"{JUDGED}, {server}, before the body is out"
    return held(what, "what django-prometheus' two middlewares add", results[JUDGED], LIMIT)


def added_table(server: str, results: Mapping[str, Result], plain: float, statements: Mapping[str, int]) -> Table:
    rows = []
    for name, each in results.items():
        judged = f"{LIMIT:g}× {verdict(limit(server, results))}" if name == JUDGED else ""
        before = [each["seconds"], each["seconds_from"], each["seconds_to"]]
        low, after, high = each["after"]
        ratio = "" if name == REFERENCE else f"{each['ratio']:.2f}×"
        spread = "" if name == REFERENCE else f"{each['ratio_from']:.2f}–{each['ratio_to']:.2f}"
        rows.append([name, *microseconds(*before), ratio, spread, judged, *microseconds(after, low, high)])
        rows[-1].append(str(statements[name]))
    columns = ["", "before, µs", "spread", "ratio", "spread", "at most", "after, µs", "spread", "statements"]
    title = (
        f"Added to a request of {plain * 1e6:.0f} µs through {server}, before its body is out and after it, "
        f"beside {REFERENCE}; median of {REPEATS} times {REQUESTS}"
    )
    return Table(title, columns, rows)


def microseconds(value: float, low: float, high: float) -> list[str]:
    return [f"{value * 1e6:.0f}", f"{low * 1e6:.0f}–{high * 1e6:.0f}"]


def memory_table(memory: Mapping[str, Result]) -> Table:
    rows = [[name, f"{each['peak'] / 1024:.1f}", f"{each['kept'] / 1024:.1f}"] for name, each in memory.items()]
    columns = ["", "most during a request, KiB", f"kept after {KEPT_AFTER:,} requests, KiB"]
    return Table("Memory, by tracemalloc, through WSGI", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
