"""What other processes do in the benchmark of large sites. They import little before Django is set up."""

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from random import Random

from django.db import connections

from tests.support.processes import configure

EVENTS = 20  # of a request
# What a process records in five seconds, at 50 requests a second.
REQUESTS = 250


def processes(alias, number, **values):
    """Return a pool of new processes that use the same database, with these settings."""
    name = str(connections[alias].settings_dict["NAME"])
    return ProcessPoolExecutor(number, get_context("spawn"), _configure, (alias, name, values))


def _configure(alias, name, values):
    configure(alias, name, **values)


def labels_of(number):
    """Return the metric and the labels of a key: 50 label sets of each metric."""
    return f"slug-{number // 50}", {"country": f"country-{number % 50}", "plan": "pro"}


def serve(seed, keys, intervals):
    """Record requests with events of random keys, write what was merged after each interval, and return the seconds of
    this process's processor.
    """
    from app_metrics import collect, flush, metric

    names, seconds = list(map(labels_of, range(keys))), 0.0
    for number in range(intervals):
        chosen = iter(Random(f"{seed} {number}").choices(names, k=REQUESTS * EVENTS))
        begin = time.process_time()
        for _ in range(REQUESTS):
            with collect():
                for slug, labels in islice(chosen, EVENTS):
                    metric(slug, labels=labels)
        flush()
        seconds += time.process_time() - begin
    return seconds


def aggregate():
    """Aggregate, and return the seconds of this process's processor."""
    from app_metrics.aggregation.run import aggregate

    begin = time.process_time()
    aggregate()
    return time.process_time() - begin
