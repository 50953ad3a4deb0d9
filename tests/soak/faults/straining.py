"""Processes that record while the machine's disk, locks, clock or memory misbehave."""

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from django.db import connection
from freezegun import freeze_time

from app_metrics import collect, flush, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.transport import buffer
from app_metrics.transport.loading import get_backend
from tests.soak.faults.journal import PATIENCE
from tests.soak.faults.writing import Writer, handle_batches, refuse
from tests.soak.workers import peak


def write_on_full_disk(journal, seed, directory):
    """Write batches before, while and after a disk is full; return how many were written."""
    writer, ballast = Writer(journal, seed), Path(directory, "ballast")
    for number in range(10):
        writer.write(number)
    fill_disk(ballast)
    # The database still has free space in its allocated pages.
    for number in range(10, 10_000):
        writer.write(number)
        if get_backend().kept:
            break
    else:
        raise AssertionError("the disk was not full")
    for number in range(10_000, 10_020):
        if number == 10_010:
            ballast.unlink()
        writer.write(number)
    writer.finish()
    return writer.written


def spool_on_full_disk(journal, seed, directory):
    """Write batches that the database refuses to a spool whose disk fills up; return how many were written."""
    writer, ballast, backend = Writer(journal, seed), Path(directory, "ballast"), get_backend().backend
    original = backend.write
    handle_batches(refuse)
    for number in range(60):
        if number == 20:
            fill_disk(ballast)
        if number == 40:
            if not get_backend().kept:
                raise AssertionError("the disk was not full")
            ballast.unlink()
        writer.write(number)
    backend.write = original
    writer.finish()
    return writer.written


def journal_on_full_disk(journal, seed, directory):
    """Write batches to a journal whose disk fills up, and is freed again; return how many were written."""
    writer, ballast, in_memory = Writer(journal, seed), Path(directory, "ballast"), 0
    for number in range(60):
        if number == 20:
            flush()  # a part that has begun may have room in its last page
            fill_disk(ballast)
        if number == 40:
            ballast.unlink()
        writer.write(number)
        in_memory += len(buffer._buffer.merging.here())
    if not in_memory:
        raise AssertionError("the disk was not full")
    writer.finish()
    return writer.written


def fill_disk(ballast):
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def fork_with_locks_held(journals, journals_of_threads, seed):
    """Fork once per journal while one thread holds a lock and others write."""
    ending, beginning = threading.Event(), threading.Barrier(2 + len(journals_of_threads))
    threads = [
        threading.Thread(target=hold_lock, args=[beginning, ending]),
        *(threading.Thread(target=write_until, args=[beginning, ending, each, seed]) for each in journals_of_threads),
    ]
    for thread in threads:
        thread.start()
    # Writing must need no further imports: a fork during an import leaves Python's module locks held.
    beginning.wait(PATIENCE)
    try:
        for journal in journals:
            fork_writer(journal, seed)
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def hold_lock(beginning, ending):
    beginning.wait(PATIENCE)
    while not ending.is_set():
        with buffer._buffer._flushing:
            time.sleep(0.01)


def write_until(beginning, ending, journal, seed):
    writer = Writer(journal, seed)
    for number in count():
        if ending.is_set():
            break
        writer.write(number)
        time.sleep(0.005)
        if not number:
            flush()
            beginning.wait(PATIENCE)
    writer.finish()
    connection.close()


def fork_writer(journal, seed):
    """Fork a process that writes a batch; kill it if it hangs."""
    pid = os.fork()
    if pid:
        if os.waitpid(pid, 0)[1]:
            raise AssertionError("a forked process could not record")
        return
    try:
        signal.alarm(60)
        if not buffer._buffer._flushing.acquire(blocking=False):
            raise AssertionError("a forked process began with a lock held")
        writer = Writer(journal, seed)
        writer.write(0)
        writer.finish()
        os._exit(0)
    finally:
        os._exit(1)


def write_with_jumping_clock(journal, seed, batches):
    """Write batches while this process's clock jumps back and forth by up to two days."""
    writer = Writer(journal, seed)
    offset = [0]
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + offset[0]
    time.time_ns = lambda: real_ns() + offset[0] * 10**9
    for number in range(batches):
        offset[0] = writer.random.choice((0, 1, -1)) * writer.random.randrange(2 * 86_400)
        writer.write(number)
        time.sleep(0.002)
    writer.finish()
    return writer.written


def set_clock_ahead(days):
    """Set this process's clock ahead; it goes on from there."""
    freeze_time(datetime.now(UTC) + timedelta(days), tick=True).start()


def record_labels(amount):
    """Record a metric with this many label sets in twenty scopes; return by how many MiB memory grew."""
    before, scope = None, amount // 20
    for first in range(0, amount, scope):
        with collect():
            for number in range(first, first + scope):
                metric("labels", labels={"event": f"value-{number}"})
        if before is None:
            before = peak()  # everything a scope needs is loaded by now
    flush()
    aggregate()
    return peak() - before
