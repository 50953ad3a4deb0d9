"""Retry transactions after transient errors, such as a deadlock."""

import time
from collections.abc import Callable
from random import uniform
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connections

from ..conf import settings
from .dialects import dialect_for

# Tries of a transaction that fails because of a lock, or because a metric was deleted meanwhile.
TRIES = 8

Result = TypeVar("Result")


def retried(transact: Callable[[], Result], tries: int = TRIES) -> Result:
    """Run a transaction of APP_METRICS_DATABASE and return its result; retry it after a transient error.

    An error that broke the caller's transaction is raised at once, because that transaction can only be rolled back.
    """
    connection = connections[settings.APP_METRICS_DATABASE]
    dialect = dialect_for(connection)
    for tried in range(1, tries + 1):
        try:
            return transact()
        except (IntegrityError, OperationalError) as error:
            passing = isinstance(error, IntegrityError) or dialect.is_transient(error)
            if tried == tries or not passing or connection.needs_rollback:
                raise
            time.sleep(uniform(0, 0.05 * 2**tried))  # noqa: S311 - apart, not secret
    raise AssertionError("unreachable: the last try raises")
