"""What a large site needs for each million events, each pending hour in Redis and each year of totals.

All times are processor time, of our processes and of the servers, because it adds up over machines. docs/scaling.md
multiplies these figures.
"""

import tempfile
from functools import partial
from pathlib import Path
from time import process_time

from django.db import connections
from django.db.models import Sum
from django.test import override_settings

from app_metrics.aggregation.retention import Limit, prune
from app_metrics.core.batch import Batch, Key
from app_metrics.core.calendar import today
from app_metrics.core.labels import encode_labels
from app_metrics.core.periods import HOUR, MONTH, YEAR
from app_metrics.models import Item, LedgerRow, Metric, Total
from app_metrics.transfer.csv_export import rows, write_csv
from app_metrics.transfer.exported_totals import Chosen
from app_metrics.transfer.line_export import lines, write_lines
from app_metrics.transport.loading import load_backend
from app_metrics.transport.segments import encoded
from tests.support import partitions
from tests.support.summaries import summary_of

from . import BENCHMARKS, aggregation, busy_site, runner, server_pids
from .machine import cpu_seconds
from .runner import Case, Subject, Table, expect, fact, number
from .work import DAY
from .writing import redis_backend

REDIS = "app_metrics.backends.redis"
PROCESSES = 2
ONE_TABLE = "one table"
KINDS = ("partitions by month", ONE_TABLE)  # the last one leaves totals to export
FORMATS = {"csv": (rows, write_csv), "jsonl": (lines, write_lines)}
FILL = """
    INSERT INTO app_metrics_total
        (metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at)
    SELECT metric.id, 'hour', day::date, hour, format('{"country":"country-%%s","plan":"pro"}', key %% 50),
        12, 12, 1, 1, 1, 0
    FROM generate_series(%s::date, %s::date, '1 day') AS day, generate_series(0, 23) AS hour,
        generate_series(0, %s - 1) AS key JOIN app_metrics_metric metric ON slug = 'slug-' || key / 50
    ORDER BY day, hour, key"""
ITEMS_SIZE = "SELECT pg_total_relation_size('app_metrics_item')"
SIZE = """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relname ~ '^app_metrics_total' AND relname !~ '_before$' AND relkind = 'r'"""


def tables(scale):
    found = runner.available("postgresql", "redis")
    if "postgresql" not in found:
        return
    with runner.database("postgresql"):
        shapes = scale.of([(10, 1)], [(20, 20), (1_000, 20), (20_000, 20)], [(20, 50), (1_000, 50), (20_000, 50)])
        yield journal([site(*shape) for shape in shapes])
        if "redis" in found:
            yield redis([pending(keys) for keys in scale.of([20], [1_000, 10_000], [1_000, 10_000, 100_000])])
        keys, months = scale.of((50, 1), (500, 2), (2_000, 6))
        yield totals([stored(kind, keys, months) for kind in KINDS])
        yield exports([exported(form, keys) for form in FORMATS])


def once(name, run, **facts):
    """Measure something once: it is too large to repeat, and processor time varies little."""
    return runner.measure([Case(name, Subject(run), facts=facts)], 1, warm=0)[0]


def servers(*names):
    """Return the seconds of processor that some servers have used."""
    by_name = dict(zip(BENCHMARKS["scaling"], server_pids, strict=False))
    return cpu_seconds(*(by_name[name] for name in names if name in by_name))


# Events through the journal


def site(keys, intervals):
    return once(f"{keys:,}", partial(recorded, keys, intervals), keys=keys)


def recorded(keys, intervals):
    """Let processes record and write; aggregate; return the seconds, and how much was written."""
    events, written = PROCESSES * intervals * busy_site.REQUESTS * busy_site.EVENTS, servers("postgresql")
    with tempfile.TemporaryDirectory(prefix="app-metrics-") as folder:
        settings = {"APP_METRICS_FLUSH_INTERVAL": 3600, "APP_METRICS_SPOOL_DIR": folder}
        with busy_site.processes("postgresql", PROCESSES, **settings) as pool:
            serving = [pool.submit(busy_site.serve, seed, keys, intervals) for seed in range(PROCESSES)]
            recording = sum(each.result() for each in serving)
    written = servers("postgresql") - written
    found = {"events": events, "recording": recording, "written": written, "items": Item.objects.count()}
    found |= {"batches": LedgerRow.objects.count(), "bytes": scalar(ITEMS_SIZE) / found["items"]}
    begin = servers("postgresql")
    with busy_site.processes("postgresql", 1) as pool:
        found["aggregating"] = pool.submit(busy_site.aggregate).result()
    found["aggregated"] = servers("postgresql") - begin
    counted = Total.objects.filter(period=YEAR).aggregate(of=Sum("count"))["of"]
    expect(f"events of {keys:,} keys", counted, events)
    empty()
    return found


