"""Faults: processes and servers are killed."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count, cycle
from typing import Any

from tests.soak.faults.cell import Cell, Violation, patient
from tests.soak.faults.checker import Verdict
from tests.soak.faults.destinations import make_site
from tests.soak.faults.journal import EVENTS_PER_BATCH, PATIENCE
from tests.soak.faults.site import Killed
from tests.support.rounds_log import Log
from tests.support.services import Supervisor

WORKERS = 2
AGGREGATORS = 3
SECONDS_BETWEEN_KILLS = 0.15
SECONDS_UP = 0.7
# Overrides for a process in which no thread writes.
UNTHREADED = {"options": {"APP_METRICS_FLUSH_INTERVAL": 600}}


def web_worker_killed(cell: Cell) -> Verdict:
    """Kill a web worker right after it answers, when its batch may or may not be written."""
    _kill_web_workers(cell, {})
    return _verdict_of_web_workers(cell)


def web_worker_on_autopilot_killed(cell: Cell) -> Verdict:
    """Do the same while the threads of the web workers aggregate, and kill workers in the middle of a round, too."""
    options = {"APP_METRICS_AUTOPILOT": True, "APP_METRICS_AUTOPILOT_INTERVAL": 1}
    workers = [cell.start("work")] if cell.destination.has_workers else []
    _kill_web_workers(cell, options, Log(cell.directory / "rounds"))
    for worker in workers:
        cell.end(worker)
    return _verdict_of_web_workers(cell)


def _kill_web_workers(cell: Cell, options: dict[str, Any], rounds: Log | None = None) -> None:
    """Kill workers after their answers; with a log of rounds, go on until one was also killed in a round."""
    path = str(cell.directory / "web")
    page = {"options": {"ROOT_URLCONF": "tests.soak.faults.web", **options}}
    arguments = {"path": path, "journal": cell.journal(), "workers": WORKERS, "rounds": rounds and str(rounds.path)}
    arbiter = cell.start("serve", page, **arguments)
    deadline = time.monotonic() + cell.seconds
    while time.monotonic() < deadline or not (cell.tally["kills"] and (rounds is None or rounds.kills())):
        if time.monotonic() > deadline + PATIENCE:
            raise Violation("no worker could be killed, or none in a round")
        _visit_and_kill(cell, path)
    os.kill(arbiter.pid, signal.SIGTERM)
    arbiter.result()
    if rounds:
        cell.tally["kills in a round"] += len(rounds.kills())


def _visit_and_kill(cell: Cell, path: str) -> None:
    try:
        worker = ask(path)
    except (OSError, http.client.HTTPException):  # no socket yet, or this worker was just killed
        time.sleep(0.02)
        return
    cell.tally["requests"] += 1
    if cell.random.random() < 0.2:
        time.sleep(cell.random.uniform(0, 0.005))
        with suppress(ProcessLookupError):  # it was killed in a round, and is gone
            os.kill(worker, signal.SIGKILL)
            cell.tally["kills"] += 1


def _verdict_of_web_workers(cell: Cell) -> Verdict:
    verdict = cell.verdict()
    # A worker handles one request at a time; the requests running at the end may have been killed as well.
    kills = cell.tally["kills"] + cell.tally["kills in a round"]
    if verdict.undecided > (kills + WORKERS) * EVENTS_PER_BATCH * cell.destination.batches_in_flight:
        raise Violation(f"{verdict.undecided} events are undecided after {kills} kills")
    return verdict


def ask(path: str) -> int:
    """Make a request, and return the process id in the answer."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(30)
        connection.sock.connect(path)
        connection.request("GET", "/", headers={"Connection": "close"})
        return int(connection.getresponse().read())
    finally:
        connection.close()


def aggregator_killed_at_every_step(cell: Cell) -> Verdict:
    """Kill an aggregator before each statement and command to a destination, and around each commit, in turn."""
    return _killed_at_every_step(cell, "crash")


def writer_killed_at_every_step(cell: Cell) -> Verdict:
    """Kill a process at each step of writing what it has journalled, in turn, and aggregate what it wrote.

    Then the journal is replayed, and only the ledger or the destination can recognise it.
    """
    return _killed_at_every_step(cell, "crash_writing", UNTHREADED)


def replay_killed_at_every_step(cell: Cell) -> Verdict:
    """Kill an aggregation at each step while it replays the journal of a process that was killed."""
    return _killed_at_every_step(cell, "crash_replaying", UNTHREADED)


def _killed_at_every_step(cell: Cell, role: str, overrides: Mapping[str, Any] | None = None) -> Verdict:
    for at in count(1):
        try:
            cell.tally["steps"] = cell.write(role, overrides, at=at).result()
            return cell.verdict()
        except Killed:
            cell.tally["kills"] += 1
            cell.aggregate_elsewhere()
            # Or a spooled batch is appended to the file that the last process left, which takes ever more steps.
            cell.site.run("recover")
    raise AssertionError("unreachable")


