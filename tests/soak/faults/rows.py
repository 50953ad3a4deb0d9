"""Faults of the delivered data: batches that arrive twice, and invalid items."""

from tests.soak.faults.cell import Cell
from tests.soak.faults.checker import Verdict


def delivered_twice(cell: Cell) -> Verdict:
    """Write each batch twice before it is aggregated; and again afterwards, if the destination recognises it then."""
    cell.tally["batches"] += cell.write("write_twice", batches=20).result()
    if cell.destination.recognises_what_was_counted:
        workers = [cell.start("work")] if cell.destination.has_workers else []
        cell.tally["batches"] += cell.write("write_again", batches=20).result()
        for worker in workers:
            cell.end(worker)
    return cell.verdict()


def poisoned(cell: Cell) -> Verdict:
    """Mix in items that no total can hold."""
    writer = cell.write(batches=20)
    poison = cell.start("poison", seed=cell.seed(), amount=10).result()
    cell.tally["batches"] += writer.result()
    cell.tally["poisoned"] += poison
    return cell.verdict(quarantined=poison)
