"""One round of the autopilot: do the jobs that are due."""

import time
from collections.abc import Callable

from django.db import connections

from ..core.dropped import warn_once
from ..models import RecurringJob
from ..transport.databases import described
from . import lease
from .jobs import JOBS, Advance, Job

# Seconds to pause at most after a transaction, so that the other threads of the process run.
LONGEST_PAUSE = 0.1


class Stopped(Exception):
    """The process ends."""


def do_due_jobs(is_stopping: Callable[[], bool]) -> None:
    """Do the jobs that are due, each only if no other process or scheduler does it. Never raises an Exception."""
    try:
        known = lease.rows()
        for job in JOBS:
            if _is_mine(job, known.get(job.name)) and lease.claim(job.name, job.seconds()):
                _do(job, is_stopping)
    except Stopped:
        pass
    except Exception as error:
        _warn(described(error))
    finally:
        connections.close_all()


def _is_mine(job: Job, row: RecurringJob | None) -> bool:
    is_scheduled = lease.is_scheduled(row, job.left_to_schedulers)
    return lease.is_due(row, job.seconds()) and not is_scheduled and job.has_work()


def _do(job: Job, is_stopping: Callable[[], bool]) -> None:
    try:
        problems = job.run(_advance(job, is_stopping))
    except Stopped:
        lease.renew(job.name, 0)
        raise
    except Exception as error:
        problems = [described(error)]
    for problem in problems:
        _warn(f"{job.name}: {problem}")
    lease.finish(job.name, " ".join(problems))


def _advance(job: Job, is_stopping: Callable[[], bool]) -> Advance:
    """Return what a job calls after each transaction and mail: it keeps the lease, lets others run, or stops it."""
    renewed = began = time.monotonic()

    def advance(done: int) -> None:
        nonlocal renewed, began
        if is_stopping():
            raise Stopped
        if time.monotonic() - renewed > job.seconds() / 3:
            lease.renew(job.name, job.seconds())
            renewed = time.monotonic()
        time.sleep(min(time.monotonic() - began, LONGEST_PAUSE))
        began = time.monotonic()

    return advance


def _warn(problem: str) -> None:
    warn_once(f"The autopilot of app_metrics failed: {problem}", source="autopilot")
