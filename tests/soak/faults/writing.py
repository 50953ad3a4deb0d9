"""Processes that record, and keep a journal."""

import logging
import random
import threading
import time
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

from django.db import DatabaseError

from app_metrics import collect, flush
from app_metrics.conf import flush_interval
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.buffer import is_journalled
from app_metrics.transport.loading import get_backend
from tests.soak import workers
from tests.soak.faults.bringing import bring_home
from tests.soak.faults.crash import Trap
from tests.soak.faults.journal import PATIENCE, Journal, batches_of, failures, make_events, note_failure

# Batches that a writer adds after an outage, to see how it recovers.
AFTER_FAILURES = 20
# How many writes a batch may cause if each write records, too.
MOST_WRITES = 2


def write(journal, seed, seconds=None, batches=None, pause=0.005, through=0):
    """Write batches for a time or a number of batches, then drain; return how many were written.

    After the time is over, continue until at least `through` writes have failed, and for a while longer.
    """
    writer, begun, more = Writer(journal, seed), time.monotonic(), AFTER_FAILURES if through else 0
    for number in count() if batches is None else range(batches):
        lasted = time.monotonic() - begun
        if lasted > PATIENCE:
            break
        if seconds is not None and lasted > seconds and failures(journal) >= through:
            if not more:
                break
            more -= 1
        writer.write(number)
        time.sleep(writer.random.uniform(0, 2 * pause))
    writer.finish()
    return writer.written


class Writer:
    """Write batches, and keep a journal of them."""

    def __init__(self, journal, seed):
        self.random = random.Random(seed)
        self.journal = Journal(journal)
        self.written = 0
        self._stem = Path(journal).stem
        witness(self.journal)
        logging.getLogger("app_metrics").addHandler(Failures(journal))

    def write(self, number):
        with collect():
            self.record(number)
        self.written += 1
        settle(self.journal, self.written)

    def record(self, name):
        """Record events of their own slug, and some of shared ones, as those of one batch."""
        record(self.journal, f"{self._stem}-{name}", self.random)

    def finish(self):
        """Write the retry queue, as the next batch or the end of the process would."""
        deadline = time.monotonic() + PATIENCE
        flush()
        while get_backend().kept:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{get_backend().kept} batches are still kept")
            time.sleep(0.05)
            flush()
        self.journal.acknowledge()


def record(journal, batch, random, **options):
    events = make_events(batch, random)
    journal.begin(batch, events)
    workers.record(events, **options)


class Failures(logging.Handler):
    """Note each failed attempt to write or publish a batch."""

    def __init__(self, journal):
        super().__init__()
        self._journal = journal

    def emit(self, record):
        if record.msg.startswith(("Could not write", "Could not publish")):
            note_failure(self._journal)


def settle(journal, number):
    """Acknowledge what was written; with a buffer but no journal, flush and acknowledge only every tenth batch."""
    if flush_interval() and not is_journalled():
        if number % 10:
            return
        flush()
    if not get_backend().kept:
        journal.acknowledge()


def witness(journal):
    """Note in a journal every attempt of the backend that failed after something had been sent."""
    sent, watches = Trap(), threading.get_ident()
    sent.set()

    def watched(write, batch):
        steps = sent.steps
        try:
            write(batch)
        except BaseException:
            # Statements of the buffer's thread are not counted, because it has its own connection.
            if sent.steps > steps or threading.get_ident() != watches:
                journal.fail(batches_of(key.slug for key in batch.summaries))
            raise

    handle_batches(watched)


def handle_batches(handle):
    """Call a function with the backend's original write and each batch."""
    backend = get_backend().backend
    backend.write = partial(handle, backend.write)
    if type(backend).write_once is not MetricsBackend.write_once:
        backend.write_once = partial(handle, backend.write_once)


def refuse(write, batch):
    raise DatabaseError("refused, for the test")


def write_recording(journal, seed, batches):
    """Write batches to a backend that records during each write; return how many were written."""
    writer, backend = Writer(journal, seed), get_backend().backend
    original, writes, most = dict(vars(backend)), count(), MOST_WRITES * batches

    def recording(write, batch):
        number = next(writes)
        if number < most:
            writer.record(f"write-{number}")
        write(batch)

    handle_batches(recording)
    for number in range(batches):
        writer.write(number)
    # From now on no write records, because the last write of a process cannot count itself.
    vars(backend).update(original)
    writer.finish()
    if next(writes) > most:
        raise AssertionError(f"{batches} batches caused more than {most} writes")
    return writer.written


def write_late(journal, seed, seconds):
    """Delay commits, and roll some back; return how many were committed."""
    random.seed(seed)
    journal = Journal(journal)
    written = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        slug = f"late-{random.getrandbits(64):x}"
        roll_back = random.random() < 0.1
        with suppress(workers.RolledBack):
            events = workers.late_commit("default", slug, roll_back=roll_back)
            journal.begin(slug, events)
            journal.acknowledge()
            written += 1
    return written


def write_twice(journal, seed, batches):
    """Write each batch twice before it is aggregated; return how many were written."""
    retrying = get_backend()
    once = retrying.write
    retrying.write = lambda batch: (once(batch), once(batch))
    return write(journal, seed, batches=batches, pause=0)


def write_again(journal, seed, batches):
    """Write batches, and write each again after all were aggregated; return the number of batches."""
    retrying, batches_written = get_backend(), []
    once = retrying.write
    retrying.write = lambda batch: (batches_written.append(batch), once(batch))
    written = write(journal, seed, batches=batches, pause=0)
    bring_home()
    for batch in batches_written:
        once(batch)
    flush()
    return written
