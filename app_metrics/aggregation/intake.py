"""Bring to the item log what waits at a destination or in files, before an aggregation takes it from there."""

import logging

from django.core.exceptions import ImproperlyConfigured

from ..transport.loading import get_backend, load_backend
from ..transport.retrying import RetryingBackend
from .replaying import replay

logger = logging.getLogger("app_metrics")


def gather() -> list[str]:
    """Let the backend bring what waits at its destination; return what went wrong, one line each.

    What cannot be brought now stays where it is, for the next run.
    """
    return [*_drain(), *replay()]


def _drain() -> list[str]:
    try:
        backend = get_backend()
    except ImproperlyConfigured:
        return []  # nothing was ever sent there; the check says what is wrong
    return _drained(backend)


def gather_from(path: str) -> list[str]:
    """Do what `gather` does for another backend than the configured one, which was configured before.

    Raises ValueError where there is no such backend.
    """
    try:
        backend = load_backend(path)
    except ImproperlyConfigured as error:
        raise ValueError(str(error)) from error
    return _drained(RetryingBackend(backend))


def _drained(backend: RetryingBackend) -> list[str]:
    try:
        backend.drain()
    except Exception as error:
        logger.exception("What waits at the backend's destination could not be brought to the item log")
        return [f"What waits at the backend's destination could not be brought: {error!r}"]
    return []
