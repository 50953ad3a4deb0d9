"""How long it takes to write a batch at each destination, beside the minimum.

The reference is one hand-written INSERT of as many rows on the same connection, or one bare round trip to Redis. Other
rows show one INSERT per call, and what Redis and its client need for a script that does nothing.
"""

import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any
from unittest import mock

from celery import Celery
from django.db import connection, connections
from django.test import override_settings
from redis import Redis

from app_metrics.aggregation.run import aggregate
from app_metrics.backends import locmem
from app_metrics.core.batch import Batch, Key, new_batch_id
from app_metrics.core.summary import Summary
from app_metrics.models import Item, Metric
from app_metrics.transport import buffer
from app_metrics.transport.loading import load_backend

from . import runner
from .outages import current
from .runner import (
    AT_MOST,
    Case,
    Table,
    at_most,
    available,
    clock,
    database,
    expect,
    measure,
)  # fmt: skip

SLUGS = 10  # in a batch, unless the size matters
DAY, EVENTS = date(2026, 11, 23), 3
SUMMARY = Summary(EVENTS, 6, 1, 3, 2, 1_795_000_000_000_000)
COLUMNS = ("id", "slug", "kind", "labels", "day", "hour", "count", "total", "minimum", "maximum", "last", "last_at")
# The values of a hand-written row after its id and slug.
CONSTANT = ("counter", "{}", DAY.isoformat(), 9, EVENTS, "6", "1", "3", "2", SUMMARY.last_at)
Write = Callable[[], Any]


def tables(scale):
    repeats, writes = scale.of(1, 15, 15), scale.of(2, 30, 30)
    sizes = scale.of([1, 10], [1, 10, 100], [1, 10, 100])
    to = Writing(repeats, writes)
    with_redis = available("redis")
    measured = []
    for kind in ("sqlite", *available("postgresql", "mariadb")):
        with database(kind) as alias:
            measured += [each for slugs in sizes for each in to.database(kind, alias, slugs)]
    if with_redis:
        measured += [each for slugs in sizes for each in to.redis(slugs)] + to.celery()
    measured += to.buffer()
    microseconds = [runner.number("µs", unit=1e6), runner.reference("reference, µs", unit=1e6)]
    columns = [runner.fact("destination", "destination"), runner.fact("slugs", "slugs"), *microseconds]
    title = f"The write of a batch, median of {repeats} times {writes}"
    yield Table(title, [*columns, *runner.ratio(), AT_MOST], measured)
    if with_redis:
        series = scale.of(100, 10_000, 10_000)
        columns = [runner.name("series"), runner.number("seconds", digits=2)]
        rate = ("a second", lambda each: f"{series / each.median():,.0f}")
        case = Case(f"{series:,}", partial(bring, series))
        yield Table("Bringing series from Redis to the totals", [*columns, rate], measure([case], 1, warm=0))


