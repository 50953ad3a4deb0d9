"""Keep others from changing the old tables: another run, and a site that was not stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from .old_tables import KEPT, OLD, CannotAdopt, tables_of

LOCK = "app_metrics_adoption"
# PostgreSQL's locks have numbers: the first eight bytes of the name.
LOCK_NUMBER = int.from_bytes(LOCK.encode()[:8])


@contextmanager
def alone(connection: Any) -> Iterator[None]:
    """Keep out other runs; on SQLite the transaction does. Raises CannotAdopt if another one is at work."""
    if connection.vendor == "mysql":
        with _named_lock(connection):
            yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(using=connection.alias):
            _get(connection, "SELECT pg_try_advisory_xact_lock(%s)", LOCK_NUMBER)
            yield
    else:
        yield


@contextmanager
def tables_locked(connection: Any) -> Iterator[None]:
    """Begin a transaction that waits for those that write into the old tables, and that lets none follow."""
    if connection.vendor == "sqlite":
        with _immediate(connection), transaction.atomic(using=connection.alias):
            yield
        return
    # Their names first: with the isolation level "repeatable read", the transaction would not see what it waited for.
    found = tables_of(connection)
    # Who writes an event locks its metric afterwards, so the other order could end in a deadlock.
    tables = [table for table in (*OLD, *KEPT) if table in found]
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def _named_lock(connection: Any) -> Iterator[None]:
    # All databases of the server share the names, which have at most 64 characters.
    name = f"{LOCK}.{connection.settings_dict['NAME']}"[:64]
    _get(connection, "SELECT GET_LOCK(%s, 0)", name)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT RELEASE_LOCK(%s)", [name])


@contextmanager
def _immediate(connection: Any) -> Iterator[None]:
    """Let SQLite lock the file when the transaction begins, not at its first write."""
    usual, connection.transaction_mode = connection.transaction_mode, "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = usual


def _get(connection: Any, sql: str, key: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, [key])
        (got,) = cursor.fetchone()
    if not got:
        raise CannotAdopt("Another metrics_adopt is at work on this database. Wait for it to end.")
