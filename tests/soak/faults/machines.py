"""Faults of the machine: disk, memory, clock and processes."""

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.soak.faults.cell import Cell, Impossible, Violation
from tests.soak.faults.checker import Verdict, check
from tests.soak.faults.destinations import make_site
from tests.soak.faults.journal import Account, Recorded

FORKS = 20
MAX_GROWTH = 60  # MiB
# APP_METRICS_MAX_LABEL_SETS plus the label set that excess ones fold into.
MOST_LABEL_SETS = 1001
DISK = "4M"


def disk_full(cell: Cell) -> Verdict:
    """Fill the disk that holds the database, then free it."""
    with small_disk(cell) as (small, directory):
        small.tally["batches"] += small.write("write_on_full_disk", directory=directory).result()
        return small.verdict(strict=True)


def spool_full(cell: Cell) -> Verdict:
    """Fill the disk that holds the spool while the database refuses; what does not fit stays in memory."""
    with small_disk(cell) as (small, directory):
        # The process itself refuses, and only while the disk is full.
        itself = {"options": {"FAULTS_REFUSING": False}}
        small.tally["batches"] += small.write("spool_on_full_disk", itself, directory=directory).result()
        return small.verdict(strict=True)


def journal_full(cell: Cell) -> Verdict:
    """Fill the disk that holds the journal, then free it; what does not fit is merged in memory."""
    with small_disk(cell) as (small, directory):
        small.tally["batches"] += small.write("journal_on_full_disk", directory=directory).result()
        return small.verdict(strict=True)


@contextmanager
def small_disk(cell: Cell) -> Iterator[tuple[Cell, str]]:
    """Yield a cell whose files are on a small disk, and its path; only the cell's processes see the mount."""
    require_mount()
    with tempfile.TemporaryDirectory(prefix="app-metrics-disk-") as directory:
        mount = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={DISK} tmpfs "$0" && exec "$@"', directory)
        with (
            make_site(cell.destination, *mount, disk=Path(directory)) as site,
            Cell(cell.destination, site, cell.seconds, cell.seed(), cell.tally) as small,
        ):
            yield small, directory


def require_mount() -> None:
    if os.geteuid() != 0:
        raise Impossible("only root may mount a small disk")
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        raise Impossible(f"a small disk cannot be mounted: {tried.stderr.strip()}")


def forked_with_locks_held(cell: Cell) -> Verdict:
    """Fork repeatedly while threads record and hold locks; the children record too."""
    journals = [cell.journal() for _ in range(FORKS)]
    threads = [cell.journal() for _ in range(2 if cell.destination.forks_amid_writes else 0)]
    cell.start("fork_with_locks_held", journals=journals, journals_of_threads=threads, seed=cell.seed()).result()
    cell.tally["forks"] += FORKS
    return cell.verdict(strict=True)


def clock_set_back(cell: Cell) -> Verdict:
    """Move the clock back and forth by up to two days, within and between batches."""
    aggregator = cell.aggregate()
    cell.tally["batches"] += cell.write("write_with_jumping_clock", batches=100).result()
    cell.kill(aggregator)
    return cell.verdict()


def clock_ahead(cell: Cell) -> Verdict:
    """Record and aggregate with the right time, with a clock a year ahead, and with the right time again."""
    for days in (0, 365, 0):
        clock = {"options": {"FAULTS_DAYS_AHEAD": days}}
        workers = [cell.start("work", clock)] if cell.destination.has_workers else []
        cell.tally["batches"] += cell.write(overrides=clock, batches=20).result()
        cell.start("bring_home", clock).result()
        for worker in workers:
            cell.end(worker)
    return cell.verdict()


def many_labels(cell: Cell) -> Verdict:
    """Record enough label sets under one slug to need a bound on memory and totals."""
    amount = 1_000_000 if cell.is_long else 20_000
    grown = cell.start("record_labels", amount=amount).result()
    cell.tally["label sets"] += amount
    if grown > MAX_GROWTH:
        raise Violation(f"recording {amount} label sets took {grown:.0f} MiB")
    counted = cell.counted()
    account = Account()
    account.acknowledged[Recorded("labels")] = amount
    for period, events in counted.items():
        if len(events) > MOST_LABEL_SETS:
            raise Violation(f"{len(events)} label sets are kept of the {period}")
    return check(account, {period: Counter({("labels", None): events.total()}) for period, events in counted.items()})