def aggregators_killed_at_random(cell: Cell) -> Verdict:
    """Repeatedly kill one of three aggregators while other processes write."""
    with writers(cell):
        aggregators = [cell.aggregate() for _ in range(AGGREGATORS)]
        deadline = time.monotonic() + cell.seconds
        while time.monotonic() < deadline:
            time.sleep(cell.random.uniform(0, 2 * SECONDS_BETWEEN_KILLS))
            cell.kill(aggregators.pop(cell.random.randrange(AGGREGATORS)))
            aggregators.append(cell.aggregate())
    for aggregator in aggregators:
        cell.kill(aggregator)
    return cell.verdict()


def celery_worker_killed_at_every_step(cell: Cell) -> Verdict:
    """Kill a worker before each statement and around the commit of its task, in turn; the message is redelivered.

    Items that were written are aggregated in between.
    """
    for at in count(1):
        cell.tally["batches"] += cell.write(overrides=patient({}), batches=1, pause=0).result()
        try:
            cell.tally["steps"] = cell.start("work", at=at).result()
            return cell.verdict()
        except Killed:
            cell.tally["kills"] += 1
            cell.aggregate_elsewhere()
            # Or a spooled batch is appended to the file that the last process left, which takes ever more steps.
            cell.site.run("recover")
    raise AssertionError("unreachable")


def celery_workers_killed_at_random(cell: Cell) -> Verdict:
    """Repeatedly kill one of two workers while other processes write."""
    with writers(cell):
        workers, aggregator = [cell.start("work") for _ in range(2)], cell.aggregate()
        deadline = time.monotonic() + cell.seconds
        while time.monotonic() < deadline:
            time.sleep(cell.random.uniform(0.5, 1.5))  # it needs a moment to start working
            cell.kill(workers.pop(cell.random.randrange(2)))
            workers.append(cell.start("work"))
    for process in (*workers, aggregator):
        cell.kill(process)
    return cell.verdict()


def commits_late(cell: Cell) -> Verdict:
    """Delay the commits of three aggregators, and delay or roll back those of writers."""
    role = "write_late" if cell.destination.writes_in_transaction else "write"
    with writers(cell, role):
        aggregators = [cell.aggregate(late=0.02) for _ in range(AGGREGATORS)]
    for aggregator in aggregators:
        cell.kill(aggregator)
    return cell.verdict()


def server_killed(cell: Cell) -> Verdict:
    """Kill the server with SIGKILL during commits, and restart it on the same data.

    If the destination also uses a database, both are killed in turn. If killing the server would lose the message that
    a worker is taking, the worker is stopped first.
    """
    with durable_cell(cell) as (supervisor, durable):
        aggregators = [durable.aggregate(through_faults=True) for _ in range(2)]
        if cell.destination.has_workers:
            worker = durable.start("work")
            durable.write(batches=1).result()
            durable.site.run("wait_for_workers")  # until the worker has started working
        with writers(durable):
            deadline, servers = time.monotonic() + cell.seconds, cycle(reversed(cell.destination.needs))
            while time.monotonic() < deadline or cell.tally["servers killed"] < len(cell.destination.needs):
                server = next(servers)
                time.sleep(cell.random.uniform(0, SECONDS_UP))
                alone = cell.destination.loses_what_is_taken and server == cell.destination.server
                if alone:
                    durable.end(worker)
                supervisor.order(f"kill {server}")
                supervisor.order(f"restart {server}")
                if alone:
                    worker = durable.start("work")
                    durable.site.run("wait_for_a_worker")
                cell.tally["servers killed"] += 1
        for aggregator in aggregators:
            durable.kill(aggregator)
        if cell.destination.has_workers:
            durable.end(worker)
        return durable.verdict()


@contextmanager
def durable_cell(cell: Cell) -> Iterator[tuple[Supervisor, Cell]]:
    """Yield servers that keep committed data through a kill, and a cell whose site uses them."""
    supervisor = Supervisor(cell.destination.needs, "--durable")
    try:
        destination = type(cell.destination)(supervisor.answer()["servers"])
        with (
            make_site(destination) as site,
            Cell(destination, site, cell.seconds, cell.seed(), cell.tally) as durable,
        ):
            yield supervisor, durable
    finally:
        supervisor.stop()


@contextmanager
def writers(cell: Cell, role: str = "write", **arguments: object) -> Iterator[None]:
    """Run two writers during the block, then wait for their end."""
    writing = [cell.write(role, seconds=cell.seconds, **arguments) for _ in range(2)]
    yield
    for writer in writing:
        cell.tally["batches"] += writer.result()
