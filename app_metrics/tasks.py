"""Celery's tasks, which `app.autodiscover_tasks()` finds; each may run at any time, and several times at once."""

from typing import NoReturn

from celery import Task, shared_task
from celery.exceptions import Reject
from django.core.management import call_command

from .backends.celery import WRITE_BATCH
from .core.dropped import BAD_MESSAGE, drop
from .core.serialization import decode_batch
from .storage.dialects.base import BAD_DATA
from .storage.ledger import write_once

# While the database is away the next try comes after 1, 2, 4, … seconds, up to this many, for ever.
LONGEST_PAUSE = 60


@shared_task(
    name=WRITE_BATCH,
    bind=True,
    ignore_result=True,
    max_retries=None,
    # A worker that is killed, by a time limit as well, has written the batch or not; the message comes again.
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
)
def write_batch(task: Task, text: str) -> None:
    """Write a batch to the item log, once however often it is delivered; what is no batch is dropped."""
    try:
        write_once(decode_batch(text))
    except BAD_DATA as error:
        drop(BAD_MESSAGE, f"a message holds no batch: {error}: {text!r:.200}")
    except Exception as error:  # a time limit that is soft, too: Celery throws away what fails
        _try_again(task, error)


def _try_again(task: Task, error: Exception) -> NoReturn:
    pause = min(2 ** min(task.request.retries, 10), LONGEST_PAUSE)
    try:
        raise task.retry(exc=error, countdown=pause)
    except Reject as reject:  # the broker is away, too: Celery would drop the message
        raise Reject(reject.reason, requeue=True) from error


@shared_task(name="app_metrics.tasks.aggregate", ignore_result=True)
def aggregate() -> None:
    """Do what `manage.py metrics_aggregate` does. Raises CommandError where something failed."""
    call_command("metrics_aggregate", verbosity=0)


@shared_task(name="app_metrics.tasks.send_reports", ignore_result=True)
def send_reports() -> None:
    """Do what `manage.py metrics_send_mail` does. Raises CommandError where something failed."""
    call_command("metrics_send_mail", verbosity=0)


@shared_task(name="app_metrics.tasks.check_alerts", ignore_result=True)
def check_alerts() -> None:
    """Do what `manage.py metrics_check_alerts` does. Raises CommandError where something failed."""
    call_command("metrics_check_alerts", verbosity=0)


@shared_task(name="app_metrics.tasks.prune", ignore_result=True)
def prune() -> None:
    """Do what `manage.py metrics_prune` does. Raises CommandError where something failed."""
    call_command("metrics_prune", verbosity=0)
