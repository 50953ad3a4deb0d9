"""Transactions that are tried again while they fail for what others did meanwhile."""

import time
from collections.abc import Callable
from random import uniform
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError

from .dialects import dialect_for

# Tries of one transaction that another one's locks, or a metric deleted meanwhile, made fail.
TRIES = 8

Result = TypeVar("Result")


def retried(connection: Any, transact: Callable[[], Result], tries: int = TRIES) -> Result:
    """Return what a transaction returns; run it again while its failure is one that passes.

    But not in a transaction of the caller's that the failure broke: the caller can only roll it back.
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
