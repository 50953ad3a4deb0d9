"""Limit the time of a query: the server, or SQLite itself, ends it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Any

from django.db import transaction

from ..storage.dialects.vendors import vendor_of

# Steps of SQLite's virtual machine between two looks at the clock.
STEPS = 10_000
# Servers may round fewer seconds to 0, which means no limit.
SHORTEST = 0.001


def time_limit(connection: Any, seconds: float) -> AbstractContextManager[None]:
    """Return a context in which a query that takes longer raises a DatabaseError. Raises LookupError if there is none.

    On PostgreSQL, nothing in the context can write.
    """
    return _LIMITS[vendor_of(connection)](connection, max(seconds, SHORTEST))


@contextmanager
def _sqlite(connection: Any, seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    deadline = monotonic() + seconds
    connection.connection.set_progress_handler(lambda: monotonic() > deadline, STEPS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)


@contextmanager
def _postgresql(connection: Any, seconds: float) -> Iterator[None]:
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('transaction_read_only', 'on', true)",
                [str(round(seconds * 1000))],
            )
        yield
        transaction.set_rollback(True, using=connection.alias)  # which restores both, inside another transaction, too


def _of_session(name: str, unit: float) -> Callable[[Any, float], AbstractContextManager[None]]:
    @contextmanager
    def limit(connection: Any, seconds: float) -> Iterator[None]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@SESSION.{name}")
            before = cursor.fetchone()[0]
            cursor.execute(f"SET SESSION {name} = %s", [round(seconds * unit) if unit > 1 else seconds])
            try:
                yield
            finally:
                cursor.execute(f"SET SESSION {name} = %s", [before])

    return limit


_LIMITS: dict[str, Callable[[Any, float], AbstractContextManager[None]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _of_session("max_statement_time", 1),
    "mysql": _of_session("max_execution_time", 1000),
}
