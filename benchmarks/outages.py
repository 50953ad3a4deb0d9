"""How much longer a write takes while its broker accepts connections and never answers, beside one without a broker.

A request waits for its write after its body is out. The first three wait for the broker; after them it is left alone,
and a batch goes straight to the database, which is what the reference does. A batch that is not in the database makes
it fail, and so does a broker that nobody tried, or that was tried while it should be left alone.
"""

import logging
import statistics
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from .measuring import Result, clock, expect, in_turn, middle, save, site
from .tables import Table

BROKERS = {"Redis": "redis://127.0.0.1:{}/0", "AMQP": "amqp://guest:guest@127.0.0.1:{}//"}
# Each with a backend that knows nothing of the broker yet.
ROUNDS = 5
# Writes of a round after the broker is left alone.
AFTERWARDS = 40
# The numbers to hold, in milliseconds.
FIRST, OPEN = "the first three requests", "once it is left alone"
AT_MOST = {FIRST: 250, OPEN: 5}


def main() -> int:
    logging.getLogger("app_metrics").setLevel(logging.ERROR)  # every write that fails is a warning
    with site():
        added = {name: measured(url) for name, url in BROKERS.items()}
    table = tabulated(added)
    print(table.text())
    save("outages", tables=[table], limits=list(limits(added)), milliseconds=added)
    return 0


def measured(url: str) -> dict[str, list[float]]:
    """Return by how many milliseconds each write took longer than the median of those without a broker."""
    from app_metrics.conf import timeout
    from app_metrics.models import LedgerRow
    from tests.soak.brokers.apps import make_app
    from tests.soak.brokers.faults import Silent

    expect("The budget of a write, in seconds", timeout(), 0.25)
    before = LedgerRow.objects.count()
    with closing(Silent()) as broker:
        make_app(url.format(broker.port), "benchmark").set_default()
        rounds = [one_round(broker) for _ in range(ROUNDS)]
    expect("Batches in the database", LedgerRow.objects.count() - before, 2 * ROUNDS * (3 + AFTERWARDS))
    return {when: [each for added in rounds for each in added[when]] for when in AT_MOST}


def one_round(broker: Any) -> dict[str, list[float]]:
    from app_metrics.backends.celery import MetricsBackend
    from app_metrics.storage.ledger import write_once
    from app_metrics.transport.circuit_breaker import FAILURES

    backend = MetricsBackend()
    backend._breaker._pause = 60  # longer than this takes
    tried = len(broker.accepted)
    subjects = {
        "write": partial(written, backend.write),
        "control": partial(written, partial(write_once, tries=1)),
    }
    first = in_turn(subjects, FAILURES)
    if len(broker.accepted) < tried + FAILURES:
        raise AssertionError("The broker was not tried by each of the first writes.")
    tried = len(broker.accepted)
    left = in_turn(subjects, AFTERWARDS)
    expect("Connections to a broker that is left alone", len(broker.accepted) - tried, 0)
    control = statistics.median([*first["control"], *left["control"]])
    return {when: [(each - control) * 1000 for each in took["write"]] for when, took in ((FIRST, first), (OPEN, left))}


def written(write: Callable[[Any], Any]) -> float:
    """Return the seconds in which a new batch is written."""
    from tests.support.contract import batch_of

    return clock(partial(write, batch_of("orders")))


def tabulated(added: dict[str, dict[str, list[float]]]) -> Table:
    title = f"Added to a write by a broker that never answers, {ROUNDS} times 3 first ones and {AFTERWARDS} after them"
    rows = []
    for name, measurements in added.items():
        for when, values in measurements.items():
            low, median, high = middle(values)
            spread, most = f"{low:.1f}–{high:.1f}", f"{max(values):.1f}"
            rows.append([f"{name}, {when}", f"{median:.1f}", spread, most, f"{AT_MOST[when]}"])
    return Table(title, ["", "ms", "spread", "longest", "at most"], rows)


def limits(added: dict[str, dict[str, list[float]]]) -> list[Result]:
    """Hold the longest of the first ones to the budget, and the median of those after them."""
    found = []
    for name, measurements in added.items():
        for when, judge in ((FIRST, max), (OPEN, statistics.median)):
            milliseconds, most = judge(measurements[when]), AT_MOST[when]
            found.append(
                {
                    "what": f"a broker that never answers ({name}), {when}",
                    "against": "a write without a broker",
                    "found": f"{milliseconds:+.1f} ms",
                    "limit": f"+{most} ms",
                    "met": milliseconds <= most,
                }
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
