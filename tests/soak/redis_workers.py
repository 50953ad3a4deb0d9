"""The processes of the soak test over Redis.

As a command: `python -m tests.soak.redis_workers ALIAS DATABASE URL PREFIX ROLE ARGUMENT`.

`write LOG` records until its standard input ends, and logs what Redis acknowledged. `drain KILLS` forks drainers and
kills at least that many with SIGKILL, one after the other; on a busy machine, more.
"""

import json
import os
import random
import sys
import time
from itertools import count
from pathlib import Path
from select import select

from tests.soak.workers import (
    exists,
    fork_aggregator,
    forked_aggregators,
    kill,
    make_events,
    record,
)
from tests.support.processes import configure

LONGEST_PAUSE = 0.4
# The longest pause while no drainer has drained anything, in seconds.
PATIENCE = 30


def main(alias, name, url, prefix, role, argument):
    configure(
        alias,
        name,
        APP_METRICS_BACKEND="app_metrics.backends.redis",
        APP_METRICS_REDIS_URL=url,
        APP_METRICS_REDIS_PREFIX=prefix,
        APP_METRICS_REDIS_SHARDS=2,
        APP_METRICS_TIMEOUT=60,
    )
    # Import before forking: a fresh import takes about as long as a drainer lives.
    import app_metrics.aggregation
    import app_metrics.backends.redis

    app_metrics.backends.redis.client.PATIENCE = 60
    if role == "drain":
        kill_drainers(alias, int(argument))
    else:
        write(argument)


def kill_drainers(alias, kills):
    """Repeatedly kill the oldest of several drainers, so that each lives for a while even on a busy machine.

    While none of them gets to drain anything, let them live longer and longer.
    """
    killed, pause = 0, LONGEST_PAUSE
    with forked_aggregators(alias) as running:
        while killed < kills or (pause < PATIENCE and not has_brought()):
            time.sleep(random.uniform(0, pause))
            pause *= 1 if killed < kills else 1.5
            kill(running.pop(0))
            running.append(fork_aggregator(alias))
            killed += 1


def has_brought():
    from app_metrics.models import LedgerRow

    return exists(LedgerRow)


def write(log):
    """Record batches of metrics shared by all writers, and of events with a label of their own."""
    from app_metrics import collect
    from app_metrics.transport.loading import get_backend

    with Path(log).open("w") as acknowledged:
        for number in count():
            slug = f"writer-{os.getpid()}-{number // 100}"
            events = make_events(slug, str(number))
            with collect():
                record(events)
            if get_backend().kept:
                sys.exit("Redis did not take a batch")
            acknowledged.write(json.dumps(events) + "\n")
            if select([sys.stdin], [], [], random.uniform(0, 0.06))[0]:
                return


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
