"""The calls that `benchmarks.calls` times: statements, and the names that they use."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, cycle
from typing import Any, NamedTuple

from .peers import Datadog, OpenTelemetry, Prometheus, counted

PROMETHEUS, OPENTELEMETRY, DATADOG = "prometheus_client", "OpenTelemetry SDK", "datadog"
OURS = "django-app-metrics"

# Calls at a time: in a scope, fewer than the scope folds at once.
RUNS = 1000
THREADS = 8
# Scopes in a row in each of the threads: some milliseconds even of the fastest call, where the interpreter lets a
# thread run for 5.
ROUNDS = 20
# So many slugs, and values of a label, come in turn.
VARIETY = 100


class Call(NamedTuple):
    """A statement, the name under which its calls are counted, and how many calls it is."""

    statement: str
    name: str
    calls: int = 1


class Case(NamedTuple):
    """Calls that do the same, ours and what one would use instead, in threads, rounds and runs of the statement.

    Ours is timed within a scope in each round if it is `scoped`. If it is `disabled`, nobody counts anything.
    """

    name: str
    ours: Call
    references: Mapping[str, Call]
    limits: Mapping[str, float] = {}
    threads: int = 1
    rounds: int = 1
    runs: int = RUNS
    scoped: bool = True
    disabled: bool = False


PLAIN = {
    PROMETHEUS: Call("signups.inc()", "signups_total"),
    OPENTELEMETRY: Call("otel_signups.add(1)", "signups"),
    DATADOG: Call('statsd.increment("signups")', "signups"),
}
LABELLED = {
    PROMETHEUS: Call('orders.labels("pro").inc()', "orders_total"),
    OPENTELEMETRY: Call('otel_signups.add(1, {"plan": "pro"})', "signups"),
    DATADOG: Call('statsd.increment("signups", tags=["plan:pro"])', "signups"),
}
METRIC = 'metric("signups")'
WITH_LABELS = 'metric("orders", labels={"plan": "pro"})'
TIMING = Call('with timing("export"):\n    pass', "export")
TIMED = {
    "prometheus_client Histogram": Call("with export.time():\n    pass", "export_count"),
    "prometheus_client Summary": Call("with small_export.time():\n    pass", "small_export_count"),
    DATADOG: Call('with statsd.timed("export"):\n    pass', "export"),
}
TRACKED, TRACKED_BY_HAND = Call("job()", "job"), {"prometheus_client by hand": Call("job_by_hand()", "jobs_total")}
LIMIT, LABELLED_LIMIT = {PROMETHEUS: 1.0}, {PROMETHEUS: 0.5}


def whole(statement: str, name: str, calls: int) -> Call:
    """Return a scope with so many calls, of which the folding and the handing over are part."""
    return Call(f"with collect():\n    for _ in range({calls}):\n        {statement}", name, calls)


def many(references: Mapping[str, Call], calls: int) -> dict[str, Call]:
    """Return so many of each reference's calls in the same loop."""
    return {
        name: Call(f"for _ in range({calls}):\n    {call.statement}", call.name, calls)
        for name, call in references.items()
    }


