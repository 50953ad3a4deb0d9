"""The jobs of the autopilot; each does what a command does, and may run beside that command."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from ..aggregation.retention import limits, prune
from ..aggregation.run import aggregate, checked_chunk_size
from ..conf import autopilot_interval, settings
from ..core.calendar import moment_of
from ..models import Item, MetricSet, Notice
from ..models.pending import is_complete, pending_batches
from ..models.primary import primary
from ..models.reports import UNSENT
from ..notifications.alerts import check_alerts
from ..notifications.outbox import send_notifications
from ..reports.sending import send_reports
from ..storage.ledger import forget_old
from ..transport import spool

# The names of the jobs.
AGGREGATE, ALERTS, REPORTS, PRUNE = "aggregate", "alerts", "reports", "prune"
# Items per transaction: few, because Python runs the threads of the process in turn, and visitors wait meanwhile.
MOST_ITEMS = 2_000
# Hours after midnight in the metrics time zone, before which no report is sent.
REPORTS_FROM = 6

Advance = Callable[[int], None]


class Job(NamedTuple):
    """What to do, and how often: `run` gets a function to call after each transaction and mail, and returns problems.

    The autopilot leaves a job alone for some time after a scheduler did it, and while there is no work: even the lease
    would be a write, and each write may make a request fail on SQLite in WAL mode.
    """

    name: str
    seconds: Callable[[], float]
    left_to_schedulers: timedelta
    run: Callable[[Advance], list[str]]
    has_work: Callable[[], bool] = lambda: True


def _aggregate(advance: Advance) -> list[str]:
    done = aggregate(chunk_size=_chunk_size(), on_progress=advance)
    return [*done.failures, *send_notifications(advance).problems]


def _check_alerts(advance: Advance) -> list[str]:
    failed = check_alerts().failed
    return [*(f"{name}: {reason}" for name, reason in failed.items()), *send_notifications(advance).problems]


def _send_reports(advance: Advance) -> list[str]:
    outcome = send_reports(chunk_size=_chunk_size(), on_progress=advance)
    return [*outcome.undrained, *outcome.problems]


def _prune(advance: Advance) -> list[str]:
    for limit in limits():
        prune(limit, on_progress=advance)
    forget_old()
    return []


def _chunk_size() -> int:
    return min(checked_chunk_size(None), MOST_ITEMS)


def _has_pending() -> bool:
    spooled = spool.pending()
    is_spooled = bool(spooled and spooled.segments)
    return is_spooled or primary(Item.objects).exists() or bool(pending_batches().batches) or not is_complete()


def _has_alerts() -> bool:
    unsent = primary(Notice.objects).filter(status__in=UNSENT)
    return bool(settings.APP_METRICS_ALERTS) or unsent.exists()


def _has_reports() -> bool:
    is_day = moment_of(None).hours >= REPORTS_FROM
    return is_day and (bool(settings.APP_METRICS_SETS) or primary(MetricSet.objects).exists())


JOBS = (
    Job(AGGREGATE, autopilot_interval, timedelta(minutes=15), _aggregate, _has_pending),
    Job(ALERTS, lambda: 300, timedelta(hours=1), _check_alerts, _has_alerts),
    Job(REPORTS, lambda: 900, timedelta(days=2), _send_reports, _has_reports),
    Job(PRUNE, lambda: 86_400, timedelta(days=8), _prune),
)
