"""Celery tasks, found by `app.autodiscover_tasks()`; each may run at any time, and several times at once."""

from typing import Any, NoReturn

from celery import Task, shared_task
from celery.exceptions import Reject
from django.core.management import call_command

from .backends.celery import WRITE_BATCH
from .core.dropped import BAD_MESSAGE, drop, warn_once
from .core.serialization import NewerBatchError, decode_batch
from .core.summary import UNIQUE
from .recording.scope import activated
from .storage.dialects.base import BAD_DATA
from .storage.ledger import write_once
from .transport.aside import writing

# While the database is down, a write is retried after 1, 2, 4, … seconds, up to this pause, without end.
LONGEST_PAUSE = 60


@shared_task(
    name=WRITE_BATCH,
    bind=True,
    ignore_result=True,
    max_retries=None,
    # If a worker is killed, perhaps by a time limit, the message is delivered again.
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
)
def write_batch(task: Task, text: str) -> None:
    """Write a batch to the item log once, no matter how often it is delivered; drop a message without a batch.

    A batch of a newer version of this package is tried again until a worker can read it.
    """
    try:
        with writing(), activated(None):  # what this records must not become the next message
            write_once(decode_batch(text))
    except BAD_DATA as error:
        drop(BAD_MESSAGE, f"a message does not hold a batch: {error}: {_quoted(text)}")
    except NewerBatchError as error:
        warn_once(f"A message stays in the queue: {error}")
        _try_again(task, error)
    except Exception as error:  # also a soft time limit: Celery discards tasks that fail
        _try_again(task, error)


def _quoted(message: Any) -> str:
    """Return the beginning of a message for the log, unless it may have hashes, which are personal data."""
    text = repr(message)
    return "it is not quoted, because it may have hashes of unique counts" if UNIQUE in text else text[:200]


def _try_again(task: Task, error: Exception) -> NoReturn:
    pause = min(2 ** min(task.request.retries, 10), LONGEST_PAUSE)
    try:
        raise task.retry(exc=error, countdown=pause)
    except Reject as reject:  # the broker is down, too: Celery would drop the message
        raise Reject(reject.reason, requeue=True) from error


@shared_task(name="app_metrics.tasks.aggregate", ignore_result=True)
def aggregate() -> None:
    """Run `manage.py metrics_aggregate`. Raises CommandError if something failed."""
    call_command("metrics_aggregate", verbosity=0)


@shared_task(name="app_metrics.tasks.send_reports", ignore_result=True)
def send_reports() -> None:
    """Run `manage.py metrics_send_mail`. Raises CommandError if something failed."""
    call_command("metrics_send_mail", verbosity=0)


@shared_task(name="app_metrics.tasks.check_alerts", ignore_result=True)
def check_alerts() -> None:
    """Run `manage.py metrics_check_alerts`. Raises CommandError if something failed."""
    call_command("metrics_check_alerts", verbosity=0)


@shared_task(name="app_metrics.tasks.prune", ignore_result=True)
def prune() -> None:
    """Run `manage.py metrics_prune`. Raises CommandError if something failed."""
    call_command("metrics_prune", verbosity=0)
