"""The processes of the soak test: `python -m tests.soak ALIAS DATABASE ROLE …`.

`write SECONDS LOG` commits batches late and logs what every commit acknowledged; `aggregate SECONDS` forks aggregators
and kills one after the other with SIGKILL; `measure` aggregates once and prints by how much memory grew.
"""

import json
import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

from .processes import configure

AGGREGATORS = 3
SECONDS_BETWEEN_KILLS = 0.15
# How much longer a loaded machine may take until an aggregator comes to commit something before it is killed.
PATIENCE = 60
# Metrics that all writers add to, so that aggregators meet in the same totals.
SHARED = [f"shared-{number}" for number in range(200)]
SHARED_PER_BATCH = 15
UNIQUE_PER_BATCH = 3


class RolledBack(Exception):
    pass


def main(alias, name, role, *arguments):
    configure(alias, name)
    {"write": write, "aggregate": kill_aggregators, "measure": measure}[role](alias, *arguments)


def write(alias, seconds, log):
    """Hold a transaction of one or two batches for up to 20 ms, again and again; every tenth is rolled back."""
    deadline = time.monotonic() + float(seconds)
    with Path(log).open("w") as acknowledged:
        for number in count():
            if time.monotonic() > deadline:
                return
            slug = f"writer-{os.getpid()}-{number}"
            try:
                events = late_commit(alias, slug, roll_back=number % 10 == 9)
            except RolledBack:
                continue
            acknowledged.write(json.dumps(events) + "\n")
            let_others_write(alias)


def let_others_write(alias):
    """Pause where SQLite has no queue: whoever has its lock takes it again before others look."""
    if alias == "default":
        time.sleep(random.uniform(0, 0.02))


def late_commit(alias, slug, *, roll_back):
    """Return what was committed, as pairs of a slug and the values of its label."""
    from django.db import transaction

    from app_metrics import collect, metric

    events = []
    with transaction.atomic(using=alias):
        for batch in range(random.randint(1, 2)):
            shared = random.sample(SHARED, SHARED_PER_BATCH)
            unique = [f"{batch}-{number}" for number in range(UNIQUE_PER_BATCH)]
            with collect():
                for each in shared:
                    metric(each)
                for each in unique:
                    metric(slug, labels={"event": each})
            events += [*([each, None] for each in shared), *([slug, each] for each in unique)]
        time.sleep(random.uniform(0, 0.02))
        if roll_back:
            raise RolledBack
    return events


def kill_aggregators(alias, seconds):
    """Print how many aggregators were killed. They are forked, because a fresh start takes longer than they live.

    Where the machine is so busy that none came to commit anything, they live longer and longer.
    """
    deadline = time.monotonic() + float(seconds)
    running = [fork_aggregator(alias) for _ in range(AGGREGATORS)]
    kills, pause = 0, SECONDS_BETWEEN_KILLS
    while (late := time.monotonic() - deadline) < 0 or (late < PATIENCE and not has_totals()):
        time.sleep(pause)
        pause *= 1 if late < 0 else 1.5
        kill(running.pop(random.randrange(AGGREGATORS)))
        running.append(fork_aggregator(alias))
        kills += 1
    for aggregator in running:
        kill(aggregator)
    print(kills + AGGREGATORS)


def has_totals():
    from django.db import connections

    from app_metrics.models import Total

    try:
        return Total.objects.exists()
    finally:
        connections.close_all()  # a connection must not be shared with what is forked


def fork_aggregator(alias):
    pid = os.fork()
    if pid:
        return pid
    from app_metrics.aggregation import aggregate

    random.seed()
    try:
        while True:
            aggregate(chunk_size=random.choice((30, 100, 300)))
            let_others_write(alias)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def kill(pid):
    """Kill a process that must still be running."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("An aggregator ended by itself.")


def measure(alias):
    """Print by how many MiB the peak of memory grew, and how many items were aggregated."""
    from app_metrics.aggregation import aggregate, backlog

    backlog()  # connects
    before = peak()
    done = aggregate()
    print(json.dumps({"grown": peak() - before, "items": done.items}))


def peak():
    """Return the process's highest resident memory in MiB. Not from getrusage, which remembers what exec replaced."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
