"""Processes that drain pending events into the totals."""

import random
import time
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError, connection

from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from tests.soak.faults.crash import commit_late
from tests.soak.faults.journal import PATIENCE, note_failure
from tests.soak.faults.working import wait_for_workers


def aggregate_for(seconds, seed, late=0, through_faults=False, journal=None):
    """Aggregate repeatedly in chunks of varying size; return the number of items."""
    random.seed(seed)
    if late:
        commit_late(late)
    deadline = time.monotonic() + seconds
    items = 0
    while time.monotonic() < deadline:
        try:
            done = aggregate(chunk_size=random.choice((10, 30, 100, 300)))
            items, failed = items + done.items, bool(done.failures)
        except DatabaseError:
            if not through_faults:
                raise
            connection.close()
            failed = True
        if failed and journal:
            note_failure(journal)
        time.sleep(random.uniform(0, 0.02))  # on SQLite, other processes get the lock only during pauses
    return items


def bring_home():
    """Wait until workers have processed all messages and everything is in the totals."""
    if settings.FAULTS_BROKER:
        wait_for_workers()
    recover()


def recover(chunk_size=None):
    """Aggregate until nothing is pending; tolerate rows that killed processes leave locked for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(DatabaseError):
            done = aggregate(chunk_size=chunk_size)
            if not (done.failures or backlog().items):
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{backlog()} still waits")
        connection.close()
        time.sleep(0.1)
