"""One cell of the matrix: a fault that happens to a destination."""

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

# Seconds from which on a cell does what takes long.
LONG = 3

# How a process differs that knows of nothing but the database.
ELSEWHERE = {"options": {"APP_METRICS_BACKEND": "app_metrics.backends.db", "APP_METRICS_SPOOL_DIR": None}}


def patient(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a process differs that waits for its destination however slow the machine is."""
    return {**overrides, "options": {**overrides.get("options", {}), "APP_METRICS_TIMEOUT": 20}}


class Violation(AssertionError):
    """What must hold besides the counts does not; the message says what."""


class Impossible(Exception):
    """The fault cannot be made on this machine; the message says why."""


class Cell:
    """What a fault needs: a site with nothing recorded, a time, randomness from one seed, and a place for files."""

    def __init__(
        self, destination: Destination, site: Site, seconds: float, seed: int, tally: Counter[str] | None = None
    ) -> None:
        """`tally` is where it notes what was done, such as kills; a new one by default."""
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
        """Those of all who wrote so far."""
        return self._journals

    def journal(self) -> str:
        """Return the path of a new journal; the verdict reads it."""
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
        """Start what brings to the database what waits outside it; it notes its failures beside a journal."""
        if self.destination.has_workers:
            return self.start("work", overrides, journal=journal)
        return self.aggregate(overrides, through_faults=True, journal=journal)

    def aggregate_elsewhere(self) -> None:
        """Count what is in the database, by a machine that brings nothing there: nothing waits by whose id what is
        brought once more could be recognised, unless the ledger does.
        """
        self.start("recover", ELSEWHERE).result()

    def kill(self, process: Process) -> None:
        """Kill a process that must still be running."""
        if not process.kill():
            raise Violation("a process that should have gone on until it is killed ended by itself")
        self.tally["kills"] += 1

    def end(self, process: Process) -> None:
        """End what brings, a worker in order: killed, it may lose the message that it takes from Redis."""
        if not self.destination.has_workers:
            self.kill(process)
            return
        os.kill(process.pid, signal.SIGTERM)
        with suppress(Killed):  # it was still starting, and had taken nothing
            process.result()

    @contextmanager
    def proxy(self) -> Iterator[tuple[Proxy, dict[str, Any]]]:
        """Yield a proxy before the destination's server, and how a process differs that goes through it."""
        with Proxy(self.destination.socket()) as proxy:
            yield proxy, self.destination.through(proxy.port)

    @contextmanager
    def database_proxy(self) -> Iterator[tuple[Proxy, dict[str, Any]]]:
        """Yield the same before the database that what waits outside it is brought to."""
        assert isinstance(self.destination, PostgreSQL)
        with Proxy(self.destination.socket_of_database()) as proxy:
            yield proxy, self.destination.through_to_database(proxy.port)

    @property
    def is_long(self) -> bool:
        return self.seconds >= LONG

    def sleep(self, share: float) -> None:
        """Wait for a share of the time."""
        time.sleep(self.seconds * share)

    def verdict(self, *, strict: bool | None = None, quarantined: int = 0) -> Verdict:
        """Bring home what waits, and check it; `strict` defaults to whether the destination has a ledger."""
        account = Account(strict=self.destination.has_ledger if strict is None else strict)
        for journal in self._journals:
            account.read(journal)
        return check(account, self.counted(quarantined))

    def _let_work(self) -> None:
        """Let a worker do what waits at the broker, and what comes again there."""
        while self.site.run("count_messages"):
            worker = self.start("work")
            self.site.run("wait_for_workers")
            self.end(worker)

    def counted(self, quarantined: int = 0) -> dict[str, Counter[Event]]:
        """Bring home what waits, and return how often each event is counted in each period."""
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
