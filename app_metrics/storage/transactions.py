"""Retry transactions after transient errors, such as a deadlock; begin them on SQLite when they disturb nobody."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from random import uniform
from traceback import walk_tb
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError, connections, transaction

from ..conf import settings
from .connections import commits_at_once
from .dialects import dialect_for

# Tries of a transaction that fails because of a lock, or because a metric was deleted meanwhile.
TRIES = 8
# Seconds for which a transaction waits until no other one is open, and seconds between two looks. Longer than one of
# another command takes, such as an import beside an aggregation.
PATIENCE = 5.0
LOOK = 0.01

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
            _free_cursors(error)
            time.sleep(uniform(0, 0.05 * 2**tried))  # noqa: S311 - apart, not secret
    raise AssertionError("unreachable: the last try raises")


@contextmanager
def between_others(**options: Any) -> Iterator[None]:
    """Enter an atomic block of APP_METRICS_DATABASE; on SQLite, if possible, while no other transaction is open.

    SQLite refuses the first write of a transaction that has read before another one wrote. So this waits for up to
    five seconds until none is open, and then keeps others waiting. In WAL mode it sees only those that write, and waits
    for no others. With `durable=True`, raises RuntimeError inside a transaction, also one without an atomic block.
    """
    connection = connections[settings.APP_METRICS_DATABASE]
    if options.get("durable") and not connection.in_atomic_block and not connection.get_autocommit():
        raise RuntimeError("autocommit is off, so what is written may be rolled back")
    with ExitStack() as block:
        if not (_takes_locks_late(connection) and _entered_alone(connection, block, options)):
            block.enter_context(transaction.atomic(using=connection.alias, **options))
        yield


def update(rows: Any, **values: Any) -> int:
    """Update the rows of a queryset in a transaction of their own, retried after a transient error; return how many."""

    def attempt() -> int:
        with between_others():
            return int(rows.update(**values))

    return retried(attempt)


def _takes_locks_late(connection: Any) -> bool:
    # Threads that share a database in memory do not wait for each other: they would fail.
    if connection.vendor != "sqlite" or connection.is_in_memory_db() or not commits_at_once(connection):
        return False
    connection.ensure_connection()
    return connection.transaction_mode in (None, "DEFERRED")


def _entered_alone(connection: Any, block: ExitStack, options: Any) -> bool:
    """Enter an atomic block with a lock that excludes all others; return False if somebody always holds one."""
    raw, mode, until = connection.connection, connection.transaction_mode, time.monotonic() + PATIENCE
    timeout = raw.execute("PRAGMA busy_timeout").fetchone()[0]
    try:
        raw.execute("PRAGMA busy_timeout = 0")
        connection.transaction_mode = "EXCLUSIVE"
        while True:
            try:
                block.enter_context(transaction.atomic(using=connection.alias, **options))
                return True
            except OperationalError as error:
                _free_cursors(error)
            time.sleep(LOOK)
            if time.monotonic() >= until:
                return False
    finally:
        connection.transaction_mode = mode
        raw.execute(f"PRAGMA busy_timeout = {timeout}")


def _free_cursors(error: Exception) -> None:
    """Free the cursor that Django's frames of a database error hold.

    Django's errors are in a reference cycle, so the garbage collector would free it, in any thread. For that Python
    waits until SQLite's connection is idle, and no thread runs meanwhile. If the connection waits for a lock of one of
    them, the process stands still until the lock times out.
    """
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").startswith("django.db."):
            with suppress(RuntimeError):  # it is still running
                frame.clear()
