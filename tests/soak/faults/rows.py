"""Faults of what is delivered: twice, or what no total can take."""

from tests.soak.faults.cell import Cell
from tests.soak.faults.checker import Verdict


def delivered_twice(cell: Cell) -> Verdict:
    """Write each batch twice before it is aggregated; and once more after, where it is recognised then, too."""
    cell.tally["batches"] += cell.write("write_twice", batches=20).result()
    if cell.destination.recognises_what_was_counted:
        workers = [cell.start("work")] if cell.destination.has_workers else []
        cell.tally["batches"] += cell.write("write_again", batches=20).result()
        for worker in workers:
            cell.end(worker)
    return cell.verdict()


def poisoned(cell: Cell) -> Verdict:
    """Have rows among the good ones that no total can take."""
    writer = cell.write(batches=20)
    poison = cell.start("poison", seed=cell.seed(), amount=10).result()
    cell.tally["batches"] += writer.result()
    cell.tally["poisoned"] += poison
    return cell.verdict(quarantined=poison)
