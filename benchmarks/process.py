"""A process of the aggregation benchmark: `python -m benchmarks.process ALIAS DATABASE ROLE ...` prints JSON.

`aggregate` prints how long an aggregation took, its statements, and its peak memory in MiB. `write SECONDS` writes a
batch every ten milliseconds, and prints when each began and how long it took, in seconds.
"""

import json
import os
import sys
import time
from datetime import date

SLUGS, EVENTS, DAY = 10, 3, date(2026, 11, 23)


def aggregate(alias):
    from django.db import connections

    from app_metrics.aggregation.run import aggregate
    from tests.soak.workers import peak

    statements = []

    def note(execute, sql, *arguments):
        statements.append(None)
        return execute(sql, *arguments)

    connections[alias].ensure_connection()
    begun = time.monotonic()  # the same clock in all processes of this machine
    with connections[alias].execute_wrapper(note):
        items = aggregate().items
    ended = time.monotonic()
    times = {"begun": begun, "ended": ended, "seconds": ended - begun}
    return {**times, "items": items, "statements": len(statements), "memory": peak()}


def write(alias, seconds):
    from app_metrics.core.batch import Batch, Key
    from app_metrics.core.summary import Summary
    from app_metrics.transport.loading import load_backend

    backend = load_backend("app_metrics.backends.db")
    summary = Summary(EVENTS, 6, 1, 3, 2, 1_795_000_000_000_000)
    summaries = {Key(f"slug-{number}", "counter", "{}", DAY, 9): summary for number in range(SLUGS)}
    writes = []
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        begun = time.monotonic()
        backend.write(Batch(summaries))
        writes.append((begun, time.monotonic() - begun))
        time.sleep(0.01)
    return writes


if __name__ == "__main__":
    from tests.support.processes import configure

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    alias, name, role, *arguments = sys.argv[1:]
    configure(alias, name)
    print(json.dumps({"aggregate": aggregate, "write": write}[role](alias, *arguments)))
