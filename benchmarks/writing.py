"""How long the write of a batch takes at each destination, beside what it could not do without.

`make bench` calls this. Batches of 1, 10 and 100 slugs are written; the reference is one hand-written INSERT of as many
rows on the same connection, or one bare round trip to Redis. Beside that is shown what Redis and its client need for
the same arguments of a script that does nothing. A destination that did not take what was written makes it fail.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from .measuring import Result, held, measure, save, verdict
from .tables import Table

SIZES = (1, 10, 100)
# Slugs of a batch where the size makes little difference.
SLUGS = 10
WRITES = 30
REPEATS = 15
# Series in the Redis that is drained.
SERIES = 10_000
COLUMNS = ("id", "slug", "kind", "labels", "day", "hour", "count", "total", "minimum", "maximum", "last", "last_at")
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
        results = {}
        for name in (name for name in DATABASES if name not in missing):
            results |= to_database(name)
        if "redis" not in missing:
            results |= to_redis()
            results["celery, by Redis", SLUGS] = to_celery()
            brought = bring()
        results["buffered mode", SLUGS] = to_buffer()
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
    from tests import services

    supervisor = services.Supervisor(SERVERS)
    try:
        supervisor.publish()
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        yield services.missing
    finally:
        supervisor.stop()


def writing(write: Callable[[Any], Any], slugs: int) -> Callable[[], Any]:
    """Return a call that writes a new batch of the same summaries."""
    from app_metrics.summary import Batch, Key, Summary

    day = date(2026, 11, 23)
    summary = Summary(3, 6, 1, 3, 2, 1_795_000_000_000_000)
    summaries = {Key(f"slug-{number}", "counter", "{}", day, 9): summary for number in range(slugs)}
    return lambda: write(Batch(summaries))


def timed(write: Callable[[], Any], reference: Callable[[], Any]) -> dict[str, Any]:
    """Time one write in seconds, beside its reference."""

    def many(call: Callable[[], Any]) -> None:
        for _ in range(WRITES):
            call()

    result = measure(partial(many, write), partial(many, reference), REPEATS)
    for name in ("seconds", "seconds_from", "seconds_to", "reference_seconds"):
        result[name] /= WRITES
    return result


def to_database(name: str) -> Results:
    from django.db import connections
    from django.test import override_settings

    from app_metrics.backends import load_backend
    from app_metrics.models import Item

    alias, results = DATABASES[name], {}
    connection = connections[alias]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    with override_settings(APP_METRICS_DATABASE=alias, TEST_SITE_DATABASE=alias):
        backend = load_backend("app_metrics.backends.db")
        for slugs in SIZES:
            results[name, slugs] = timed(writing(backend.write, slugs), partial(insert, connection, slugs))
        written = Item.objects.count()
    # One run of each does not count, and is written all the same.
    check(name, written, 2 * sum(SIZES) * WRITES * (REPEATS + 1))
    return results


def insert(connection: Any, slugs: int) -> None:
    """Write rows as somebody would by hand."""
    from uuid import uuid4

    rows = [
        (uuid4().hex, f"slug-{number}", "counter", "{}", "2026-11-23", 9, 3, "6", "1", "3", "2", 1_795_000_000_000_000)
        for number in range(slugs)
    ]
    values = ", ".join(["(" + ", ".join(["%s"] * len(COLUMNS)) + ")"] * slugs)
    sql = f"INSERT INTO app_metrics_item ({', '.join(COLUMNS)}) VALUES {values}"
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for row in rows for value in row])


@contextmanager
def redis_backend(path: str) -> Iterator[tuple[Any, Any]]:
    """Yield a backend, and a client of the Redis it uses."""
    import json

    from django.test import override_settings
    from redis import Redis

    from app_metrics.backends import load_backend

    url = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["URL"]
    with override_settings(APP_METRICS_REDIS_URL=url, APP_METRICS_TIMEOUT=5):
        client = Redis.from_url(url)
        client.flushdb()
        yield load_backend(path), client


def to_redis() -> Results:
    results = {}
    with redis_backend("app_metrics.backends.redis") as (backend, client):
        for slugs in SIZES:
            results["a script that does nothing", slugs] = timed(nothing(backend, client, slugs), client.ping)
            results["redis", slugs] = timed(writing(backend.write, slugs), client.ping)
        counted = sum(summary.count for held in backend.held() for summary in held.summaries.values())
    check("redis", counted, 3 * sum(SIZES) * WRITES * (REPEATS + 1))
    return results


def nothing(backend: Any, client: Any, slugs: int) -> Callable[[], Any]:
    """Return a call that asks Redis for nothing, with the keys and arguments of a write."""
    with mock.patch.object(backend._client, "evalsha") as asked:
        writing(backend.write, slugs)()
    _, *arguments = asked.call_args.args
    return partial(backend._client.evalsha, client.script_load("return 1"), *arguments)


def to_celery() -> dict[str, Any]:
    import json

    from celery import Celery

    path = json.loads(os.environ["APP_METRICS_TEST_REDIS"])["HOST"]
    Celery("benchmark", broker=f"redis+socket://{path}").set_default()
    with redis_backend("app_metrics.backends.celery") as (backend, client):
        result = timed(writing(backend.write, SLUGS), client.ping)
        published = client.llen("celery")
    check("celery", published, WRITES * (REPEATS + 1))
    return result


def bring() -> float:
    """Return the seconds in which an aggregation brings many series from Redis to the totals of SQLite."""
    from django.test import override_settings

    from app_metrics.aggregation import aggregate
    from app_metrics.models import Item, Metric
    from app_metrics.summary import Batch, Key, Summary

    from .measuring import clock

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


def to_buffer() -> dict[str, Any]:
    """Measure what a request does in the buffered mode, beside the INSERT that it does not do on SQLite."""
    from django.db import connection
    from django.test import override_settings

    from app_metrics import buffer
    from app_metrics.backends import locmem

    with override_settings(APP_METRICS_BACKEND="app_metrics.backends.locmem", APP_METRICS_FLUSH_INTERVAL=3600):
        result = timed(writing(buffer.add, SLUGS), partial(insert, connection, SLUGS))
        buffer.flush()
    counted = sum(summary.count for each in locmem.outbox for summary in each.summaries.values())
    check("buffer", counted, 3 * SLUGS * WRITES * (REPEATS + 1))
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
