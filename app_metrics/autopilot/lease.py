"""Leases of jobs: rows by which one process of all does a job, and leaves it alone if a scheduler does it."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from ..conf import settings
from ..core.plain_text import cut, one_line
from ..models import RecurringJob
from ..models.primary import primary
from ..storage.transactions import between_others, retried, update

MAX_PROBLEM_LENGTH = 1000


def rows() -> dict[str, RecurringJob]:
    """Return the rows of all jobs by name; one query."""
    return {row.name: row for row in primary(RecurringJob.objects)}


def is_due(row: RecurringJob | None, seconds: float) -> bool:
    """Return whether nobody has the lease of a job. A lease that ends later than a new one had a wrong clock."""
    now = timezone.now()
    return row is None or not now < row.due_at <= now + timedelta(seconds=seconds)


def claim(name: str, seconds: float) -> bool:
    """Take the lease of a job for some seconds; return False if another process has it."""
    return retried(partial(_claim, name, timezone.now(), timedelta(seconds=seconds)))


def renew(name: str, seconds: float) -> None:
    """Extend the lease of a job to some seconds from now; 0 gives it up."""
    _update(name, due_at=timezone.now() + timedelta(seconds=seconds))


def finish(name: str, problem: str) -> None:
    """Note that the autopilot has finished a job, and its problem, if there is any."""
    _update(name, finished_at=timezone.now(), problem=cut(one_line(problem), MAX_PROBLEM_LENGTH))


def note_scheduled(name: str) -> None:
    """Note that a scheduler has done a job."""
    now = timezone.now()
    if not _update(name, scheduled_at=now):
        retried(partial(_create, name, due_at=now, scheduled_at=now))


def is_scheduled(row: RecurringJob | None, within: timedelta) -> bool:
    """Return whether a scheduler did a job within a time before now."""
    return bool(row and row.scheduled_at and abs(timezone.now() - row.scheduled_at) <= within)


def _claim(name: str, now: datetime, length: timedelta) -> bool:
    free = Q(due_at__lte=now) | Q(due_at__gt=now + length)
    if _update(name, free, due_at=now + length):
        return True
    return not primary(RecurringJob.objects).filter(name=name).exists() and _create(name, due_at=now + length)


def _update(name: str, *conditions: Q, **values: Any) -> int:
    return update(RecurringJob.objects.filter(*conditions, name=name), **values)


def _create(name: str, **values: datetime) -> bool:
    """Create the row of a job; return False if another process did so meanwhile."""
    with between_others():
        try:
            with transaction.atomic(using=settings.APP_METRICS_DATABASE):
                RecurringJob(name=name, **values).save(force_insert=True)
        except IntegrityError:
            return False
    return True
