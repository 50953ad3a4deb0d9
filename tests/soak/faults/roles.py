"""What a site's processes do: each process runs one of these functions, or of the imported ones."""

import csv
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import Sum

from app_metrics import flush
from app_metrics.aggregation.run import aggregate
from app_metrics.conf import spool_dir
from app_metrics.core.batch import new_batch_id
from app_metrics.core.dropped import DROPPED_SLUG
from app_metrics.core.labels import decode_labels
from app_metrics.models import AggregationRun, Item, LedgerRow, Metric, QuarantinedItem, RecurringJob, Total
from app_metrics.storage.journal import journal_of
from app_metrics.transport import spool
from tests.aggregation.test_quarantine import GOOD, POISON
from tests.soak.faults.bringing import aggregate_for, bring_home, recover
from tests.soak.faults.crash import Trap
from tests.soak.faults.journal import PATIENCE, Journal, Recorded
from tests.soak.faults.sketches import altered
from tests.soak.faults.straining import (
    fork_with_locks_held,
    journal_on_full_disk,
    record_labels,
    spool_on_full_disk,
    write_on_full_disk,
    write_with_jumping_clock,
)
from tests.soak.faults.working import count_messages, wait_for_a_worker, wait_for_workers, work
from tests.soak.faults.writing import Writer, write, write_again, write_late, write_recording, write_twice
from tests.support.mortal_autopilot import die_at_random


def create():
    """Create the site's databases with empty tables."""
    for each in connections.all():
        each.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    if spool_dir():
        spool_dir().mkdir()


def empty():
    """Delete everything recorded."""
    if (redis := redis_client()) is not None:
        for key in redis.scan_iter(f"{settings.APP_METRICS_REDIS_PREFIX}:*"):
            redis.delete(key)
    if settings.FAULTS_BROKER:
        with current_app.connection_for_write() as broker:
            if broker.transport.driver_type == "redis":
                broker.default_channel.client.flushdb()
            else:
                broker.default_channel.queue_delete(settings.FAULTS_QUEUE)
    if journal := journal_of(connection):
        journal.forget()
    for segment in [*spool.segments(), *spool.parts()]:
        segment.unlink()
    with connection.cursor() as cursor:
        for model in (Item, Total, Metric, LedgerRow, QuarantinedItem, AggregationRun, RecurringJob):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")


def redis_client():
    """Return a client of the site's Redis, or None if it does not record to Redis."""
    if settings.APP_METRICS_BACKEND != "app_metrics.backends.redis":
        return None
    from redis import Redis

    return Redis.from_url(settings.APP_METRICS_REDIS_URL)


def poison(seed, amount):
    """Insert invalid items among the others, and return their number."""
    random.seed(seed)
    for _ in range(amount):
        column, value = random.choice(list(POISON.items()))
        Item.objects.create(id=new_batch_id(), **{**GOOD, column: value})
        time.sleep(0.005)
    return amount + poison_redis(amount)


def poison_redis(amount):
    """Insert fields that are no summaries into a Redis bucket while no drain runs; return their number."""
    if (redis := redis_client()) is None:
        return 0
    shard, deadline = f"{settings.APP_METRICS_REDIS_PREFIX}:{{0}}", time.monotonic() + PATIENCE
    while not (names := redis.hkeys(f"{shard}:live")):
        if time.monotonic() > deadline:
            raise TimeoutError("nobody writes")
        time.sleep(0.01)
    bucket = f"{shard}:hour:{names[0].decode()}"
    for number in range(amount):
        field, value = random.choice((("counter {}", "no summary"), ("histogram {}", "1 2 3 4 5 6 7 8")))
        redis.hset(bucket, f"poisoned-{number} {field}", value)
    return amount


def serve(path, journal, workers, rounds=None):
    """Serve the page of `tests.soak.faults.web` on a Unix socket.

    With a log of rounds, workers die at random steps of those of their autopilot.
    """
    from tests.soak.faults.web import Server

    if rounds:
        die_at_random(rounds)
    owner = os.getpid()
    with suppress(SystemExit):
        Server(path, journal, workers).run()
    if os.getpid() != owner:
        os._exit(0)  # a worker


def serve_asgi(path, journal, patience):
    """Serve the pages of `tests.soak.faults.asgi` on a Unix socket; at a stop, wait that long for answers to end."""
    from tests.soak.faults.asgi import Server

    signal.signal(signal.SIGTERM, lambda *received: None)  # uvicorn raises it again when it has ended
    Server(path, Journal(journal), patience).run()


def crash(journal, seed, at):
    """Write a batch and aggregate, but get killed at one of the steps; return the number of steps."""
    write(journal, seed, batches=1, pause=0)
    trap = Trap(at)
    trap.set()
    aggregate(chunk_size=3)
    return trap.steps


def crash_writing(journal, seed, at):
    """Journal two batches and write them, but get killed at one of the steps; return the number of steps."""
    writer = Writer(journal, seed)
    for number in range(2):
        writer.write(number)
    trap = Trap(at)
    trap.set()
    flush()
    return trap.steps


def crash_replaying(journal, seed, at):
    """Aggregate the journal of a process that was killed, but get killed at one of the steps; return their number."""
    if not (child := os.fork()):
        writer = Writer(journal, seed)
        for number in range(2):
            writer.write(number)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    trap = Trap(at)
    trap.set()
    aggregate(chunk_size=3)
    return trap.steps


def export(paths):
    """Export the totals to two files, with the same lines in another order, and delete them; the metrics stay."""
    recover()
    first, second = map(Path, paths)
    call_command("metrics_export", output=first, verbosity=0)
    with first.open(newline="") as stream:
        heading, *lines = csv.reader(stream)
    with second.open("w", newline="") as stream:
        csv.writer(stream).writerows([heading, *reversed(lines)])
    Total.objects.all().delete()


def import_totals(path):
    """Import a file; return whether it was accepted, as no other file with the same metrics was imported before."""
    try:
        call_command("metrics_import", path, verbosity=0)
    except CommandError as error:
        if "already have totals" not in str(error):
            raise
        return False
    return True


def read_totals():
    """Return how often each slug and event was counted, as rows by period, and the number of quarantined items."""
    rows = (
        Total.objects.using("default")
        .exclude(metric__slug=DROPPED_SLUG)
        .values_list("period", "metric__slug", "labels")
        .annotate(events=Sum("count"))
    )
    totals = [[period, slug, decode_labels(labels).get("event"), events] for period, slug, labels, events in rows]
    return {"totals": totals, "quarantined": QuarantinedItem.objects.using("default").count()}


def read_altered(acknowledged, undecided):
    """Return which sketches differ from those of a run without faults."""
    totals = Total.objects.using("default").exclude(metric__slug=DROPPED_SLUG)
    return altered(
        totals, *(Counter({Recorded(*each): times for each, times in rows}) for rows in (acknowledged, undecided))
    )


ROLES = {
    role.__name__: role
    for role in (
        aggregate_for,
        bring_home,
        count_messages,
        crash,
        crash_replaying,
        crash_writing,
        create,
        empty,
        export,
        fork_with_locks_held,
        import_totals,
        journal_on_full_disk,
        poison,
        read_altered,
        read_totals,
        record_labels,
        recover,
        serve,
        serve_asgi,
        spool_on_full_disk,
        wait_for_a_worker,
        wait_for_workers,
        work,
        write,
        write_again,
        write_late,
        write_on_full_disk,
        write_recording,
        write_twice,
        write_with_jumping_clock,
    )
}
