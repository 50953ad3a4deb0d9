"""Faults of the network."""

import time
from collections.abc import Callable
from typing import Any

from tests.soak.faults.cell import Cell, Violation, patient
from tests.soak.faults.checker import Verdict
from tests.soak.faults.journal import PATIENCE, failures
from tests.soak.faults.proxy import Proxy

# How many batches a writer writes; a slow machine takes longer, but loses as many replies.
BATCHES_PER_SECOND = 100
# Failures that open the circuit breaker. This process has no settings, so it cannot import app_metrics.
FAILURES = 3


def refused(cell: Cell) -> Verdict:
    """Refuse connections for a while."""
    return outage(cell, Proxy.refuse)


def silent(cell: Cell) -> Verdict:
    """Accept connections, and answer nothing for a while."""
    return outage(cell, Proxy.be_silent)


def unroutable(cell: Cell) -> Verdict:
    """Drop connection attempts for a while."""
    return outage(cell, Proxy.vanish)


def frozen(cell: Cell) -> Verdict:
    """Forward nothing on open connections for a while."""
    return outage(cell, Proxy.freeze)


def outage(cell: Cell, happen: Callable[[Proxy], None]) -> Verdict:
    """Run writers and an aggregator through an outage; afterwards the retry queue is written.

    The outage lasts until every writer's circuit breaker is open, so that some batches were never tried.
    """
    with cell.proxy() as (proxy, way):
        writing = [cell.write(overrides=way, seconds=cell.seconds, through=FAILURES) for _ in range(2)]
        aggregator = cell.aggregate(way, through_faults=True)
        cell.sleep(0.3)
        happen(proxy)
        cell.sleep(0.4)
        wait_until(lambda: min(map(failures, cell.journals)) >= FAILURES, "not every writer met the outage")
        proxy.forward()
        cell.tally["batches"] += sum(writer.result() for writer in writing)
        cell.tally["failed writes"] += sum(map(failures, cell.journals))
        cell.kill(aggregator)
    return cell.verdict()


def write_some(cell: Cell) -> None:
    """Write batches that are then pending outside the database."""
    cell.tally["batches"] += cell.write(overrides=patient({}), batches=20, pause=0).result()


def database_away(cell: Cell) -> Verdict:
    """Refuse database connections, leave some without an answer, and freeze others, during a drain."""
    journal = str(cell.directory / "bringing")
    with cell.database_proxy() as (proxy, way):
        bringing = cell.bring(way, journal)
        for happen in (proxy.refuse, proxy.be_silent, proxy.freeze):
            write_some(cell)
            failed = failures(journal)
            happen()
            if happen == proxy.freeze:  # no failure: PostgreSQL's client waits
                cell.sleep(0.3)
            else:
                # Workers may already have written the others.
                write_some(cell)
                wait_until(lambda: failures(journal) > failed, "no drain failed")  # noqa: B023 - done here
            proxy.forward()
        cell.tally["failures to bring"] += failures(journal)
        cell.end(bringing)
    return cell.verdict()


def database_reply_lost(cell: Cell) -> Verdict:
    """Lose the database's replies to the commits of a drain, and aggregate before the drain is tried again."""
    write_some(cell)
    with cell.database_proxy() as (proxy, way):
        proxy.lose_replies(rb"COMMIT", every=1, most=4)
        bringing = cell.bring(way, str(cell.directory / "bringing"))
        for lost in range(1, 5):
            wait_until(lambda: proxy.lost_replies >= lost, "no reply was lost")  # noqa: B023 - done here
            cell.aggregate_elsewhere()
        note_losses(cell, proxy)
        cell.end(bringing)
    return cell.verdict()


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise Violation(otherwise)
        time.sleep(0.02)


def reply_lost(cell: Cell) -> Verdict:
    """Lose replies to writers, then to an aggregator, so that no batch is aggregated between its two writes.

    The second write is recognised, with or without a ledger.
    """
    with cell.proxy() as (proxy, way):
        lose_replies_to_writer(cell, proxy, way, batches=50)
        if cell.destination.draining is not None:
            proxy.lose_replies(cell.destination.draining, every=1, most=4)
            cell.start("recover", way, chunk_size=20).result()
            note_losses(cell, proxy)
    return cell.verdict(strict=cell.destination.recognises_what_waits)


def reply_lost_and_aggregated(cell: Cell) -> Verdict:
    """Lose replies to a writer, and aggregate each batch before it is written again."""
    with cell.proxy() as (proxy, way):
        aggregator = cell.aggregate()
        lose_replies_to_writer(cell, proxy, way, batches=round(BATCHES_PER_SECOND * cell.seconds))
        cell.kill(aggregator)
    return cell.verdict()


def lose_replies_to_writer(cell: Cell, proxy: Proxy, way: dict[str, Any], **arguments: Any) -> None:
    proxy.lose_replies(cell.destination.writing, every=cell.destination.writes_per_lost_reply, most=10)
    cell.tally["batches"] += cell.write(overrides=patient(way), **arguments).result()
    note_losses(cell, proxy)


def note_losses(cell: Cell, proxy: Proxy) -> None:
    if not proxy.lost_replies:
        raise Violation("no reply was lost")
    cell.tally["lost replies"] += proxy.lost_replies
