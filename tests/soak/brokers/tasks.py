"""A project's tasks that record."""

from pathlib import Path

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject

from app_metrics import metric


@shared_task(name="project.count")
def count(slug: str, times: int = 1, path: str | None = None) -> None:
    for _ in range(times):
        metric(slug)
    if path is not None:
        Path(path).touch()


@shared_task(name="project.nest")
def nest() -> None:
    metric("outer")
    count.apply(("inner", 2))
    count("called")
    metric("outer")


@shared_task(name="project.fail")
def fail() -> None:
    metric("failing")
    raise ValueError("a project's own")


@shared_task(name="project.retry", bind=True, max_retries=2)
def retry(task: Task) -> None:
    metric("tries")
    if task.request.retries < 2:
        raise task.retry(countdown=0)


@shared_task(name="project.leave")
def leave(reject: bool = False) -> None:
    metric("left")
    raise Reject("no") if reject else Ignore()