class Writing:
    """Measures several writes at a time, and checks that each destination took them all."""

    def __init__(self, repeats, writes):
        self._repeats, self._writes = repeats, writes

    def database(self, kind, alias, slugs):
        connection = connections[alias]
        subjects = {kind: writing(load_backend("app_metrics.backends.db").write, slugs)}
        if slugs > 1:
            subjects[f"{kind}, one INSERT per call"] = one_by_one(connection, slugs)
        Item.objects.all().delete()

        def check(runs):
            written = {who: Item.objects.filter(slug__startswith=who).count() for who in ("slug-", "hand-", "call-")}
            rows = slugs * self._writes * runs
            expect(kind, written, {"slug-": rows, "hand-": rows, "call-": rows if slugs > 1 else 0})

        limit = at_most(1.25, against="one INSERT by hand on the same connection")
        return self.measure(subjects, "INSERT", insert(connection, slugs, "hand"), slugs, check, {kind: limit})

    def redis(self, slugs):
        with redis_backend("app_metrics.backends.redis") as (backend, client):
            subjects = {"a script that does nothing": nothing(backend, client, slugs)}
            subjects["redis"] = writing(backend.write, slugs)

            def check(runs):
                pending = [summary.count for held in backend.pending() for summary in held.summaries.values()]
                expect("redis", sum(pending), EVENTS * slugs * self._writes * runs)

            limits = {"redis": at_most(1.5, against="one bare round trip")}
            return self.measure(subjects, "PING", client.ping, slugs, check, limits)

    def celery(self):
        socket = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["HOST"]
        app = Celery("benchmark", broker=f"redis+socket://{socket}", set_as_current=False)
        with current(app), redis_backend("app_metrics.backends.celery") as (backend, client):
            subjects = {"celery, by Redis": writing(backend.write, SLUGS)}
            check = partial(self.check_all, "celery", lambda: client.llen("celery"))
            return self.measure(subjects, "PING", client.ping, SLUGS, check)

    def buffer(self):
        """Measure what the buffered mode adds to a request, beside the INSERT that it saves."""
        locmem.outbox.clear()

        def added():
            buffer.flush()
            counts = [summary.count for each in locmem.outbox for summary in each.summaries.values()]
            return sum(counts) // (SLUGS * EVENTS)

        backend, by_hand = "app_metrics.backends.locmem", insert(connection, SLUGS, "hand")
        subjects, check = {"buffered mode": writing(buffer.add, SLUGS)}, partial(self.check_all, "buffer", added)
        with override_settings(APP_METRICS_BACKEND=backend, APP_METRICS_FLUSH_INTERVAL=3600):
            return self.measure(subjects, "INSERT", by_hand, SLUGS, check)

    def check_all(self, name, batches, runs):
        expect(name, batches(), self._writes * runs)

    def measure(
        self,
        subjects,
        reference,
        by_hand,
        slugs,
        check,
        limits=None,
    ):
        cases = []
        for name, write in subjects.items():
            limit = (limits or {}).get(name) if slugs == SLUGS else None
            held = {reference: limit._replace(what=f"the write of a batch of {SLUGS} slugs, {name}")} if limit else {}
            references = {reference: partial(self.seconds, by_hand)}
            facts = {"destination": name, "slugs": slugs}
            cases.append(Case(name, partial(self.seconds, write), references, check, held, facts=facts))
        return measure(cases, self._repeats)

    def seconds(self, write):
        """Return the seconds per write, averaged over many writes."""

        def many():
            for _ in range(self._writes):
                write()

        return clock(many) / self._writes


def writing(write, slugs):
    """Return a function that writes a new batch of the same summaries."""
    summaries = {Key(f"slug-{number}", "counter", "{}", DAY, 9): SUMMARY for number in range(slugs)}
    return lambda: write(Batch(summaries))


def insert(connection, slugs, who):
    """Return a function that writes rows by hand, prepared in advance except for their ids."""
    width = len(COLUMNS)
    row = "(" + ", ".join(["%s"] * width) + ")"
    sql = f"INSERT INTO app_metrics_item ({', '.join(COLUMNS)}) VALUES {', '.join([row] * slugs)}"
    values = [value for number in range(slugs) for value in ("", f"{who}-{number}", *CONSTANT)]

    def write():
        # Ascending, like a batch's ids: random ids are slower to insert.
        first = new_batch_id().int
        values[::width] = [f"{first + number:032x}" for number in range(slugs)]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)

    return write


def one_by_one(connection, slugs):
    """Return a function that writes each row with its own INSERT, as other counters do at every call."""
    write = insert(connection, 1, "call")

    def inserts():
        for _ in range(slugs):
            write()

    return inserts


@contextmanager
def redis_backend(path):
    """Yield a backend, and a client of its empty Redis."""
    url = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["URL"]
    with override_settings(APP_METRICS_REDIS_URL=url, APP_METRICS_TIMEOUT=5):
        client = Redis.from_url(url)
        client.flushdb()
        yield load_backend(path), client


def nothing(backend, client, slugs):
    """Return a function that runs an empty script with the keys and arguments of a write."""
    with mock.patch.object(backend._client, "evalsha") as asked:
        writing(backend.write, slugs)()
    _, *arguments = asked.call_args.args
    return partial(backend._client.evalsha, client.script_load("return 1"), *arguments)


def bring(series):
    """Return the seconds in which an aggregation drains series from Redis into the totals of SQLite."""
    Item.objects.all().delete()
    with redis_backend("app_metrics.backends.redis") as (backend, _):
        keys = [Key(f"series-{number}", "counter", "{}", DAY, 9) for number in range(series)]
        for first in range(0, series, 100):
            backend.write(Batch(dict.fromkeys(keys[first : first + 100], Summary(1, 1, 1, 1, 1, 1))))
        with override_settings(APP_METRICS_BACKEND="app_metrics.backends.redis"):
            seconds = clock(aggregate)
    expect("series brought from Redis", Metric.objects.filter(slug__startswith="series-").count(), series)
    return seconds
