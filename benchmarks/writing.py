"""How long it takes to write a batch at each destination, beside the minimum.

The reference is one hand-written INSERT of as many rows on the same connection, or one bare round trip to Redis. Other
rows show one INSERT per call, and what Redis and its client need for a script that does nothing.
"""

from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest import mock

from celery import Celery
from django.db import connection, connections
from django.db.models import Sum
from django.test import override_settings
from redis import Redis

from app_metrics.aggregation.run import aggregate
from app_metrics.backends import locmem
from app_metrics.core.batch import Batch, Key, new_batch_id
from app_metrics.models import Item, Metric
from app_metrics.storage.dialects.base import ITEM_COLUMNS, item_rows
from app_metrics.transport import buffer
from app_metrics.transport.loading import load_backend
from tests.support.example_site import coordinates
from tests.support.summaries import summary_of

from . import runner
from .outages import current
from .runner import Case, Subject, Table, expect, fact, number
from .work import DAY, EVENTS, SLUGS, summaries

BY_INSERT = runner.at_most(1.25, against="one INSERT by hand on the same connection")
# For batches of SLUGS slugs.
LIMITS = {
    **dict.fromkeys(["sqlite", "postgresql", "mariadb", "mysql"], BY_INSERT),
    "redis": runner.at_most(1.5, against="one bare round trip"),
}


def tables(scale):
    repeats, writes, series = scale.of((1, 2, 100), (15, 30, 10_000), (15, 30, 10_000))
    sizes = scale.of([1, 10], [1, 10, 100], [1, 10, 100])
    to, measured = Writing(repeats, writes), []
    with_redis = runner.available("redis")
    for kind in ("sqlite", *runner.available("postgresql", "mariadb", "mysql")):
        with runner.database(kind) as alias:
            measured += [each for slugs in sizes for each in to.database(alias, slugs)]
    if with_redis:
        measured += [each for slugs in sizes for each in to.redis(slugs)] + to.celery()
    measured += to.buffer()
    columns = [fact("destination"), fact("slugs"), number("µs"), runner.reference("reference, µs")]
    title = f"The write of a batch, median of {repeats} times {writes}"
    yield Table(title, [*columns, *runner.ratio(), runner.AT_MOST], measured)
    if with_redis:
        rate = ("a second", lambda each: f"{series / each.median():,.0f}")
        brought = runner.measure([Case(f"{series:,}", Subject(partial(bring, series)))], 1, warm=0)
        columns = [runner.name("series"), number("seconds"), rate]
        yield Table("Bringing series from Redis to the totals", columns, brought)


class Kept(locmem.MetricsBackend):
    """Keeps batches in memory, as if they reached the totals: others have no journal."""

    feeds_totals = True


