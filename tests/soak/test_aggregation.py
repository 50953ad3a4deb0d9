"""Exactly once, in bounded memory: real processes on real databases, killed and blocked.

`make soak` runs these tests at full length.
"""

import json
import os
import subprocess
import time
from collections import Counter

import pytest
from django.db import connections
from django.db.models import Sum

from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.core.labels import decode_labels
from app_metrics.core.periods import PERIODS
from app_metrics.models import Total
from tests.soak import workers
from tests.soak.faults.journal import Recorded, counts_of
from tests.soak.faults.sketches import altered
from tests.soak.workers import KILLS_A_SECOND
from tests.support.filling import fill
from tests.support.processes import start
from tests.support.scope import full_length

SECONDS = 30 if full_length else 4
ITEMS = 1_000_000 if full_length else 50_000
WRITERS = 4
MAX_GROWTH = 60  # MiB
# PostgreSQL checks for deadlocks after a second by default, which is longer than an aggregator lives here.
SEE_DEADLOCKS = {"PGOPTIONS": "-c deadlock_timeout=10ms"}


def read_events(logs):
    """Return how often each event was acknowledged."""
    events = Counter()
    for log in logs:
        for line in log.read_text().splitlines():
            events.update(Recorded(*each) for each in json.loads(line))
    return events


def drain():
    """Aggregate until nothing is pending; the session of a killed aggregator may hold items for a moment."""
    deadline = time.monotonic() + 60
    while backlog().items:
        assert time.monotonic() < deadline, "items still wait"
        aggregate()


def counted(period):
    rows = Total.objects.filter(period=period).values_list("metric__slug", "labels").annotate(events=Sum("count"))
    return {(slug, decode_labels(labels).get("event")): events for slug, labels, events in rows}


@pytest.mark.parametrize("level", ["", "repeatable read"], ids=["default level", "repeatable reads"])
def test_every_event_is_counted_once_while_aggregators_are_killed_and_writers_commit_late(
    transactional_database, tmp_path, level
):
    alias = transactional_database
    if level and connections[alias].vendor != "mysql":
        pytest.skip("only MariaDB and MySQL lock gaps then, and only there is it the server's default")
    logs = [tmp_path / f"writer-{number}.log" for number in range(WRITERS)]
    with (tmp_path / "stderr").open("w") as errors:
        options = {"stderr": errors, "env": {**os.environ, **SEE_DEADLOCKS, "SOAK_LEVEL": level}}
        writers = [start("tests.soak.workers", alias, "write", SECONDS, log, **options) for log in logs]
        killer = start("tests.soak.workers", alias, "aggregate", SECONDS, stdout=subprocess.PIPE, **options)
        kills = int(killer.communicate()[0] or 0)
        codes = [writer.wait() for writer in writers]
    aggregated_meanwhile = Total.objects.exists()
    drain()
    expected = read_events(logs)
    reported = Counter((tmp_path / "stderr").read_text().splitlines())
    deadlocks = reported.pop(workers.DEADLOCK, 0)
    print(f"{kills} kills, {deadlocks} deadlocks, {expected.total()} events")

    assert reported == {}
    if not level:  # repeatable reads lock gaps, too, so that no order of writes prevents deadlocks
        # When a killed transaction is rolled back, InnoDB may end one of those that waited for a row it had inserted.
        assert deadlocks <= (kills // 2 if connections[alias].vendor == "mysql" else 0)
    assert codes == [0] * WRITERS
    assert kills >= SECONDS * KILLS_A_SECOND
    assert aggregated_meanwhile
    assert len(expected) > SECONDS * 100
    for period in PERIODS:
        assert counted(period) == counts_of(expected), period
    assert altered(Total.objects, expected, Counter()) == []


def test_all_aggregators_are_killed_although_one_has_ended_by_itself(monkeypatch):
    sleeps = [subprocess.Popen(["sleep", seconds]) for seconds in ("60", "0", "60")]
    os.waitid(os.P_PID, sleeps[1].pid, os.WEXITED | os.WNOWAIT)
    pids = iter([each.pid for each in sleeps])
    monkeypatch.setattr(workers, "fork_aggregator", lambda alias: next(pids))
    with pytest.raises(SystemExit, match="ended by itself"), workers.forked_aggregators("default"):
        pass
    for each in sleeps:
        with pytest.raises(ProcessLookupError):
            os.kill(each.pid, 0)


def test_a_long_backlog_aggregates_in_the_memory_of_a_short_one(transactional_database):
    grown = {}
    for items in (10_000, ITEMS):
        fill(transactional_database, items)
        process = start("tests.soak.workers", transactional_database, "measure", stdout=subprocess.PIPE)
        report = json.loads(process.communicate()[0])
        assert report["items"] == items
        grown[items] = report["grown"]
    assert grown[ITEMS] - grown[10_000] < MAX_GROWTH
    assert Total.objects.filter(period="year").aggregate(items=Sum("count"))["items"] == ITEMS + 10_000
