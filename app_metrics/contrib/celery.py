"""A scope for every run of a Celery task, and `APP_METRICS_CELERY`: count and time tasks by name."""

from time import perf_counter
from typing import Any

from celery import Task, signals
from django.db import close_old_connections

from ..conf import settings
from ..core.summary import COUNTER, TIMER
from ..core.validation import MAX_LABEL_LENGTH
from ..recording.collecting import collect
from ..recording.metrics import record
from ..transport.buffer import flush

TASKS = "celery_tasks"
SECONDS = "celery_task_seconds"

# How a run may end; a project's own states are recorded as "other".
OUTCOMES = frozenset({"success", "failure", "retry", "ignored", "rejected"})

# The prefix of our own tasks, which have scopes, too, but are not counted.
OWN = "app_metrics."


class Run(collect):
    """The scope of one run, kept on the task's request, because runs of one task may be nested."""

    def __init__(self) -> None:
        super().__init__()
        self.started = perf_counter()


def connect() -> None:
    """Open a scope when a task begins and close it when it ends; flush when a worker process ends."""
    signals.task_prerun.connect(_begin, weak=False, dispatch_uid=_begin)
    signals.task_postrun.connect(_end, weak=False, dispatch_uid=_end)
    # Pool processes run no exit handlers, and the worker's own run after its threads have ended.
    signals.worker_process_shutdown.connect(_flush, weak=False, dispatch_uid=_flush)
    signals.worker_shutdown.connect(_flush, weak=False, dispatch_uid=_flush)


def _begin(task: Task, **kwargs: Any) -> None:
    task.request.app_metrics_run = run = Run()
    run.__enter__()


def _end(task: Task, state: str | None = None, **kwargs: Any) -> None:
    run = task.request.__dict__.pop("app_metrics_run", None)
    if run is None:  # connected in the middle of a run
        return
    try:
        if settings.APP_METRICS_CELERY and not task.name.startswith(OWN):
            _count(task.name[:MAX_LABEL_LENGTH], str(state).lower(), perf_counter() - run.started)
    finally:
        run.__exit__(None, None, None)
        if not task.request.is_eager:
            close_old_connections()  # Celery's own receiver may have run before this one


def _count(name: str, outcome: str, seconds: float) -> None:
    record(TASKS, COUNTER, 1, {"task": name, "outcome": outcome if outcome in OUTCOMES else "other"})
    record(SECONDS, TIMER, seconds, {"task": name})


def _flush(**kwargs: Any) -> None:
    flush()
