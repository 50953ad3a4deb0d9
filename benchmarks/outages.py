"""How much longer a write takes while its broker accepts connections and never answers.

A backend's first three writes wait for the broker; then the circuit breaker opens, and batches go straight to the
database, as the control's always do.
"""

import logging
import statistics
from contextlib import closing, contextmanager
from functools import partial

from celery import current_app

from app_metrics.backends.celery import MetricsBackend
from app_metrics.conf import timeout
from app_metrics.models import LedgerRow
from app_metrics.storage.ledger import write_once
from app_metrics.transport.circuit_breaker import FAILURES
from tests.soak.brokers.apps import make_app
from tests.soak.brokers.faults import Silent
from tests.support.contract import batch_of

from . import runner
from .runner import Case, Subject, Table, clock, expect

BROKERS = {"Redis": "redis://127.0.0.1:{}/0", "AMQP": "amqp://guest:guest@127.0.0.1:{}//"}
CONTROL = "a write without a broker"


def tables(scale):
    logging.getLogger("app_metrics").setLevel(logging.ERROR)  # every failed write logs a warning
    rounds, after = scale.of((1, 2), (5, 200), (5, 200))
    with runner.database("sqlite"):
        measured = [each for name, url in BROKERS.items() for each in silent(name, url, rounds, after)]
    title = f"Added to a write by a broker that never answers, {rounds} times 3 first ones and {after} after them"
    longest = ("longest", lambda each: f"{max(each.values()) * 1e3:.1f}")
    columns = [runner.name(), runner.number("ms"), runner.spread("ms"), longest, runner.AT_MOST]
    yield Table(title, columns, measured)


def silent(name, url, rounds, after):
    """Measure the first writes of several backends, and the writes after them."""
    expect("The budget of a write, in seconds", timeout(), 0.25)
    with closing(Silent()) as broker, current(make_app(url.format(broker.port), "benchmark")):
        backends = []

        def write():
            if not backends or backends[-1].writes == FAILURES:
                backends.append(Backend())
            return backends[-1].seconds()

        found = added(f"{name}, the first three requests", write, rounds * FAILURES, max, 250)
        tried = len(broker.accepted)
        expect(f"{name}: whether each write tried the broker", tried >= rounds * FAILURES, True)
        found += added(f"{name}, once it is left alone", backends[-1].seconds, after, statistics.median, 5)
        expect("Connections to a broker that is left alone", len(broker.accepted) - tried, 0)
        return found


@contextmanager
def current(app):
    """Let the backend publish with an app, whichever app this thread used before."""
    before = current_app._get_current_object()
    app.set_default()
    app.set_current()
    try:
        yield
    finally:
        before.set_default()
        before.set_current()


class Backend:
    """A backend that has not tried the broker yet, and the number of its writes."""

    def __init__(self):
        self._backend, self.writes = MetricsBackend(), 0
        self._backend._breaker._pause = 60  # seconds, longer than this benchmark takes

    def seconds(self):
        self.writes += 1
        return clock(self._backend.write, batch_of("orders"))


def added(name, write, repeats, judge, most):
    """Limit what a broker adds to at most this many milliseconds, by the longest or the median time."""

    def found(measured):
        return judge(measured.values()) * 1000

    what = "a broker that never answers ({}), {}".format(*name.split(", "))
    limit = runner.Limit(
        f"+{most} ms", lambda each: f"{found(each):+.1f} ms", lambda each: found(each) <= most, what, CONTROL
    )
    control = Subject(lambda: clock(partial(write_once, batch_of("orders"), tries=1)))
    subject = runner.counting("the ledger", write, LedgerRow.objects.count, 2)  # the batch, and that of the control
    case = Case(name, subject, limit=limit, less={name: CONTROL})
    return runner.measure([case], repeats, beside={CONTROL: control}, warm=0)
