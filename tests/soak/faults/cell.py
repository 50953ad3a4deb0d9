"""One cell of the matrix: one fault at one destination."""

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from tests.soak.faults.checker import PERIODS, Verdict, check
from tests.soak.faults.destinations import Destination, PostgreSQL
from tests.soak.faults.journal import Account, Event
from tests.soak.faults.proxy import Proxy
from tests.soak.faults.site import Killed, Process, Site

# Cells of at least this many seconds also run the slow parts.
LONG = 3

# Workers that may try to process the messages left at a broker, for up to 0.1, 0.2, … 51 s.
WORKERS_TRIED = 10

# Overrides for a process that uses only the database.
ELSEWHERE = {"options": {"APP_METRICS_BACKEND": "app_metrics.backends.db", "APP_METRICS_SPOOL_DIR": None}}


def patient(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides with a timeout long enough for a slow machine."""
    return {**overrides, "options": {**overrides.get("options", {}), "APP_METRICS_TIMEOUT": 20}}


class Violation(AssertionError):
    """An invariant other than the counts is broken; the message says which."""


class Impossible(Exception):
    """This machine cannot produce the fault; the message says why."""


class Cell:
    """What a fault needs: an empty site, a duration, a seeded random generator and a directory."""

    def __init__(
        self, destination: Destination, site: Site, seconds: float, seed: int, tally: Counter[str] | None = None
    ) -> None:
        """`tally` counts what was done, such as kills; defaults to a new counter."""
        self.destination = destination
        self.site = site
        self.seconds = seconds
        self.random = Random(seed)
        self._directory = tempfile.TemporaryDirectory(prefix="app-metrics-cell-")
        self.directory = Path(self._directory.name)
        self.tally = Counter() if tally is None else tally
        self._started: list[Process] = []
        self._journals: list[Path] = []

    def __enter__(self) -> "Cell":
        self.site.run("empty")
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._started:
            process.end()
        self._directory.cleanup()

    @property
    def journals(self) -> Sequence[Path]:
        """The journals of all writers so far."""
        return self._journals

    def journal(self) -> str:
        """Return the path of a new journal, which the verdict will read."""
        self._journals.append(self.directory / f"journal-{len(self._journals)}")
        return str(self._journals[-1])

    def seed(self) -> int:
        return self.random.getrandbits(32)

    def start(self, role: str, overrides: Mapping[str, Any] | None = None, **arguments: Any) -> Process:
        """Start a process of the site; it ends with the cell."""
        process = self.site.start(role, overrides, **arguments)
        self._started.append(process)
        return process

    def write(self, role: str = "write", overrides: Mapping[str, Any] | None = None, **arguments: Any) -> Process:
        """Start a process that keeps a journal."""
        return self.start(role, overrides, journal=self.journal(), seed=self.seed(), **arguments)

    def aggregate(self, overrides: Mapping[str, Any] | None = None, **arguments: Any) -> Process:
        """Start an aggregator that goes on until it is killed."""
        return self.start("aggregate_for", overrides, seconds=self.seconds + 600, seed=self.seed(), **arguments)

    def bring(self, overrides: Mapping[str, Any], journal: str) -> Process:
        """Start a process that drains pending events into the database; it notes its failures beside a journal."""
        if self.destination.has_workers:
            return self.start("work", overrides, journal=journal)
        return self.aggregate(overrides, through_faults=True, journal=journal)

    def aggregate_elsewhere(self) -> None:
        """Aggregate what is in the database, without draining anything else into it.

        Then only the ledger can recognise a batch that is delivered again, as no pending item has its id any more.
        """
        self.start("recover", ELSEWHERE).result()

    def kill(self, process: Process) -> None:
        """Kill a process that must still be running."""
        if not process.kill():
            raise Violation("a process that should have gone on until it is killed ended by itself")
        self.tally["kills"] += 1

    def end(self, process: Process) -> None:
        """End a draining process; stop a worker cleanly, because a kill may lose the message it takes from Redis."""
        if not self.destination.has_workers:
            self.kill(process)
            return
        os.kill(process.pid, signal.SIGTERM)
        with suppress(Killed):  # it was still starting, and had taken no message
            process.result()

    @contextmanager
    def proxy(self) -> Iterator[tuple[Proxy, dict[str, Any]]]:
        """Yield a proxy in front of the destination's server, and overrides for a process that should use it."""
        with Proxy(self.destination.socket()) as proxy:
            yield proxy, self.destination.through(proxy.port)

    @contextmanager
    def database_proxy(self) -> Iterator[tuple[Proxy, dict[str, Any]]]:
        """Yield the same for the database that events are drained into."""
        assert isinstance(self.destination, PostgreSQL)
        with Proxy(self.destination.socket_of_database()) as proxy:
            yield proxy, self.destination.through_to_database(proxy.port)

    @property
    def is_long(self) -> bool:
        return self.seconds >= LONG

    def sleep(self, share: float) -> None:
        """Sleep for a share of the cell's duration."""
        time.sleep(self.seconds * share)

    def verdict(self, *, strict: bool | None = None, quarantined: int = 0) -> Verdict:
        """Drain everything and check the totals; `strict` defaults to whether the destination has a ledger."""
        account = Account(strict=self.destination.has_ledger if strict is None else strict)
        for journal in self._journals:
            account.read(journal)
        return check(account, self.counted(quarantined), self._altered(account))

    def _altered(self, account: Account) -> list[str]:
        recorded = {"acknowledged": account.acknowledged, "undecided": account.undecided}
        rows = {name: list(events.items()) for name, events in recorded.items()}
        altered: list[str] = self.site.run("read_altered", **rows)
        return altered

    def _let_work(self) -> None:
        """Let workers process the messages at the broker, including redelivered ones. Raises TimeoutError.

        A worker that is stopped before it starts on a message gives it back, and RabbitMQ counts no message that a
        worker has taken. So each further worker gets twice as much time.
        """
        for attempt in range(WORKERS_TRIED):
            if not self.site.run("count_messages"):
                return
            worker = self.start("work")
            self.site.run("wait_for_workers")
            time.sleep(0.1 * 2**attempt)
            self.end(worker)
        raise TimeoutError(f"{WORKERS_TRIED} workers in turn did not process all messages")

    def counted(self, quarantined: int = 0) -> dict[str, Counter[Event]]:
        """Drain everything, and return how often each event is counted in each period."""
        if self.destination.has_workers:
            self._let_work()
        self.site.run("recover")
        answer = self.site.run("read_totals")
        if answer["quarantined"] != quarantined:
            raise Violation(f"{answer['quarantined']} items were set aside instead of {quarantined}")
        counted: dict[str, Counter[Event]] = {period: Counter() for period in PERIODS}
        for period, slug, event, events in answer["totals"]:
            counted[period][slug, event] += events
        return counted