def empty():
    aggregation.forget()
    LedgerRow.objects.all().delete()
    with connections["postgresql"].cursor() as cursor:
        cursor.execute("TRUNCATE app_metrics_item, app_metrics_total")


def journal(measured):
    def a_million(key):
        return lambda each: f"{each.median(key) / each.median('events') * 1e6:,.1f}"

    columns = [
        *(runner.name("keys"), number("events", "events"), number("batches", "batches")),
        ("events an item", lambda each: f"{each.median('events') / each.median('items'):,.1f}"),
        number("bytes an item", "bytes"),
        *((title, a_million(key)) for title, key in (
            ("recording, s", "recording"), ("PostgreSQL, s", "written"),
            ("aggregating, s", "aggregating"), ("PostgreSQL, s", "aggregated"),
        )),
    ]  # fmt: skip
    each = f"{busy_site.REQUESTS} requests of {busy_site.EVENTS} events, {record_size():,} bytes in the journal"
    return Table(f"CPU for a million events, written after {each} each", columns, measured)


def record_size():
    names = [Key(*named(key), DAY, 9) for key in range(busy_site.EVENTS)]
    return len(encoded(Batch(dict.fromkeys(names, summary_of(1, at=1_795_000_000_000_000)))))


# Series pending in Redis


def pending(keys):
    return once(f"{keys:,}", partial(drained, keys), keys=keys)


def drained(keys):
    """Write an hour of series to Redis, then add to them, and drain them; return seconds and bytes."""
    with redis_backend(REDIS) as (backend, client), override_settings(APP_METRICS_BACKEND=REDIS):
        names = [Key(*named(key), DAY, 9) for key in range(keys)]
        fold(backend, [names[0]._replace(hour=8)])  # so that Redis knows the script
        before = client.info("memory")["used_memory"]
        fold(backend, names)
        found = {"bytes": (client.info("memory")["used_memory"] - before) / keys}
        begin = redis_seconds(client)
        fold(backend, names)
        found["folding"] = (redis_seconds(client) - begin) / keys
        begin = process_time()
        expect("pending series", sum(len(batch.summaries) for batch in backend.pending()), keys + 1)
        found["pending"] = (process_time() - begin) / keys
        begin, written = redis_seconds(client), servers("postgresql")
        with busy_site.processes("postgresql", 1, **in_redis()) as pool:
            found["draining"] = pool.submit(busy_site.aggregate).result() / keys
        found["read"] = (redis_seconds(client) - begin) / keys
        found["written"] = (servers("postgresql") - written) / keys
    counted = Total.objects.filter(period=YEAR).aggregate(of=Sum("count"))["of"]
    expect(f"events of {keys:,} series in Redis", counted, 2 * keys + 1)
    empty()
    return found


def redis_seconds(client):
    """Return the seconds of processor that Redis has used, which it knows more exactly than the system."""
    used = client.info("cpu")
    return used["used_cpu_user"] + used["used_cpu_sys"]


def in_redis():
    from django.conf import settings

    return {name: getattr(settings, name) for name in ("APP_METRICS_BACKEND", "APP_METRICS_REDIS_URL")}


def named(key):
    slug, labels = busy_site.labels_of(key)
    return slug, "counter", encode_labels(labels)


def fold(backend, names):
    """Write batches as a request records them."""
    for first in range(0, len(names), busy_site.EVENTS):
        backend.write(Batch(dict.fromkeys(names[first : first + busy_site.EVENTS], summary_of(1, at=1))))


