"""Inject faults for a given time: `python -m tests.soak.faults --minutes 30`.

Every fault is tried on every destination, in several rounds, each time with a new seed. The command prints a table,
and exits with 1 if any event was lost or counted twice. All seeds derive from APP_METRICS_FAULTS_SEED, which is random
by default.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import ExitStack
from itertools import count
from random import Random, SystemRandom

from tests.soak.faults.destinations import DESTINATIONS, Destination, make_site, published
from tests.soak.faults.matrix import FAULTS, Result, cells, meet, why_not
from tests.soak.faults.site import Site
from tests.support.services import Supervisor

# How often each cell runs, if nothing else took time.
ROUNDS = 4

# What the last line says about backends without a row in the table.
NOT_HERE = "and the composite backend has none: it hands each batch to its destinations, which are those of the table"

# The test that reruns a cell.
TEST = "tests/soak/faults/test_matrix.py::test_no_fault_loses_or_doubles_anything"

Name = tuple[str, type[Destination]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    seed = os.environ.get("APP_METRICS_FAULTS_SEED") or str(SystemRandom().getrandbits(32))
    print(f"APP_METRICS_FAULTS_SEED={seed}, {minutes:g} minutes", flush=True)
    supervisor = Supervisor(sorted({name for destination in DESTINATIONS for name in destination.needs}))
    try:
        supervisor.publish()
        results = run(minutes * 60, seed)
    finally:
        supervisor.stop()
    return report(results)


def report(results: dict[Name, list[Result]]) -> int:
    """Print the table, and each violation with its seed; return 1 if there was any."""
    print_table(results)
    violations = [(name, result) for name, all_of in results.items() for result in all_of if not result.holds]
    for (fault, destination), result in violations:
        print(f"VIOLATION: {fault}, {destination.name}: {result}")
        again = f"APP_METRICS_FAULTS_SEED={result.seed} APP_METRICS_FAULTS_SECONDS={result.seconds:.3g}"
        print(f"  again: {again} pytest '{TEST}[{fault}, {destination.name}]'")
    met = sum(any(not result.impossible for result in all_of) for all_of in results.values())
    print(f"\n{len(violations)} violations; {met} of {len(results)} cells were met, {NOT_HERE}.")
    return 1 if violations else 0


def run(seconds: float, seed: str) -> dict[Name, list[Result]]:
    """Run the cells in turn until the time is over."""
    deadline = time.monotonic() + seconds
    results: dict[Name, list[Result]] = {name: [] for name in cells()}
    share = max(1.0, seconds / ROUNDS / len(results))
    with ExitStack() as stack:
        sites = {kind: enter(stack, kind) for kind in DESTINATIONS if kind.missing() is None}
        for number, (fault, kind) in turns(sites, seed):
            if time.monotonic() > deadline:
                break
            own = Random(f"{seed} {number} {fault} {kind.name}").getrandbits(32)
            result = meet(fault, *sites[kind], seconds=share, seed=own)
            print(f"{fault}, {kind.name}: {result}", flush=True)
            results[fault, kind].append(result)
    return results


def enter(stack: ExitStack, kind: type[Destination]) -> tuple[Destination, Site]:
    destination = kind(published(kind.needs))
    return destination, stack.enter_context(make_site(destination))


def turns(sites: Container[type[Destination]], seed: str) -> Iterator[tuple[int, Name]]:
    """Yield the cells forever, shuffled in each round, so that a short run covers a bit of everything."""
    for number in count():
        here = [name for name in cells() if name[1] in sites]
        Random(f"{seed} {number}").shuffle(here)
        yield from ((number, name) for name in here)


def print_table(results: dict[Name, list[Result]]) -> None:
    print(f"\n{'Fault':36}{'Destination':22}{'Rounds':>7}{'Events':>9}  Result")
    for fault in FAULTS:
        for kind in DESTINATIONS:
            all_of = results.get((fault, kind), [])
            events = sum(result.verdict.acknowledged for result in all_of if result.verdict)
            print(f"{fault:36}{kind.name:22}{len(all_of):7}{events:9}  {describe(fault, kind, all_of)}")


def describe(fault: str, kind: type[Destination], results: list[Result]) -> str:
    """Return the worst result of a cell over all its rounds, and what was done."""
    if reason := why_not(fault, kind) or kind.missing():
        return f"not applicable: {reason}"
    if not results:
        return "no time for it"
    tally = sum((result.tally for result in results), Counter())
    done = ", ".join(f"{number} {what}" for what, number in tally.items())
    worst = max(results, key=lambda result: (not result.holds, result.verdict.undecided if result.verdict else 0))
    return f"{str(worst).splitlines()[-1]}; {done}"


if __name__ == "__main__":
    sys.exit(main())
