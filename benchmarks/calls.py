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

import prometheus_client as prometheus
from django.test import override_settings
from opentelemetry.metrics import NoOpMeterProvider

import app_metrics

from . import peers, runner
from .runner import Case

OURS, PROMETHEUS, OPENTELEMETRY, DATADOG = "django-app-metrics", "prometheus_client", "OpenTelemetry SDK", "datadog"
RUNS = 1000  # calls in a scope; too few for the scope to fold its entries early
THREADS = 8
VARIETY = 100  # how many slugs and label values take turns


# How a statement that makes so many `calls` runs: `rounds` times `runs` times in each thread, ours in a scope per round
# if `scoped`. None is counted if `disabled`.
HOW = {"calls": 1, "runs": RUNS, "rounds": 1, "threads": 1, "scoped": True, "disabled": False}


def case(name, ours, references, most=None, **how):
    """Declare our statement beside those of peers, each with the name under which its calls are counted.

    `most` limits the ratio to the first peer. `run` makes the statements callable.
    """
    first, (statement, _) = next(iter(references.items()))
    limit = runner.at_most(most, against=f"{first} {statement.splitlines()[-1].strip()}") if most else None
    return Case(name, ours, references, limit, facts={**HOW, **how})


def in_threads(case):
    """Return the same in threads, each running well beyond the interpreter's switch interval of 5 ms."""
    return case._replace(name=f"{case.name}, {THREADS} threads", facts={**case.facts, "threads": THREADS, "rounds": 20})


