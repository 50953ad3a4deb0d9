"""A scope for every run of a task of `django.tasks`, which came with Django 6.0."""

from typing import Any

from django.tasks.signals import task_finished, task_started

from ..recording.collecting import collect

# By the id of the run's result, because a task may run others within itself.
_scopes: dict[str, collect] = {}


def connect() -> None:
    """Open a scope when a task begins and close it when it ends."""
    task_started.connect(_begin, weak=False, dispatch_uid=_begin)
    task_finished.connect(_end, weak=False, dispatch_uid=_end)


def _begin(task_result: Any, **kwargs: Any) -> None:
    _scopes[task_result.id] = scope = collect()
    scope.__enter__()


def _end(task_result: Any, **kwargs: Any) -> None:
    scope = _scopes.pop(task_result.id, None)
    if scope is not None:
        scope.__exit__(None, None, None)
