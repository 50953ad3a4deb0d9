"""Transactions that are tried again after an error that passes, such as a deadlock."""

import time
from collections.abc import Callable
from random import uniform
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError

from .dialects import dialect_for

# Tries of a transaction that fails because of another one's locks, or of a metric that was deleted meanwhile.
TRIES = 8

Result = TypeVar("Result")


def retried(connection: Any, transact: Callable[[], Result], tries: int = TRIES) -> Result:
    """Run a transaction and return its result; run it again after an error that passes.

    An error that broke a transaction of the caller is raised, because the caller can only roll it back.
    """
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
