"""Faults of what a project does: it records during writes, reads from a replica, and imports twice at once."""

from tests.soak.faults.cell import Cell, Violation
from tests.soak.faults.checker import Verdict
from tests.soak.faults.crashes import writers
from tests.soak.faults.destinations import make_site


def recorded_while_written(cell: Cell) -> Verdict:
    """Record events during each write of a batch; they must not cause writes without end."""
    aggregator = cell.aggregate()
    cell.tally["batches"] += cell.write("write_recording", batches=50).result()
    cell.kill(aggregator)
    return cell.verdict()


def replica_frozen(cell: Cell) -> Verdict:
    """Let all processes read through a router from a replica that is as it was before anything was recorded."""
    with (
        make_site(cell.destination, has_replica=True) as site,
        Cell(cell.destination, site, cell.seconds, cell.seed(), cell.tally) as replicated,
    ):
        workers = [replicated.start("work")] if cell.destination.has_workers else []
        with writers(replicated):
            aggregator = replicated.aggregate()
        replicated.kill(aggregator)
        for worker in workers:
            replicated.end(worker)
        return replicated.verdict()


def imported_at_once(cell: Cell) -> Verdict:
    """Import two exports of the same totals at once; one of them must be refused."""
    cell.tally["batches"] += cell.write(batches=50, pause=0).result()
    files = [str(cell.directory / name) for name in ("export.csv", "again.csv")]
    cell.start("export", paths=files).result()
    imports = [cell.start("import_totals", path=path) for path in files]
    cell.tally["imports"] += len(files)
    if (imported := sum(each.result() for each in imports)) != 1:
        raise Violation(f"{imported} of {len(files)} imports at once were accepted")
    return cell.verdict()
