"""Faults of the way to a server."""

import time
from collections.abc import Callable
from typing import Any

from tests.soak.faults.cell import Cell, Violation, patient
from tests.soak.faults.checker import Verdict
from tests.soak.faults.journal import PATIENCE, failures
from tests.soak.faults.proxy import Proxy

# What a writer is given to do; a slow machine takes longer over it, and loses as many replies.
BATCHES_PER_SECOND = 100
# Failures after which a destination is left alone. Here there are no settings that app_metrics could be imported by.
FAILURES = 3


def refused(cell: Cell) -> Verdict:
    """Refuse connections for a while."""
    return outage(cell, Proxy.refuse)


def silent(cell: Cell) -> Verdict:
    """Accept connections and answer nothing for a while."""
    return outage(cell, Proxy.be_silent)


def unroutable(cell: Cell) -> Verdict:
    """Leave attempts to connect without an answer for a while."""
    return outage(cell, Proxy.vanish)


def frozen(cell: Cell) -> Verdict:
    """Pass nothing on for a while, in the middle of connections."""
    return outage(cell, Proxy.freeze)


def outage(cell: Cell, happen: Callable[[Proxy], None]) -> Verdict:
    """Let something happen to writers and to an aggregator, and pass; then what was kept is written.

    It lasts until each writer leaves the destination alone, so that some of what is kept was never offered.
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
    """Write what is to be brought to the database, to where it is brought from."""
    cell.tally["batches"] += cell.write(overrides=patient({}), batches=20, pause=0).result()


def database_away(cell: Cell) -> Verdict:
    """Refuse connections to the database, answer none, and pass nothing on, while something is brought there."""
    journal = str(cell.directory / "bringing")
    with cell.database_proxy() as (proxy, way):
        bringing = cell.bring(way, journal)
        for happen in (proxy.refuse, proxy.be_silent, proxy.freeze):
            write_some(cell)
            failed = failures(journal)
            happen()
            if happen == proxy.freeze:  # fails nothing, as PostgreSQL's client waits
                cell.sleep(0.3)
            else:
                # Workers may have brought the others already.
                write_some(cell)
                wait_until(lambda: failures(journal) > failed, "nothing failed that brings")  # noqa: B023 - done here
            proxy.forward()
        cell.tally["failures to bring"] += failures(journal)
        cell.end(bringing)
    return cell.verdict()


def database_reply_lost(cell: Cell) -> Verdict:
    """Lose the database's replies to commits of what is brought there, and aggregate it before it is brought again."""
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
    """Lose replies to writers, and then to an aggregator, so that nothing is aggregated between two writes of a batch.

    It is recognised the second time, with a ledger or without.
    """
    with cell.proxy() as (proxy, way):
        lose_replies_to_writer(cell, proxy, way, batches=50)
        if cell.destination.draining is not None:
            proxy.lose_replies(cell.destination.draining, every=1, most=4)
            cell.start("recover", way, chunk_size=20).result()
            note_losses(cell, proxy)
    return cell.verdict(strict=cell.destination.recognises_what_waits)


def reply_lost_and_aggregated(cell: Cell) -> Verdict:
    """Lose replies to a writer, while what it wrote is aggregated before it comes again."""
    with cell.proxy() as (proxy, way):
        aggregator = cell.aggregate()
        lose_replies_to_writer(cell, proxy, way, batches=round(BATCHES_PER_SECOND * cell.seconds))
        cell.kill(aggregator)
    return cell.verdict()


def lose_replies_to_writer(cell: Cell, proxy: Proxy, way: dict[str, Any], **arguments: Any) -> None:
    proxy.lose_replies(cell.destination.writing, every=5, most=10)
    cell.tally["batches"] += cell.write(overrides=patient(way), **arguments).result()
    note_losses(cell, proxy)


def note_losses(cell: Cell, proxy: Proxy) -> None:
    if not proxy.lost_replies:
        raise Violation("no reply was lost")
    cell.tally["lost replies"] += proxy.lost_replies
