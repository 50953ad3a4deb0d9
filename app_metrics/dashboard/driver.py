"""Who keeps the totals up to date, and whether that has stopped."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..aggregation.backlog import oldest_age
from ..autopilot.jobs import AGGREGATE, JOBS
from ..autopilot.lease import is_scheduled
from ..autopilot.pilot import hindrance
from ..core.calendar import aware
from ..models import RecurringJob

# Seconds that items may be pending: until a nightly job, or until an autopilot that runs every minute has stopped.
PATIENCE_WITH_SCHEDULERS, PATIENCE = 86_400, 900
# A scheduler that has not run for so long is no longer one.
FORGOTTEN = timedelta(days=2)

AUTOPILOT, SCHEDULER = _("the autopilot"), _("a scheduler, such as cron")


class Driver(NamedTuple):
    """Who aggregates (`name` is empty for nobody), when last, and why the autopilot does not or what it failed at."""

    name: str | Promise
    last: datetime | None
    hindrance: str | Promise
    problem: str

    @property
    def patience(self) -> float:
        """Seconds that items may be pending before something is wrong."""
        return PATIENCE_WITH_SCHEDULERS if self.name is SCHEDULER else PATIENCE

    def stopped_for(self, age: float) -> float:
        """Return for how many seconds the oldest item has been pending, if that is too long; otherwise 0."""
        return age if age > self.patience else 0.0


def driver() -> Driver:
    """Return who aggregates now; one query."""
    rows = RecurringJob.objects.in_bulk()
    problems = [f"{job.name}: {rows[job.name].problem}" for job in JOBS if job.name in rows and rows[job.name].problem]
    row = rows.get(AGGREGATE)
    if row and is_scheduled(row, FORGOTTEN) and not _has_taken_over(row):
        return Driver(SCHEDULER, row.scheduled_at, "", " ".join(problems))
    last, why_not = row.finished_at if row else None, hindrance()
    return Driver(AUTOPILOT if last and not why_not else "", last, why_not, " ".join(problems))


def stopped_for() -> float:
    """Return for how many seconds the oldest item has been pending, if that is too long; otherwise 0. Two queries."""
    return driver().stopped_for(oldest_age())


def _has_taken_over(row: RecurringJob) -> bool:
    """Return whether the autopilot aggregated after the scheduler did."""
    return bool(row.finished_at and row.scheduled_at and aware(row.finished_at) > aware(row.scheduled_at))
