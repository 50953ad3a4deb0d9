"""What a call costs the caller: `metric()`, `gauge()`, `timing()` and `@track`, beside their peers.

A call in a scope is timed without the start and end of the scope, which has too few entries to fold them early. The
rows "with the scope" add those, the folding, and the write to a backend that only keeps batches. Threads run many
scopes in a row, for longer than the interpreter's switch interval, so that they compete.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count, cycle
from threading import Barrier
from time import perf_counter
from timeit import Timer
from typing import Any, NamedTuple

import prometheus_client as prometheus
from django.test import override_settings
from opentelemetry.metrics import NoOpMeterProvider

import app_metrics

from . import peers, runner

OURS, PROMETHEUS, OPENTELEMETRY, DATADOG = "django-app-metrics", "prometheus_client", "OpenTelemetry SDK", "datadog"
RUNS = 1000  # calls in a scope; too few for the scope to fold its entries early
THREADS = 8
VARIETY = 100  # how many slugs and label values take turns


class Call(NamedTuple):
    """A statement, the name under which its calls are counted, and how many calls it makes."""

    statement: str
    name: str
    calls: int = 1

    def repeated(self, calls):
        return Call(f"for _ in range({calls}):\n    {self.statement}", self.name, calls)

    def with_scope(self, calls):
        return Call(f"with collect():\n    for _ in range({calls}):\n        {self.statement}", self.name, calls)


class Spec(NamedTuple):
    """Our call and the peers' calls that do the same, with the numbers of runs, rounds and threads.

    If `scoped`, our calls run within a scope in each round. If `disabled`, no call is counted.
    """

    name: str
    ours: Call
    references: dict[str, Call]
    limit: float | None = None  # on the ratio to prometheus_client
    threads: int = 1
    rounds: int = 1
    runs: int = RUNS
    scoped: bool = True
    disabled: bool = False

    def in_threads(self):
        """Return the same in threads, each running well beyond the interpreter's switch interval of 5 ms."""
        return self._replace(name=f"{self.name}, {THREADS} threads", threads=THREADS, rounds=20)

    def whole(self, name, calls, limit=None, ours=None):
        """Return the same including the scope, the folding and the write."""
        references = {who: call.repeated(calls) for who, call in self.references.items()}
        whole = (ours or self.ours).with_scope(calls)
        return Spec(f"with the scope, of {name}", whole, references, limit, runs=max(1, RUNS // calls), scoped=False)


# fmt: off
PLAIN = Spec("metric(slug)", Call('metric("signups")', "signups"), {
    PROMETHEUS: Call("signups.inc()", "signups_total"),
    OPENTELEMETRY: Call("otel_signups.add(1)", "signups"),
    DATADOG: Call('statsd.increment("signups")', "signups"),
}, limit=1.0)
LABELLED = Spec("metric(slug, labels)", Call('metric("orders", labels={"plan": "pro"})', "orders"), {
    PROMETHEUS: Call('orders.labels("pro").inc()', "orders_total"),
    OPENTELEMETRY: Call('otel_signups.add(1, {"plan": "pro"})', "signups"),
    DATADOG: Call('statsd.increment("signups", tags=["plan:pro"])', "signups"),
}, limit=0.5)
TIMED = Spec("with timing(slug)", Call('with timing("export"):\n    pass', "export"), {
    "prometheus_client Histogram": Call("with export.time():\n    pass", "export_count"),
    "prometheus_client Summary": Call("with small_export.time():\n    pass", "small_export_count"),
    DATADOG: Call('with statsd.timed("export"):\n    pass', "export"),
})
TRACKED = Spec("@track(slug)", Call("job()", "job"), {"prometheus_client by hand": Call("job_by_hand()", "jobs_total")})
THOUSAND = PLAIN.whole("1,000 calls", 1000)
SPECS = (
    PLAIN,
    LABELLED,
    Spec(f"metric, {VARIETY} slugs in turn", Call("metric(next(pages))", "page-"), {
        PROMETHEUS: Call("by_name[next(pages)].inc()", "page_total"),
    }),
    Spec(f"metric, {VARIETY} label sets in turn", Call('metric("orders", labels={"plan": next(plans)})', "orders"), {
        PROMETHEUS: Call("orders.labels(next(plans)).inc()", "orders_total"),
        OPENTELEMETRY: Call('otel_signups.add(1, {"plan": next(plans)})', "signups"),
        DATADOG: Call('statsd.increment("signups", tags=[f"plan:{next(plans)}"])', "signups"),
    }),
    Spec("metric(slug, Decimal, labels)", Call('metric("orders", price, labels={"plan": "pro"})', "orders"), {
        PROMETHEUS: Call('sales.labels("pro").observe(19.99)', "sales_count"),
    }),
    Spec("metric(slug, at=datetime)", Call('metric("signups", at=at)', "signups"), {
        PROMETHEUS: PLAIN.references[PROMETHEUS],
    }),
    Spec("gauge(slug, value)", Call('gauge("queue", next(numbers[0]))', "queue"), {
        PROMETHEUS: Call("queue.set(next(numbers[1]))", "queue"),
        OPENTELEMETRY: Call("otel_queue.set(next(numbers[2]))", "queue"),
        DATADOG: Call('statsd.gauge("queue", next(numbers[3]))', "queue"),
    }),
    TIMED,
    TRACKED,
    Spec("@track(slug, timing=True)", Call("timed_job()", "timed-job_seconds"), {
        "prometheus_client Summary": Call("job_by_summary()", "job_seconds_count"),
    }, runs=RUNS // 2),  # two entries each
    *(spec.in_threads() for spec in (PLAIN, LABELLED, TIMED, TRACKED)),
    PLAIN.whole("10 calls", 10),
    PLAIN.whole("20 calls of 10 slugs", 20, 3.0, Call("metric(next(few_pages))", "page-")),
    LABELLED.whole("20 calls of 10 label sets", 20, 0.8, Call('metric("orders", labels=next(few_plans))', "orders")),
    THOUSAND,
    LABELLED.whole("1,000 labelled calls", 1000),
    THOUSAND.in_threads(),
    Spec("metric(slug), APP_METRICS_DISABLED", PLAIN.ours, {
        "OpenTelemetry no-op": Call("otel_nothing.add(1)", "nothing"),
        "an empty function": Call("work()", "nothing"),
    }, disabled=True),
)
# fmt: on


def work():
    pass


class World(NamedTuple):
    """The names that statements use, and counters keyed by the prefix of a peer's name."""

    names: dict[str, Any]
    counters: dict[str, Any]

    def counted(self, who, name):
        return next((each.counted(name) for prefix, each in self.counters.items() if who.startswith(prefix)), 0)


@contextmanager
def world():
    prometheus_client, opentelemetry = peers.Prometheus(), peers.OpenTelemetry()
    counter, gauge, histogram, summary = (
        partial(kind, documentation="", registry=prometheus_client.registry)
        for kind in (prometheus.Counter, prometheus.Gauge, prometheus.Histogram, prometheus.Summary)
    )
    page, pages = counter("page", labelnames=["name"]), [f"page-{number}" for number in range(VARIETY)]
    names = {
        **vars(app_metrics),
        "work": work,
        "signups": counter("signups"),
        "orders": counter("orders", labelnames=["plan"]),
        "sales": summary("sales", labelnames=["plan"]),
        "queue": gauge("queue"),
        "export": histogram("export"),
        "small_export": summary("small_export"),
        "by_name": {name: page.labels(name) for name in pages},
        "otel_signups": opentelemetry.meter.create_counter("signups"),
        "otel_queue": opentelemetry.meter.create_gauge("queue"),
        "otel_nothing": NoOpMeterProvider().get_meter("benchmarks").create_counter("nothing"),
        "pages": cycle(pages),
        "few_pages": cycle(pages[:10]),
        "plans": cycle([f"plan-{number}" for number in range(VARIETY)]),
        "few_plans": cycle([{"plan": f"plan-{number}"} for number in range(10)]),
        "numbers": [count(1) for _ in range(4)],  # a gauge's last value is the number of times it was set
        "price": Decimal("19.99"),
        "at": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "job": app_metrics.track("job")(work),
        "timed_job": app_metrics.track("timed-job", timing=True)(work),
        "job_by_hand": peers.counting(work, counter("jobs")),
        "job_by_summary": summary("job_seconds").time()(work),
    }
    with peers.datadog() as datadog:
        counters = {OURS: peers.Ours(), PROMETHEUS: prometheus_client, OPENTELEMETRY: opentelemetry, DATADOG: datadog}
        yield World({**names, "statsd": datadog.client}, counters)


def tables(scale):
    repeats = scale.of(1, 31, 101)
    with world() as there:
        measured = [each for spec in SPECS for each in run(spec, there, repeats)]
    title = f"A call in a scope, median of {repeats}, of {repeats // 4} with {THREADS} threads where so named"
    columns = [runner.name("call"), runner.number("ns", unit=1e9), ("beside", lambda each: each.reference)]
    columns += [runner.reference("ns", unit=1e9), *runner.ratio(), runner.AT_MOST]
    yield runner.Table(title, columns, measured)


def run(spec, there, repeats):
    """Measure ours beside each peer; rounds in threads are many and vary less, so they need fewer repeats."""
    calls, limits = {OURS: spec.ours, **spec.references}, {}
    before = {who: there.counted(who, call.name) for who, call in calls.items()}

    def check(runs):
        for who, call in calls.items():
            made = 0 if spec.disabled else call.calls * spec.runs * spec.rounds * spec.threads * runs
            runner.expect(f"{who}, {spec.name}", there.counted(who, call.name) - before[who], made)

    if spec.limit:
        last_line = spec.references[PROMETHEUS].statement.rpartition("\n")[2].strip()
        limits = {PROMETHEUS: runner.at_most(spec.limit, against=f"{PROMETHEUS} {last_line}")}
    settings = {"APP_METRICS_BACKEND": "benchmarks.peers", "APP_METRICS_DISABLED": spec.disabled}
    with override_settings(**settings), ThreadPoolExecutor(spec.threads) as pool:
        subjects = {who: partial(timed, call, spec, there.names, who, pool) for who, call in calls.items()}
        case = runner.Case(spec.name, subjects.pop(OURS), subjects, check, limits)
        return runner.measure([case], repeats if spec.rounds == 1 else max(1, repeats // 4))


def timed(call, spec, names, who, pool):
    """Return the seconds per call: from the start of the first thread to the end of the last, divided by all calls.

    The ends of scopes are not timed, but ours pays for keeping their entries in memory until then.
    """
    together = Barrier(spec.threads)
    scope = app_metrics.collect if who == OURS and spec.scoped else nullcontext

    def in_thread(_):
        timer = Timer(call.statement, "import gc; gc.enable()", globals=dict(names))
        with ExitStack() as scopes:
            together.wait()
            begin = perf_counter()
            for _ in range(spec.rounds):
                scopes.enter_context(scope())
                timer.timeit(spec.runs)
            end = perf_counter()
            together.wait()
        return begin, end

    begins, ends = zip(*pool.map(in_thread, range(spec.threads)), strict=True)
    return (max(ends) - min(begins)) / (call.calls * spec.runs * spec.rounds * spec.threads)
