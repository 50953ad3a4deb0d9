"""The processes of the soak test: `python -m tests.soak.workers ALIAS DATABASE ROLE …`.

`write SECONDS LOG` delays the commits of batches and logs what each commit acknowledged; `aggregate SECONDS` forks
aggregators and repeatedly kills one with SIGKILL; `measure` aggregates once and prints by how much memory grew. On a
busy machine, the first two run longer, until they have done a minimum per second requested. The variable SOAK_LEVEL
names the isolation level of MariaDB and MySQL, if it is not Django's default.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from tests.soak.faults.journal import Recorded, make_sketched
from tests.support.processes import configure

AGGREGATORS = 3
SECONDS_BETWEEN_KILLS = 0.15
LONGEST_PAUSE = 10
# How many seconds longer it may take on a loaded machine.
PATIENCE = 150
COMMITS_A_SECOND = 8
KILLS_A_SECOND = 2
DEADLOCK = "deadlock"
# Metrics that all writers record, so that aggregators update the same totals.
SHARED = [f"shared-{number}" for number in range(200)]
SHARED_PER_BATCH = 15
UNIQUE_PER_BATCH = 3


class RolledBack(Exception):
    pass


def main(alias, name, role, *arguments):
    configure(alias, name)
    set_level(alias)
    say_deadlocks(alias)
    {"write": write, "aggregate": kill_aggregators, "measure": measure}[role](alias, *arguments)


def set_level(alias):
    from django.db import connections

    if level := os.environ.get("SOAK_LEVEL"):
        connections[alias].settings_dict["OPTIONS"]["isolation_level"] = level


def say_deadlocks(alias):
    """Print DEADLOCK on the standard error for each, even if the transaction is tried again."""
    from django.db import OperationalError, connections

    def say_deadlock(execute, sql, *arguments):
        try:
            return execute(sql, *arguments)
        except OperationalError as error:
            if "eadlock" in str(error):
                print(DEADLOCK, file=sys.stderr, flush=True)
            raise

    connections[alias].execute_wrappers.append(say_deadlock)


def goes_on(deadline, is_done):
    """Return whether to go on: until the deadline, then until `is_done`, for at most PATIENCE seconds more."""
    late = time.monotonic() - deadline
    return late < 0 or (late < PATIENCE and not is_done())


def write(alias, seconds, log):
    """Repeatedly hold a transaction of one or two batches for up to 20 ms; roll every tenth back."""
    deadline, least = time.monotonic() + float(seconds), float(seconds) * COMMITS_A_SECOND
    with Path(log).open("w") as acknowledged:
        for number in count():
            if not goes_on(deadline, lambda number=number: number >= least):
                return
            slug = f"writer-{os.getpid()}-{number}"
            try:
                events = late_commit(alias, slug, roll_back=number % 10 == 9)
            except RolledBack:
                continue
            acknowledged.write(json.dumps(events) + "\n")
            let_others_write(alias)


def let_others_write(alias):
    """Pause on SQLite: its lock is not fair, and this process would take it again before the others try."""
    if alias == "default":
        time.sleep(random.uniform(0, 0.02))


def late_commit(alias, slug, *, roll_back):
    """Return what was committed."""
    from django.db import transaction

    from app_metrics import collect

    events = []
    with transaction.atomic(using=alias):
        for batch in range(random.randint(1, 2)):
            recorded = make_events(slug, str(batch))
            with collect():
                record(recorded)
            events += recorded
        time.sleep(random.uniform(0, 0.02))
        if roll_back:
            raise RolledBack
    return events


def make_events(slug, batch):
    """Return the events of a batch; those of one slug have labels of their own."""
    shared = map(Recorded, random.sample(SHARED, SHARED_PER_BATCH))
    unique = [Recorded(slug, f"{batch}-{number}") for number in range(UNIQUE_PER_BATCH)]
    return [*shared, *unique, *make_sketched(slug, batch, random)]


def record(events, **options):
    from app_metrics.recording import metrics

    for slug, event, kind, number in events:
        metrics.record(slug, kind, number, {"event": event} if event else None, **options)


def has_totals():
    from app_metrics.models import Total

    return exists(Total)


def exists(model, least=1):
    """Return whether there are that many rows; close the connection, which forked processes would share."""
    from django.db import connections

    try:
        return model.objects.count() >= least
    finally:
        connections.close_all()


def kill_aggregators(alias, seconds, has_done_enough=has_totals):
    """Print how many aggregators were killed; they are forked, because a fresh start takes longer than they live.

    If the machine is too busy for them to do enough, let them live longer and longer.
    """
    deadline, least = time.monotonic() + float(seconds), float(seconds) * KILLS_A_SECOND
    kills, pause = 0, SECONDS_BETWEEN_KILLS
    with forked_aggregators(alias) as running:
        while goes_on(deadline, lambda kills=kills: kills >= least and has_done_enough()):
            time.sleep(pause)
            if kills >= least and time.monotonic() > deadline:
                pause = min(pause * 1.5, LONGEST_PAUSE)
            kill(running.pop(random.randrange(AGGREGATORS)))
            running.append(fork_aggregator(alias))
            kills += 1
    print(kills + AGGREGATORS)


@contextmanager
def forked_aggregators(alias):
    """Fork aggregators; kill all at the end, even if one ended by itself: the others hold the pipe to the test."""
    running = [fork_aggregator(alias) for _ in range(AGGREGATORS)]
    try:
        yield running
    finally:
        with ExitStack() as kills:
            for aggregator in running:
                kills.callback(kill, aggregator)


def fork_aggregator(alias):
    pid = os.fork()
    if pid:
        return pid
    from app_metrics.aggregation.run import aggregate

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
    """Print by how many MiB peak memory grew, and how many items were aggregated."""
    from app_metrics.aggregation.backlog import backlog
    from app_metrics.aggregation.run import aggregate

    backlog()  # connects to the database
    before = peak()
    done = aggregate()
    print(json.dumps({"grown": peak() - before, "items": done.items}))


def peak():
    """Return the process's peak resident memory in MiB; getrusage would include the program before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