CASES = (
    Case("metric(slug)", Call(METRIC, "signups"), PLAIN, LIMIT),
    Case("metric(slug, labels)", Call(WITH_LABELS, "orders"), LABELLED, LABELLED_LIMIT),
    Case(
        f"metric, {VARIETY} slugs in turn",
        Call("metric(next(pages))", "page-"),
        {PROMETHEUS: Call("by_name[next(pages)].inc()", "page_total")},
    ),
    Case(
        f"metric, {VARIETY} label sets in turn",
        Call('metric("orders", labels={"plan": next(plans)})', "orders"),
        {
            PROMETHEUS: Call("orders.labels(next(plans)).inc()", "orders_total"),
            OPENTELEMETRY: Call('otel_signups.add(1, {"plan": next(plans)})', "signups"),
            DATADOG: Call('statsd.increment("signups", tags=[f"plan:{next(plans)}"])', "signups"),
        },
    ),
    Case(
        "metric(slug, Decimal, labels)",
        Call('metric("orders", price, labels={"plan": "pro"})', "orders"),
        {PROMETHEUS: Call('sales.labels("pro").observe(19.99)', "sales_count")},
    ),
    Case(
        "metric(slug, at=datetime)",
        Call('metric("signups", at=at)', "signups"),
        {PROMETHEUS: Call("signups.inc()", "signups_total")},
    ),
    Case(
        "gauge(slug, value)",
        Call('gauge("queue", next(numbers[0]))', "queue"),
        {
            PROMETHEUS: Call("queue.set(next(numbers[1]))", "queue"),
            OPENTELEMETRY: Call("otel_queue.set(next(numbers[2]))", "queue"),
            DATADOG: Call('statsd.gauge("queue", next(numbers[3]))', "queue"),
        },
    ),
    Case("with timing(slug)", TIMING, TIMED),
    Case("@track(slug)", TRACKED, TRACKED_BY_HAND),
    Case(
        "@track(slug, timing=True)",
        Call("timed_job()", "timed-job_seconds"),
        {"prometheus_client Summary": Call("job_by_summary()", "job_seconds_count")},
        runs=RUNS // 2,  # two entries each
    ),
    Case("metric(slug), 8 threads", Call(METRIC, "signups"), PLAIN, LIMIT, THREADS, ROUNDS),
    Case("metric(slug, labels), 8 threads", Call(WITH_LABELS, "orders"), LABELLED, LABELLED_LIMIT, THREADS, ROUNDS),
    Case("with timing(slug), 8 threads", TIMING, TIMED, threads=THREADS, rounds=ROUNDS),
    Case("@track(slug), 8 threads", TRACKED, TRACKED_BY_HAND, threads=THREADS, rounds=ROUNDS),
    Case("with the scope, of 10 calls", whole(METRIC, "signups", 10), many(PLAIN, 10), runs=100, scoped=False),
    Case("with the scope, of 1,000 calls", whole(METRIC, "signups", 1000), many(PLAIN, 1000), runs=1, scoped=False),
    Case(
        "with the scope, of 1,000 labelled calls",
        whole(WITH_LABELS, "orders", 1000),
        many(LABELLED, 1000),
        runs=1,
        scoped=False,
    ),
    Case(
        "with the scope, of 1,000 calls, 8 threads",
        whole(METRIC, "signups", 1000),
        many(PLAIN, 1000),
        threads=THREADS,
        rounds=ROUNDS,
        runs=1,
        scoped=False,
    ),
    Case(
        "metric(slug), APP_METRICS_DISABLED",
        Call(METRIC, "signups"),
        {"OpenTelemetry no-op": Call("otel_nothing.add(1)", "nothing"), "an empty function": Call("work()", "nothing")},
        disabled=True,
    ),
)


def work() -> None:
    pass


def namespace(prometheus: Prometheus, opentelemetry: OpenTelemetry, dogstatsd: Datadog) -> dict[str, Any]:
    """Return what the statements name."""
    from opentelemetry.metrics import NoOpMeterProvider
    from prometheus_client import Counter, Gauge, Histogram, Summary

    from app_metrics import collect, gauge, metric, timing, track

    registry, meter = prometheus.registry, opentelemetry.meter
    page = Counter("page", "", ["name"], registry=registry)
    pages = [f"page-{number}" for number in range(VARIETY)]
    return {
        "collect": collect,
        "gauge": gauge,
        "metric": metric,
        "timing": timing,
        "work": work,
        "signups": Counter("signups", "", registry=registry),
        "orders": Counter("orders", "", ["plan"], registry=registry),
        "sales": Summary("sales", "", ["plan"], registry=registry),
        "queue": Gauge("queue", "", registry=registry),
        "export": Histogram("export", "", registry=registry),
        "small_export": Summary("small_export", "", registry=registry),
        "by_name": {name: page.labels(name) for name in pages},
        "otel_signups": meter.create_counter("signups"),
        "otel_queue": meter.create_gauge("queue"),
        "otel_nothing": NoOpMeterProvider().get_meter("benchmarks").create_counter("nothing"),
        "statsd": dogstatsd.client,
        "pages": cycle(pages),
        "plans": cycle([f"plan-{number}" for number in range(VARIETY)]),
        # The last value of a gauge tells how many there were.
        "numbers": [count(1) for _ in range(4)],
        "price": Decimal("19.99"),
        "at": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "job": track("job")(work),
        "timed_job": track("timed-job", timing=True)(work),
        "job_by_hand": counted(Counter("jobs", "", registry=registry))(work),
        "job_by_summary": Summary("job_seconds", "", registry=registry).time()(work),
    }
