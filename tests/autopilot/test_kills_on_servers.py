"""Processes of real servers are killed while their autopilot aggregates; numbers are exact all the same."""

from contextlib import ExitStack
from functools import partial

import pytest
from django.db import connections
from django.db.models import Sum

from app_metrics.core.periods import PERIODS
from app_metrics.models import Item, LedgerRow, Total
from app_metrics.models.pending import pending_batches
from tests.support.autopilot_servers import REPLACING, SERVERS, served_on_autopilot
from tests.support.mortal_autopilot import Orders
from tests.support.scope import everything
from tests.support.serving import METRICS
from tests.support.small_server import visit
from tests.support.waiting import settled

# The server that runs on every database, and by default on SQLite.
USUAL = "gunicorn gthread"
KILLS = 8 if everything else 3
VISITS = 5
# Rounds, mostly a second apart, until another process must have lost the lease.
TRIES = 20
COORDINATES = ("ENGINE", "NAME", "HOST", "PORT", "USER", "PASSWORD", "OPTIONS")


class Visitors:
    """Visit a site and count the answers; start its server again if it has ended, as a service manager does."""

    def __init__(self, serve):
        self._serve = serve
        self._running = ExitStack()
        self._address = self.process = None
        self.answered = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self._running.close()

    def start(self):
        self._running.close()
        self._address, self.process = self._running.enter_context(self._serve())
        self.answered += 1  # the request that asked whether the server was ready

    def visit(self):
        visit(self._address)
        self.answered += 1


@pytest.fixture
def orders(tmp_path):
    return Orders(tmp_path)


@pytest.fixture
def visitors(server, transactional_database, tmp_path, orders):
    """Visitors of a site on a server, whose autopilot waits for orders."""
    given = connections[transactional_database].settings_dict
    database = {key: str(given[key]) if key == "NAME" else given[key] for key in COORDINATES}
    middleware = ["tests.support.mortal_autopilot.obeying", METRICS]
    serve = partial(served_on_autopilot, server, database, tmp_path, orders=tmp_path, MIDDLEWARE=middleware)
    with Visitors(serve) as visitors:
        yield visitors


def marks(server):
    return () if server == USUAL else (pytest.mark.slow, pytest.mark.only_sqlite)


@pytest.mark.parametrize("server", [pytest.param(server, marks=marks(server)) for server in SERVERS])
def test_a_process_that_is_killed_in_its_rounds_loses_and_doubles_nothing(server, visitors, orders):
    # The first round also creates rows, and does what is due once a day.
    _, (steps, adding) = aggregate(visitors, orders), aggregate(visitors, orders)
    spread = [steps * number // KILLS for number in range(1, KILLS)]
    for step in (adding, *spread):
        die_in_round(visitors, orders, step)
        if server not in REPLACING:
            visitors.process.wait(60)
            visitors.start()
    orders.set_free()
    visitors.visit()
    exact = {"pending": 0, **dict.fromkeys(PERIODS, visitors.answered)}
    assert settled(counts, exact) == exact
    assert len(orders.log.kills()) == KILLS


def aggregate(visitors, orders):
    """Have a process aggregate; return how many steps its round took, and which of them added to totals."""
    for _ in range(TRIES):
        make_pending(visitors)
        steps, adding = orders.give(0)
        if adding:
            return steps, adding
    raise AssertionError("nobody aggregates")


def die_in_round(visitors, orders, step):
    """Have a process that aggregates killed at a step of its round."""
    for _ in range(TRIES):
        make_pending(visitors)
        if orders.give(step) is None:
            return
    raise AssertionError(f"no round took {step} steps, as if a process that was killed still had the lease")


def make_pending(visitors):
    """Visit the site; a visitor has the answer before the event is written, and a kill in between would lose it."""
    for _ in range(VISITS):
        visitors.visit()
    assert settled(recorded, visitors.answered) == visitors.answered


def recorded():
    """Return how many visits are in totals or pending, while no process aggregates."""
    found = counts()
    return found["pending"] + found["year"]


def counts():
    """Return how many visits are pending, and then how many the totals of each period hold."""
    items = Item.objects.filter(slug="visits").aggregate(visits=Sum("count"))["visits"] or 0
    pending = items + pending_elsewhere()
    totals = Total.objects.filter(metric__slug="visits").values_list("period").annotate(Sum("count"))
    return {"pending": pending, **dict.fromkeys(PERIODS, 0), **dict(totals)}


def pending_elsewhere():
    """Return how many visits are in the journal, without what a process had moved when it was killed."""
    batches = pending_batches({"visits"}).batches
    moved = set(LedgerRow.objects.filter(pk__in=[batch.id for batch in batches]).values_list("pk", flat=True))
    waiting = [summary.count for batch in batches if batch.id not in moved for summary in batch.summaries.values()]
    return sum(waiting)
