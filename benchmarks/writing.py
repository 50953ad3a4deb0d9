"""How long the write of a batch takes at each destination, beside what it could not do without.

`make bench` calls this. Batches of 1, 10 and 100 slugs are written; the reference is one hand-written INSERT of as many
rows on the same connection, or one bare round trip to Redis. Beside that is shown what one INSERT for each call takes,
and what Redis and its client need for the same arguments of a script that does nothing. No database waits for the disk.
A destination that did not take what was written makes it fail.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from .measuring import Result, Subject, alternate, clock, compare, held, save, verdict
from .tables import Table

SIZES = (1, 10, 100)
# Sizes of which the rows are also written by one INSERT each.
SINGLY = (10, 100)
# Slugs of a batch where the size makes little difference.
SLUGS = 10
# What a batch holds of each slug.
DAY, EVENTS = date(2026, 11, 23), 3
WRITES = 30
REPEATS = 15
# Series in the Redis that is drained.
SERIES = 10_000
COLUMNS = ("id", "slug", "kind", "labels", "day", "hour", "count", "total", "minimum", "maximum", "last", "last_at")
# What a row by hand holds behind its id and its slug.
CONSTANT = ("counter", "{}", DAY.isoformat(), 9, EVENTS, "6", "1", "3", "2", 1_795_000_000_000_000)
# The ratios to hold, of a batch of SLUGS.
LIMITS = {"sqlite": 1.25, "postgresql": 1.25, "mariadb": 1.25, "redis": 1.5}
Results = dict[tuple[str, int], Result]
SERVERS = ["postgresql", "mariadb", "redis"]
DATABASES = {"sqlite": "default", "postgresql": "postgresql", "mariadb": "mariadb"}


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with servers() as missing:
        import django

        django.setup()
        spare_the_disk()
        results: Results = {}
        for name in (name for name in DATABASES if name not in missing):
            results |= to_database(name)
        if "redis" not in missing:
            results |= to_redis()
            results |= to_celery()
            brought = bring()
        results |= to_buffer()
    tables = [tabulated(results)]
    if "redis" not in missing:
        row = [f"{SERIES:,}", f"{brought:.2f}", f"{SERIES / brought:,.0f}"]
        tables.append(Table("Bringing series from Redis to the totals", ["series", "seconds", "a second"], [row]))
    print("\n".join(table.text() for table in tables))
    for name, reason in missing.items():
        print(f"{name}: not measured, {reason}")
    rows = [{"destination": name, "slugs": slugs, **result} for (name, slugs), result in results.items()]
    save("writing", tables=tables, limits=list(judged(results)), writes=WRITES, results=rows)
    return 0


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    from tests.support import services

    supervisor = services.Supervisor(SERVERS)
    try:
        supervisor.publish()
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        yield services.missing
    finally:
        supervisor.stop()


def spare_the_disk() -> None:
    """Have SQLite wait for the disk as little as the servers do, so that work is what is measured."""
    from django.db import connections

    from . import bare

    connections["default"].settings_dict["OPTIONS"] = bare.DATABASES["default"]["OPTIONS"]


def writing(write: Callable[[Any], Any], slugs: int) -> Callable[[], Any]:
    """Return a call that writes a new batch of the same summaries."""
    from app_metrics.core.batch import Batch, Key
    from app_metrics.core.summary import Summary

    summary = Summary(EVENTS, 6, 1, 3, 2, 1_795_000_000_000_000)
    summaries = {Key(f"slug-{number}", "counter", "{}", DAY, 9): summary for number in range(slugs)}
    return lambda: write(Batch(summaries))


def timed(slugs: int, subjects: Mapping[str, Subject], reference: Subject) -> Results:
    """Time subjects and their reference in turn, in seconds a write."""
    calls = {name: partial(seconds_of, call) for name, call in subjects.items()}
    times = alternate({**calls, "reference": partial(seconds_of, reference)}, REPEATS)
    return {(name, slugs): compare(times[name], times["reference"]) for name in subjects}


def seconds_of(write: Subject) -> float:
    def many() -> None:
        for _ in range(WRITES):
            write()

    return clock(many) / WRITES


def to_database(name: str) -> Results:
    from django.db import connections
    from django.test import override_settings

    from app_metrics.models import Item
    from app_metrics.transport.loading import load_backend

    results: Results = {}
    alias = DATABASES[name]
    connection = connections[alias]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    with override_settings(APP_METRICS_DATABASE=alias, TEST_SITE_DATABASE=alias):
        backend = load_backend("app_metrics.backends.db")
        for slugs in SIZES:
            subjects = {name: writing(backend.write, slugs)}
            if slugs in SINGLY:
                subjects[f"{name}, one INSERT per call"] = one_by_one(connection, slugs)
            results |= timed(slugs, subjects, by_hand(connection, slugs, "hand"))
        for who, sizes in {"slug": SIZES, "hand": SIZES, "call": SINGLY}.items():
            written = Item.objects.filter(slug__startswith=f"{who}-").count()
            # One run of each does not count, and is written all the same.
            check(f"{name}, {who}", written, sum(sizes) * WRITES * (REPEATS + 1))
    return results


def one_by_one(connection: Any, slugs: int) -> Subject:
    """Return a call that writes as many rows by an INSERT each, as other counters do at every call."""
    insert = by_hand(connection, 1, "call")

    def inserts() -> None:
        for _ in range(slugs):
            insert()

    return inserts


def by_hand(connection: Any, slugs: int, who: str) -> Subject:
    """Return a call that writes rows as somebody would by hand, with nothing left to do but their ids."""
    from app_metrics.core.batch import new_batch_id

    width = len(COLUMNS)
    row = "(" + ", ".join(["%s"] * width) + ")"
    sql = f"INSERT INTO app_metrics_item ({', '.join(COLUMNS)}) VALUES {', '.join([row] * slugs)}"
    values = [value for number in range(slugs) for value in ("", f"{who}-{number}", *CONSTANT)]

    def insert() -> None:
        # In ascending order like a batch's: the database needs longer for random ones.
        first = new_batch_id().int
        values[::width] = [f"{first + number:032x}" for number in range(slugs)]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)

    return insert


@contextmanager
def redis_backend(path: str) -> Iterator[tuple[Any, Any]]:
    """Yield a backend, and a client of the Redis it uses."""
    import json

    from django.test import override_settings
    from redis import Redis

    from app_metrics.transport.loading import load_backend

    url = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["URL"]
    with override_settings(APP_METRICS_REDIS_URL=url, APP_METRICS_TIMEOUT=5):
        client = Redis.from_url(url)
        client.flushdb()
        yield load_backend(path), client


def to_redis() -> Results:
    results: Results = {}
    with redis_backend("app_metrics.backends.redis") as (backend, client):
        for slugs in SIZES:
            idle, write = nothing(backend, client, slugs), writing(backend.write, slugs)
            results |= timed(slugs, {"a script that does nothing": idle, "redis": write}, client.ping)
        counted = sum(summary.count for held in backend.pending() for summary in held.summaries.values())
    check("redis", counted, EVENTS * sum(SIZES) * WRITES * (REPEATS + 1))
    return results


def nothing(backend: Any, client: Any, slugs: int) -> Callable[[], Any]:
    """Return a call that asks Redis for nothing, with the keys and arguments of a write."""
    with mock.patch.object(backend._client, "evalsha") as asked:
        writing(backend.write, slugs)()
    _, *arguments = asked.call_args.args
    return partial(backend._client.evalsha, client.script_load("return 1"), *arguments)


def to_celery() -> Results:
    import json

    from celery import Celery

    path = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["HOST"]
    Celery("benchmark", broker=f"redis+socket://{path}").set_default()
    with redis_backend("app_metrics.backends.celery") as (backend, client):
        result = timed(SLUGS, {"celery, by Redis": writing(backend.write, SLUGS)}, client.ping)
        published = client.llen("celery")
    check("celery", published, WRITES * (REPEATS + 1))
    return result


def bring() -> float:
    """Return the seconds in which an aggregation brings many series from Redis to the totals of SQLite."""
    from django.test import override_settings

    from app_metrics.aggregation.run import aggregate
    from app_metrics.core.batch import Batch, Key
    from app_metrics.core.summary import Summary
    from app_metrics.models import Item, Metric

    Item.objects.all().delete()
    with redis_backend("app_metrics.backends.redis") as (backend, _):
        for first in range(0, SERIES, 100):
            keys = [
                Key(f"series-{number}", "counter", "{}", date(2026, 11, 23), 9) for number in range(first, first + 100)
            ]
            backend.write(Batch(dict.fromkeys(keys, Summary(1, 1, 1, 1, 1, 1))))
        with override_settings(APP_METRICS_BACKEND="app_metrics.backends.redis"):
            seconds = clock(aggregate)
    check("drain", Metric.objects.filter(slug__startswith="series-").count(), SERIES)
    return seconds


def to_buffer() -> Results:
    """Measure what a request does in the buffered mode, beside the INSERT that it does not do on SQLite."""
    from django.db import connection
    from django.test import override_settings

    from app_metrics.backends import locmem
    from app_metrics.transport import buffer

    with override_settings(APP_METRICS_BACKEND="app_metrics.backends.locmem", APP_METRICS_FLUSH_INTERVAL=3600):
        insert = by_hand(connection, SLUGS, "hand")
        result = timed(SLUGS, {"buffered mode": writing(buffer.add, SLUGS)}, insert)
        buffer.flush()
    counted = sum(summary.count for each in locmem.outbox for summary in each.summaries.values())
    check("buffer", counted, EVENTS * SLUGS * WRITES * (REPEATS + 1))
    return result


def check(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise AssertionError(f"{name} holds {found} instead of {expected}: what was measured did not work.")


def tabulated(results: Results) -> Table:
    rows = []
    for (name, slugs), each in results.items():
        limit = LIMITS.get(name) if slugs == SLUGS else None
        judgement = f"{limit:g}× {verdict(held(name, '', each, limit))}" if limit else ""
        times = [f"{each[key] * 1e6:.0f}" for key in ("seconds", "reference_seconds")]
        spread = f"{each['ratio_from']:.2f}–{each['ratio_to']:.2f}"
        rows.append([name, str(slugs), *times, f"{each['ratio']:.2f}×", spread, judgement])
    columns = ["destination", "slugs", "µs", "reference, µs", "ratio", "spread", "at most"]
    return Table(f"The write of a batch, median of {REPEATS} times {WRITES}", columns, rows)


def judged(results: Results) -> Iterator[Result]:
    for name, limit in LIMITS.items():
        if (name, SLUGS) in results:
            against = "one bare round trip" if name == "redis" else "one INSERT by hand on the same connection"
            yield held(f"the write of a batch of {SLUGS} slugs, {name}", against, results[name, SLUGS], limit)


if __name__ == "__main__":
    sys.exit(main())