def redis(measured):
    def each(key, factor):
        return lambda measured: f"{measured.median(key) * factor:,.1f}"

    columns = [
        *(runner.name("series"), ("bytes a series", each("bytes", 1))),
        *((title, each(key, 1e6)) for title, key in (
            ("folding one, µs of Redis", "folding"), ("reading one, µs", "pending"), ("draining one, µs", "draining"),
            ("of Redis, µs", "read"), ("of PostgreSQL, µs", "written"),
        )),
    ]  # fmt: skip
    return Table(f"Series of an hour in Redis, {busy_site.EVENTS} in a batch", columns, measured)


# Totals, in one table and in partitions


def stored(kind, keys, months):
    return once(kind, partial(kept, kind, keys, months), keys=keys, months=months)


def kept(kind, keys, months):
    """Store hours, add to those of the running one, and delete those of the first month."""
    empty()
    first = fill(keys, months)
    if kind == ONE_TABLE:
        return measured_table(kind, keys, lambda: prune(Limit(HOUR, MONTH.next(first))))
    with partitions.divided("postgresql"):
        return measured_table(kind, keys, lambda: partitions.delete_month("postgresql", f"{first:%Y_%m}"))


def measured_table(kind, keys, delete):
    with connections["postgresql"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE app_metrics_total")  # or else it begins by itself, and would be measured
    number = Total.objects.count()
    found = {"totals": number, "bytes": scalar(SIZE) / number, "adding": added(keys)}
    before, used = Total.objects.count(), seconds_of(delete)
    found |= {"deleting": used, "deleted": before - Total.objects.count()}
    expect(f"some hours are deleted from {kind}", found["deleted"] > 0, True)
    return found


def fill(keys, months):
    """Store a total of each key and hour since the first of a month, in the order of time; return that date."""
    first = MONTH.shift(MONTH.start_of(today()), 1 - months)
    slugs = {busy_site.labels_of(key)[0] for key in range(keys)}
    Metric.objects.bulk_create(Metric(name=slug, slug=slug) for slug in slugs)
    with connections["postgresql"].cursor() as cursor:
        cursor.execute(FILL, [first, today(), keys])
    return first


def scalar(sql):
    with connections["postgresql"].cursor() as cursor:
        cursor.execute(sql)
        return float(cursor.fetchone()[0])


def seconds_of(work):
    """Return the seconds of processor that this process and PostgreSQL take for some work."""
    mine, others = process_time(), servers("postgresql")
    work()
    return process_time() - mine + servers("postgresql") - others


def added(keys):
    """Return the seconds in which an aggregation adds to the totals of a key, of which that of the hour exists."""
    names = [Key(*named(key), today(), 0) for key in range(keys)]
    fold(load_backend("app_metrics.backends.db"), names)
    begin = servers("postgresql")
    with busy_site.processes("postgresql", 1) as pool:
        seconds = pool.submit(busy_site.aggregate).result() + servers("postgresql") - begin
    expect("pending items", Item.objects.count(), 0)
    return seconds / keys


def totals(measured):
    columns = [
        *(runner.name("hours are in"), fact("keys", text="{:,}"), fact("months")),
        *(number("totals", "totals"), number("bytes a total", "bytes")),
        ("adding to a key, µs", lambda each: f"{each.median('adding') * 1e6:,.0f}"),
        ("deleting 1,000 hours, ms", lambda each: f"{each.median('deleting') / each.median('deleted') * 1e6:,.2f}"),
    ]
    return Table("Totals on PostgreSQL", columns, measured)


# Exports


def exported(form, keys):
    return once(form, partial(export, form), keys=keys)


def export(form):
    """Export all totals to a file; return the seconds and bytes of one."""
    read, write = FORMATS[form]
    with tempfile.TemporaryDirectory(prefix="app-metrics-") as folder:
        path = Path(folder, "totals")
        with path.open("w", newline="") as stream:
            used = seconds_of(lambda: write(stream, read(Chosen(), print), lambda count: None))
        number = Chosen().count()
        return {"totals": number, "seconds": used / number, "bytes": path.stat().st_size / number}


def exports(measured):
    rate = ("totals a second", lambda each: f"{1 / each.median():,.0f}")
    columns = [runner.name("format"), number("totals", "totals"), rate, number("bytes a total", "bytes")]
    return Table("Exporting totals from PostgreSQL", columns, measured)
