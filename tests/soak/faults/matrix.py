"""All faults and all destinations, and which combinations apply."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.soak.faults import crashes, machines, networks, projects, rows, visitors
from tests.soak.faults.cell import Cell, Impossible
from tests.soak.faults.checker import Verdict
from tests.soak.faults.destinations import DESTINATIONS, Destination, MariaDB, MySQL, PostgreSQL, Sqlite
from tests.soak.faults.site import Site


def needs_server(destination: type[Destination]) -> str:
    return "" if destination.server else "there is no server"


def needs_outside(destination: type[Destination]) -> str:
    return "" if destination.is_outside else "what is recorded is in the database, or in files beside"


def needs_files(destination: type[Destination]) -> str:
    return "" if not destination.server else "the disk is the server's, which is not filled up here"


def needs_workers(destination: type[Destination]) -> str:
    return "" if destination.has_workers else "there are no workers"


def needs_spool(destination: type[Destination]) -> str:
    return "" if destination.has_spool else "there is no spool"


def needs_journal(destination: type[Destination]) -> str:
    return "" if destination.has_journal else "there is no journal of the buffered mode"


def needs_plain_database(destination: type[Destination]) -> str:
    is_plain = destination in (Sqlite, PostgreSQL, MariaDB, MySQL)
    return "" if is_plain else "an import writes totals, past the backend: as with db, PostgreSQL"


class Fault(NamedTuple):
    """What a fault does, and a function that returns why it cannot strike a destination, if so."""

    happen: Callable[[Cell], Verdict]
    why_not: Callable[[type[Destination]], str] = lambda destination: ""


FAULTS = {
    "web worker killed": Fault(crashes.web_worker_killed),
    "web worker on autopilot killed": Fault(crashes.web_worker_on_autopilot_killed),
    "writer killed at every step": Fault(crashes.writer_killed_at_every_step, needs_journal),
    "replay killed at every step": Fault(crashes.replay_killed_at_every_step, needs_journal),
    "aggregator killed at every step": Fault(crashes.aggregator_killed_at_every_step),
    "aggregators killed at random": Fault(crashes.aggregators_killed_at_random),
    "Celery worker killed at every step": Fault(crashes.celery_worker_killed_at_every_step, needs_workers),
    "Celery workers killed at random": Fault(crashes.celery_workers_killed_at_random, needs_workers),
    "late commits": Fault(crashes.commits_late),
    "server killed": Fault(crashes.server_killed, needs_server),
    "refused": Fault(networks.refused, needs_server),
    "silent": Fault(networks.silent, needs_server),
    "unroutable": Fault(networks.unroutable, needs_server),
    "frozen": Fault(networks.frozen, needs_server),
    "reply lost": Fault(networks.reply_lost, needs_server),
    "reply lost, then aggregated": Fault(networks.reply_lost_and_aggregated, needs_server),
    "database away": Fault(networks.database_away, needs_outside),
    "database's reply lost": Fault(networks.database_reply_lost, needs_outside),
    "delivered twice": Fault(rows.delivered_twice),
    "poisoned rows": Fault(rows.poisoned),
    "disk full": Fault(machines.disk_full, needs_files),
    "spool full": Fault(machines.spool_full, needs_spool),
    "journal full": Fault(machines.journal_full, needs_journal),
    "forked with locks held": Fault(machines.forked_with_locks_held),
    "clock set back": Fault(machines.clock_set_back),
    "clock a year ahead": Fault(machines.clock_ahead),
    "many label sets": Fault(machines.many_labels),
    "recorded while written": Fault(projects.recorded_while_written),
    "replica frozen": Fault(projects.replica_frozen),
    "two imports at once": Fault(projects.imported_at_once, needs_plain_database),
    "visitors leave under ASGI": Fault(visitors.visitors_leave),
    "streams at a stop": Fault(visitors.streams_at_stop),
}


def why_not(name: str, destination: type[Destination]) -> str:
    """Return why a fault does not apply to a destination; empty if it does."""
    return destination.excepted.get(name) or FAULTS[name].why_not(destination)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a cell: its verdict, or what was impossible, or what went wrong; and a tally."""

    seed: int
    tally: Counter[str]
    verdict: Verdict | None = None
    impossible: str = ""
    error: str = ""
    seconds: float = 1

    @property
    def holds(self) -> bool:
        return bool(self.impossible or (self.verdict and self.verdict.holds))

    def __str__(self) -> str:
        return self.error or (f"not applicable: {self.impossible}" if self.impossible else str(self.verdict))


def cells() -> Iterator[tuple[str, type[Destination]]]:
    """Yield each fault with each destination that it applies to."""
    for destination in DESTINATIONS:
        for name in FAULTS:
            if not why_not(name, destination):
                yield name, destination


def meet(fault: str, destination: Destination, site: Site, *, seconds: float, seed: int) -> Result:
    """Inject a fault at a destination; never raises an Exception."""
    tally: Counter[str] = Counter()
    try:
        with Cell(destination, site, seconds, seed, tally) as cell:
            return Result(seed, tally, FAULTS[fault].happen(cell), seconds=seconds)
    except Impossible as reason:
        return Result(seed, tally, impossible=str(reason), seconds=seconds)
    except Exception as error:
        return Result(seed, tally, error=f"{type(error).__name__}: {error}", seconds=seconds)
