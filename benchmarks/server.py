"""Requests per second of the example site under load: uninstrumented, with app_metrics, and with its peers.

`python -m benchmarks.server` runs it; with FULL=1 in the environment on both databases, with every backend and peer.

gunicorn serves the site as `example_project/gunicorn_conf.py` says: 2 workers of 4 threads (gthread). Its connections
to the database stay open, PostgreSQL is durable, and every variant has a database of its own. wrk asks with one thread,
16 requests at a time, from the same machine, so that it, the site and the database share its processors; the latency of
an answer is mostly the wait for the others' then. All variants run at the same time and are asked in turn, round by
round; what one keeps is its rate against the uninstrumented one of the same round. Beside it stands the processor time
that a request took of the site and of the servers it uses, which others on the machine disturb less. In the end each
must have counted what wrk was answered, and at most as many more as wrk had connections each time it hung up.

The home page asks one query and fills a table of 46 rows. The list of guides is a small template without a query, so
that nothing hides what counting adds.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from .databases import copier
from .load import CONNECTIONS, Broken, Run, Wrk
from .measuring import FULL, Result, middle, save
from .tables import Table
from .variants import BASELINE, SHORT, VARIANTS, Subject, Unmeasured

SECONDS, ROUNDS = (2, 5) if FULL else (1, 11)
NAMES = list(VARIANTS) if FULL else SHORT
PAGES = {"the home page": "/", "the list of guides": "/downloads/"} if FULL else {"the home page": "/"}
DATABASES = ["postgresql", "sqlite"] if FULL else ["postgresql"]
# Servers, and whether they keep through a kill what they committed.
SERVERS = {"postgresql": True, "redis": False} if FULL else {"postgresql": True}
# What is to be kept of the uninstrumented requests per second.
LIMITS = {"db": 0.85, "db, buffered": 0.95}
COMMAND = ["gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", "benchmarks.site_wsgi"]


class Site(NamedTuple):
    """A served site, its process, and those that hold the servers it uses."""

    address: str
    pid: int
    servers: list[int]


def main() -> int:
    from tests.support.servers import Unavailable

    with tempfile.TemporaryDirectory(prefix="app-metrics-") as parent:
        folder = Path(parent)
        try:
            wrk = Wrk(folder, SECONDS)
        except Unavailable as error:
            print(f"Requests per second: not measured, {error}")
            return 0
        results = {}
        with servers() as pids:
            for database in DATABASES:
                try:
                    results[database] = measure_on(database, wrk, pids, folder)
                except Unmeasured as reason:
                    print(f"Requests per second on {database}: not measured, {reason}")
    tables = [tabulated(f"{page} on {name}", each) for name, pages in results.items() for page, each in pages.items()]
    limits = [limit for page, each in results.get("postgresql", {}).items() for limit in judged(page, each)]
    print("\n".join(table.text() for table in tables))
    save(
        "server", tables=tables, limits=limits, seconds=SECONDS, rounds=ROUNDS, connections=CONNECTIONS, results=results
    )
    return 0


@contextmanager
def servers() -> Iterator[list[int]]:
    """Run what sites use, and yield the processes that hold it."""
    from tests.support.services import Supervisor

    with ExitStack() as running:
        pids = []
        for name, durable in SERVERS.items():
            supervisor = Supervisor([name], *["--durable"] * durable)
            running.callback(supervisor.stop)
            supervisor.publish()
            pids.append(supervisor.process.pid)
        yield pids


def measure_on(database: str, wrk: Wrk, pids: list[int], parent: Path) -> dict[str, Any]:
    """Measure all variants on one kind of database; return and show the results of each page."""
    folder = Path(tempfile.mkdtemp(prefix=f"{database}-", dir=parent))
    with ExitStack() as lasting:
        with ExitStack() as running:
            subjects, missing = prepare(database, folder, lasting)
            sites = {name: start(subject, folder / f"{name}.log", pids, running) for name, subject in subjects.items()}
            runs = {page: load(sites, path, wrk) for page, path in PAGES.items()}
        # Each server has answered what it was asked by now, and written what it held back.
        for name, subject in subjects.items():
            check(f"{name} on {database}", subject, [run for page in runs.values() for run in page[name]])
    results = {page: {name: sum_up(these, by[BASELINE]) for name, these in by.items()} for page, by in runs.items()}
    for name, reason in missing.items():
        print(f"{name}: not measured, {reason}")
    return results


def prepare(database: str, folder: Path, lasting: ExitStack) -> tuple[dict[str, Subject], dict[str, str]]:
    """Return what is measured, and why the others are not."""
    subjects: dict[str, Subject] = {}
    missing: dict[str, str] = {}
    copy = copier(database, folder)
    for number, name in enumerate(NAMES):
        counts = Path(tempfile.mkdtemp(prefix="counts-", dir=folder))
        try:
            subjects[name] = lasting.enter_context(VARIANTS[name](copy(number), counts))
        except Unmeasured as reason:
            missing[name] = str(reason)
    return subjects, missing


def start(subject: Subject, log: Path, pids: list[int], running: ExitStack) -> Site:
    from tests.support.small_server import served

    address, process = running.enter_context(served(COMMAND, {**os.environ, **subject.environment}, log))
    return Site(address, process.pid, pids)


def load(sites: Mapping[str, Site], path: str, wrk: Wrk) -> dict[str, list[Run]]:
    """Ask every site for a page, in turn, round by round; the first round is only to warm up.

    Each round has an order of its own: what a site still writes after its turn falls to no other one in particular.
    """
    names = list(sites)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(ROUNDS + 1):
        for name in Random(number).sample(names, len(names)):
            runs[name].append(wrk.ask(sites[name].address + path, sites[name].pid, sites[name].servers))
    return runs


def check(name: str, subject: Subject, runs: list[Run]) -> None:
    """Raise Broken unless a variant counted what was answered."""
    answered, counted = sum(run["answered"] for run in runs), subject.counted()
    # The one request that sees whether the page is there may count as well.
    least, most = (answered, answered + (CONNECTIONS + 1) * len(runs)) if subject.counts else (0, 0)
    if not least <= counted <= most:
        raise Broken(f"{name} counted {counted} requests where {answered} were answered.")


def sum_up(runs: list[Run], baseline: list[Run]) -> dict[str, float]:
    """Return medians of all rounds but the first, and spreads; times in seconds."""
    measured = list(zip(runs, baseline, strict=True))[1:]
    values = {name: [run[name] for run, _ in measured] for name in ("rate", "p50", "p99", "site", "servers")}
    values["kept"] = [run["rate"] / other["rate"] for run, other in measured]
    medians = {name: statistics.median(each) for name, each in values.items()}
    for name in ("rate", "kept"):
        medians[f"{name}_from"], _, medians[f"{name}_to"] = middle(values[name])
    return medians


def tabulated(what: str, results: Mapping[str, Mapping[str, float]]) -> Table:
    rows = []
    for name, each in results.items():
        rate = [f"{each['rate']:.0f}", f"{each['rate_from']:.0f}–{each['rate_to']:.0f}"]
        times = [f"{each[key] * 1e3:.2f}" for key in ("p50", "p99", "site", "servers")]
        rows.append([name, *rate, *times, f"{each['kept']:.0%}", f"{each['kept_from']:.0%}–{each['kept_to']:.0%}"])
    columns = [
        "counted by",
        "a second",
        "spread",
        "p50, ms",
        "p99, ms",
        "CPU, ms",
        "servers' CPU, ms",
        "kept",
        "spread",
    ]
    return Table(f"Requests per second of {what}, median of {ROUNDS} times {SECONDS} s", columns, rows)


def judged(what: str, results: Mapping[str, Mapping[str, float]]) -> Iterator[Result]:
    """Yield what is to be kept of the requests per second on PostgreSQL."""
    for name, limit in LIMITS.items():
        each = results[name]
        found = f"{each['kept']:.0%} ({each['kept_from']:.0%}–{each['kept_to']:.0%})"
        yield {
            "what": f"requests per second that are kept, {what}, {name}",
            "against": "uninstrumented",
            "found": found,
            "limit": f"at least {limit:.0%}",
            "met": each["kept"] >= limit,
        }


if __name__ == "__main__":
    sys.exit(main())
