"""Exactly once over Redis on each database: writers record, drainers are killed.

`make soak` runs it at full length, and kills a hundred drainers.
"""

import os
import subprocess
import time
from collections import Counter

import pytest

from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import PERIODS
from app_metrics.models import LedgerRow, Total
from app_metrics.transport.loading import load_backend
from tests.soak.faults.journal import counts_of
from tests.soak.faults.sketches import altered
from tests.soak.test_aggregation import SEE_DEADLOCKS, counted, read_events
from tests.support import redis_server
from tests.support.processes import start
from tests.support.scope import full_length

KILLS = 100 if full_length else 25
WRITERS = 3


def test_every_event_is_counted_once_while_drainers_are_killed(transactional_database, settings, tmp_path, monkeypatch):
    pytest.importorskip("redis")
    monkeypatch.setattr("app_metrics.backends.redis.client.PATIENCE", 60)
    alias, url, prefix = transactional_database, redis_server.url(), redis_server.new_prefix()
    logs = [tmp_path / f"writer-{number}.log" for number in range(WRITERS)]
    with (tmp_path / "stderr").open("w") as errors:
        options = {"stderr": errors, "env": {**os.environ, **SEE_DEADLOCKS}}
        place = ("tests.soak.redis_workers", alias, url, prefix)
        writers = [start(*place, "write", log, stdin=subprocess.PIPE, **options) for log in logs]
        killer = start(*place, "drain", KILLS, **options)
        killer.wait()
        for writer in writers:
            writer.communicate()
    brought_meanwhile = LedgerRow.objects.count()
    settings.APP_METRICS_BACKEND, settings.APP_METRICS_REDIS_URL = "app_metrics.backends.redis", url
    settings.APP_METRICS_REDIS_PREFIX, settings.APP_METRICS_REDIS_SHARDS = prefix, 2
    settings.APP_METRICS_TIMEOUT = 60
    backend, deadline = load_backend(settings.APP_METRICS_BACKEND), time.monotonic() + 60
    # Drain first: the writers may have left more than `held` has time for.
    assert aggregate().failures == []
    while backend.pending() or backlog().items:
        assert time.monotonic() < deadline, "something still waits"
        assert aggregate().failures == []

    assert (tmp_path / "stderr").read_text() == ""
    assert [each.returncode for each in (killer, *writers)] == [0] * (1 + WRITERS)
    assert brought_meanwhile
    expected = read_events(logs)
    assert len(expected) > KILLS * 5
    for period in PERIODS:
        assert counted(period) == counts_of(expected), period
    assert altered(Total.objects, expected, Counter()) == []
    print(f"{KILLS} kills, {brought_meanwhile} claims brought meanwhile, {sum(expected.values())} events")
