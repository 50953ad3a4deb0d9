"""What other processes do in the benchmark of aggregations. They import little, because their memory is measured."""

import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context

from django.db import connections

from app_metrics.core.batch import Batch, Key
from tests.soak.workers import peak
from tests.support.processes import configure
from tests.support.summaries import summary_of

SLUGS, EVENTS, DAY = 10, 3, date(2026, 11, 23)


def processes(alias):
    """Return a pool of new processes that use the same database."""
    name = str(connections[alias].settings_dict["NAME"])
    return ProcessPoolExecutor(8, get_context("spawn"), configure, (alias, name))


def aggregate(alias):
    """Return when an aggregation began and ended, its seconds and those of this process's processor, its statements,
    and its peak memory in MiB.
    """
    from app_metrics.aggregation.run import aggregate

    statements = []
    connections[alias].ensure_connection()
    cpu = time.process_time()
    begun = time.monotonic()  # the same clock in all processes of this machine
    with connections[alias].execute_wrapper(lambda execute, *query: statements.append(1) or execute(*query)):
        items = aggregate().items
    ended = time.monotonic()
    times = {"begun": begun, "ended": ended, "seconds": ended - begun, "cpu": time.process_time() - cpu}
    return {**times, "items": items, "statements": len(statements), "memory": peak()}


def write(seconds):
    """Write a batch every ten milliseconds; return when each began and how long it took, in seconds."""
    from app_metrics.transport.loading import load_backend

    backend, writes, until = load_backend("app_metrics.backends.db"), [], time.monotonic() + seconds
    batch = summaries(SLUGS)
    while (begun := time.monotonic()) < until:
        backend.write(Batch(batch))
        writes.append((begun, time.monotonic() - begun))
        time.sleep(0.01)
    return writes


def summaries(slugs, who="slug"):
    """Return a summary of EVENTS events for each of so many slugs."""
    summary = summary_of(1, 3, 2, at=1_795_000_000_000_000)
    return {Key(f"{who}-{number}", "counter", "{}", DAY, 9): summary for number in range(slugs)}
