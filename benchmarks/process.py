"""A process of the aggregation benchmark: `python -m benchmarks.process ALIAS DATABASE ROLE ...` prints JSON.

`aggregate` prints how long an aggregation took, its statements, and its peak memory in MiB. `write SECONDS` writes a
batch every ten milliseconds, and prints when each began and how long it took, in seconds.
"""

import json
import sys
import time
from datetime import date

from app_metrics.core.batch import Batch, Key
from app_metrics.core.summary import Summary
from tests.soak.workers import peak
from tests.support.processes import configure

SLUGS, EVENTS, DAY = 10, 3, date(2026, 11, 23)
SUMMARY = Summary(EVENTS, 6, 1, 3, 2, 1_795_000_000_000_000)


def summaries(slugs, who="slug"):
    return {Key(f"{who}-{number}", "counter", "{}", DAY, 9): SUMMARY for number in range(slugs)}


def aggregate(alias):
    from django.db import connections

    from app_metrics.aggregation.run import aggregate

    statements = 0

    def note(execute, sql, *arguments):
        nonlocal statements
        statements += 1
        return execute(sql, *arguments)

    connections[alias].ensure_connection()
    begun = time.monotonic()  # the same clock in all processes of this machine
    with connections[alias].execute_wrapper(note):
        items = aggregate().items
    ended = time.monotonic()
    times = {"begun": begun, "ended": ended, "seconds": ended - begun}
    return {**times, "items": items, "statements": statements, "memory": peak()}


def write(alias, seconds):
    from app_metrics.transport.loading import load_backend

    backend, writes, until = load_backend("app_metrics.backends.db"), [], time.monotonic() + float(seconds)
    batch = summaries(SLUGS)
    while (begun := time.monotonic()) < until:
        backend.write(Batch(batch))
        writes.append((begun, time.monotonic() - begun))
        time.sleep(0.01)
    return writes


if __name__ == "__main__":
    alias, name, role, *arguments = sys.argv[1:]
    configure(alias, name)
    print(json.dumps({"aggregate": aggregate, "write": write}[role](alias, *arguments)))