class Writing(NamedTuple):
    """Measures several writes at a time, and checks that each destination took them all."""

    repeats: int
    writes: int

    def database(self, alias, slugs):
        kind, connection = "sqlite" if alias == "default" else alias, connections[alias]
        Item.objects.all().delete()
        subjects = {kind: self.rows(writing(load_backend("app_metrics.backends.db").write, slugs), "slug", slugs)}
        if slugs > 1:
            one_by_one = partial(many, insert(connection, 1, "call"), slugs)
            subjects[f"{kind}, one INSERT per call"] = self.rows(one_by_one, "call", slugs)
        return self.measure(subjects, {"INSERT": self.rows(insert(connection, slugs, "hand"), "hand", slugs)}, slugs)

    def redis(self, slugs):
        with redis_backend("app_metrics.backends.redis") as (backend, client):
            subjects = {
                "a script that does nothing": self.times(nothing(backend, client, slugs)),
                "redis": self.times(writing(backend.write, slugs), "redis", lambda: counts(backend.pending()), slugs),
            }
            return self.measure(subjects, {"PING": self.times(client.ping)}, slugs)

    def celery(self):
        app = Celery("benchmark", broker=f"redis+socket://{coordinates('redis')['HOST']}", set_as_current=False)
        with current(app), redis_backend("app_metrics.backends.celery") as (backend, client):
            messages = self.times(writing(backend.write, SLUGS), "celery", partial(client.llen, "celery"), 1)
            return self.measure({"celery, by Redis": messages}, {"PING": self.times(client.ping)}, SLUGS)

    def buffer(self):
        """Measure what the buffered mode adds to a request, without and with a journal, beside the INSERT it saves."""
        with TemporaryDirectory(prefix="app-metrics-") as folder:
            modes = {
                "buffered mode": {},
                "buffered mode, a journal": {"APP_METRICS_SPOOL_DIR": folder},
                "buffered mode, a journal on the disk": {
                    "APP_METRICS_SPOOL_DIR": folder, "APP_METRICS_SPOOL_SYNC": True
                },
            }  # fmt: skip
            return [each for name, options in modes.items() for each in self.buffered(name, options)]

    def buffered(self, name, options):
        def counted():
            buffer.flush()
            return counts(locmem.outbox)

        locmem.outbox.clear()
        by_hand = self.rows(insert(connection, SLUGS, "hand"), "hand", SLUGS)
        backend = f"{__name__}.Kept"
        with override_settings(APP_METRICS_BACKEND=backend, APP_METRICS_FLUSH_INTERVAL=3600, **options):
            added = self.times(writing(buffer.add, SLUGS), "the buffer", counted, SLUGS)
            return self.measure({name: added}, {"INSERT": by_hand}, SLUGS)

    def rows(self, write, who, slugs):
        """Time the write of summaries whose slugs begin with a name."""
        return self.times(write, who, partial(arrived, f"{who}-"), slugs)

    def times(self, write, who="nothing", counted=lambda: 0, each=0):
        """Average many writes; each must add so many rows, summaries or messages to those that arrived."""

        def seconds():
            return runner.clock(many, write, self.writes) / self.writes

        return runner.counting(who, seconds, counted, each * self.writes)

    def measure(self, subjects, references, slugs):
        cases = []
        for name, subject in subjects.items():
            limit = LIMITS[name] if slugs == SLUGS and name in LIMITS else None
            limit = limit and limit._replace(what=f"the write of a batch of {SLUGS} slugs, {name}")
            cases.append(Case(name, subject, references, limit, facts={"destination": name, "slugs": slugs}))
        return runner.measure(cases, self.repeats)


def many(write, times):
    for _ in range(times):
        write()


def arrived(prefix):
    """Return how many summaries of slugs arrived in the item log, by the events in them."""
    load_backend("app_metrics.backends.db").drain()  # what is in the journal of SQLite
    return (Item.objects.filter(slug__startswith=prefix).aggregate(of=Sum("count"))["of"] or 0) // EVENTS


def counts(batches):
    """Return how many summaries batches hold, by the events in them."""
    return sum(summary.count for batch in batches for summary in batch.summaries.values()) / EVENTS


def writing(write, slugs):
    """Return a function that writes a new batch of the same summaries."""
    batch = summaries(slugs)
    return lambda: write(Batch(batch))


def insert(connection, slugs, who):
    """Return a function that writes rows by hand, prepared in advance except for their ids."""
    width, rows = len(ITEM_COLUMNS), item_rows(Batch(summaries(slugs, who)))
    row = "(" + ", ".join(["%s"] * width) + ")"
    sql = f"INSERT INTO app_metrics_item ({', '.join(ITEM_COLUMNS)}) VALUES {', '.join([row] * slugs)}"
    values = [value for row in rows for value in row]

    def write():
        # Ascending, like a batch's ids: random ids are slower to insert.
        first = new_batch_id().int
        values[::width] = [f"{first + number:032x}" for number in range(slugs)]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)

    return write


@contextmanager
def redis_backend(path):
    """Yield a backend, and a client of its empty Redis."""
    url = coordinates("redis")["URL"]
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
            backend.write(Batch(dict.fromkeys(keys[first : first + 100], summary_of(1, at=1))))
        with override_settings(APP_METRICS_BACKEND="app_metrics.backends.redis"):
            seconds = runner.clock(aggregate)
    expect("series brought from Redis", Metric.objects.filter(slug__startswith="series-").count(), series)
    return seconds