def whole(plain, name, calls, most=None, ours=None):
    """Return the same including the scope, the folding and the write."""
    loop, (statement, slug) = f"for _ in range({calls}):\n    ", ours or plain.subject
    references = {who: (loop + each, counted) for who, (each, counted) in plain.references.items()}
    ours = (f"with collect():\n    for _ in range({calls}):\n        {statement}", slug)
    how = {"calls": calls, "runs": max(1, RUNS // calls), "scoped": False}
    return case(f"with the scope, of {name}", ours, references, most, **how)


# fmt: off
PLAIN = case("metric(slug)", ('metric("signups")', "signups"), {
    PROMETHEUS: ("signups.inc()", "signups_total"),
    OPENTELEMETRY: ("otel_signups.add(1)", "signups"),
    DATADOG: ('statsd.increment("signups")', "signups"),
}, most=1.0)
LABELLED = case("metric(slug, labels)", ('metric("orders", labels={"plan": "pro"})', "orders"), {
    PROMETHEUS: ('orders.labels("pro").inc()', "orders_total"),
    OPENTELEMETRY: ('otel_signups.add(1, {"plan": "pro"})', "signups"),
    DATADOG: ('statsd.increment("signups", tags=["plan:pro"])', "signups"),
}, most=0.5)
TIMED = case("with timing(slug)", ('with timing("export"):\n    pass', "export"), {
    "prometheus_client Histogram": ("with export.time():\n    pass", "export_count"),
    "prometheus_client Summary": ("with small_export.time():\n    pass", "small_export_count"),
    DATADOG: ('with statsd.timed("export"):\n    pass', "export"),
})
TRACKED = case("@track(slug)", ("job()", "job"), {"prometheus_client by hand": ("job_by_hand()", "jobs_total")})
THOUSAND = whole(PLAIN, "1,000 calls", 1000)
CASES = (
    PLAIN,
    LABELLED,
    case(f"metric, {VARIETY} slugs in turn", ("metric(next(pages))", "page-"), {
        PROMETHEUS: ("by_name[next(pages)].inc()", "page_total"),
    }),
    case(f"metric, {VARIETY} label sets in turn", ('metric("orders", labels={"plan": next(plans)})', "orders"), {
        PROMETHEUS: ("orders.labels(next(plans)).inc()", "orders_total"),
        OPENTELEMETRY: ('otel_signups.add(1, {"plan": next(plans)})', "signups"),
        DATADOG: ('statsd.increment("signups", tags=[f"plan:{next(plans)}"])', "signups"),
    }),
    case("metric(slug, Decimal, labels)", ('metric("orders", price, labels={"plan": "pro"})', "orders"), {
        PROMETHEUS: ('sales.labels("pro").observe(19.99)', "sales_count"),
    }),
    case("metric(slug, at=datetime)", ('metric("signups", at=at)', "signups"), {
        PROMETHEUS: ("signups.inc()", "signups_total"),
    }),
    case("gauge(slug, value)", ('gauge("queue", next(numbers[0]))', "queue"), {
        PROMETHEUS: ("queue.set(next(numbers[1]))", "queue"),
        OPENTELEMETRY: ("otel_queue.set(next(numbers[2]))", "queue"),
        DATADOG: ('statsd.gauge("queue", next(numbers[3]))', "queue"),
    }),
    TIMED,
    TRACKED,
    case("@track(slug, timing=True)", ("timed_job()", "timed-job_seconds"), {
        "prometheus_client Summary": ("job_by_summary()", "job_seconds_count"),
    }, runs=RUNS // 2),  # two entries each
    *map(in_threads, (PLAIN, LABELLED, TIMED, TRACKED)),
    whole(PLAIN, "10 calls", 10),
    whole(PLAIN, "20 calls of 10 slugs", 20, 3.0, ("metric(next(few_pages))", "page-")),
    whole(LABELLED, "20 calls of 10 label sets", 20, 0.8, ('metric("orders", labels=next(few_plans))', "orders")),
    THOUSAND,
    whole(LABELLED, "1,000 labelled calls", 1000),
    in_threads(THOUSAND),
    case("metric(slug), APP_METRICS_DISABLED", ('metric("signups")', "signups"), {
        "OpenTelemetry no-op": ("otel_nothing.add(1)", "nothing"),
        "an empty function": ("work()", "nothing"),
    }, disabled=True),
)
# fmt: on


def work():
    pass


@contextmanager
def world():
    """Yield the names that statements use, and a function that returns how many calls a peer counted under a name."""
    prometheus_client, opentelemetry = peers.Prometheus(), peers.OpenTelemetry()
    counter, gauge, histogram, summary = (
        partial(kind, documentation="", registry=prometheus_client.registry)
        for kind in (prometheus.Counter, prometheus.Gauge, prometheus.Histogram, prometheus.Summary)
    )
    page, pages = counter("page", labelnames=["name"]), [f"page-{number}" for number in range(VARIETY)]
    jobs = counter("jobs")

    def job_by_hand():
        work()
        jobs.inc()

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
        "job_by_hand": job_by_hand,
        "job_by_summary": summary("job_seconds").time()(work),
    }
    with peers.datadog() as datadog:
        counters = {OURS: peers.Ours(), PROMETHEUS: prometheus_client, OPENTELEMETRY: opentelemetry, DATADOG: datadog}

        def counted(who, name):
            return next((each.counted(name) for prefix, each in counters.items() if who.startswith(prefix)), 0)

        yield {**names, "statsd": datadog.client}, counted


def tables(scale):
    repeats = scale.of(1, 31, 101)
    with world() as (names, counted):
        measured = [each for case in CASES for each in run(case, names, counted, repeats)]
    title = f"A call in a scope, median of {repeats}, of {repeats // 4} with {THREADS} threads where so named"
    columns = [runner.name("call"), runner.number("ns"), ("beside", lambda each: each.reference)]
    columns += [runner.reference("ns"), *runner.ratio(), runner.AT_MOST]
    yield runner.Table(title, columns, measured)


def run(case, names, counted, repeats):
    """Measure ours beside each peer; rounds in threads are many and vary less, so they need fewer repeats."""
    how = case.facts
    total = how["calls"] * how["runs"] * how["rounds"] * how["threads"]
    settings = {"APP_METRICS_BACKEND": "benchmarks.peers", "APP_METRICS_DISABLED": how["disabled"]}
    with override_settings(**settings), ThreadPoolExecutor(how["threads"]) as pool:

        def subject(who, statement, name):
            scope = app_metrics.collect if who == OURS and how["scoped"] else nullcontext
            seconds = partial(timed, statement, names, scope, how, pool)
            each = 0 if how["disabled"] else total
            return runner.counting(
                f"{who} in {case.name}", lambda: seconds() / total, partial(counted, who, name), each
            )

        references = {who: subject(who, *each) for who, each in case.references.items()}
        measured = case._replace(subject=subject(OURS, *case.subject), references=references)
        return runner.measure([measured], repeats if how["rounds"] == 1 else max(1, repeats // 4))


def timed(statement, names, scope, how, pool):
    """Return the seconds from the start of the first thread to the end of the last.

    The ends of scopes are not timed, but ours pays for keeping their entries in memory until then.
    """
    together = Barrier(how["threads"])

    def in_thread(_):
        timer = Timer(statement, "import gc; gc.enable()", globals=dict(names))
        with ExitStack() as scopes:
            together.wait()
            begin = perf_counter()
            for _ in range(how["rounds"]):
                scopes.enter_context(scope())
                timer.timeit(how["runs"])
            end = perf_counter()
            together.wait()
        return begin, end

    begins, ends = zip(*pool.map(in_thread, range(how["threads"])), strict=True)
    return max(ends) - min(begins)
