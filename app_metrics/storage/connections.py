"""What a connection to the database tells about a write: whether it is committed at once, and why it failed."""

from typing import Any

from django.db import InterfaceError, OperationalError


def commits_at_once(connection: Any) -> bool:
    """Return whether a write on a connection is committed at once. Does not connect to the database."""
    return connection.connection is None or bool(connection.autocommit)


def is_lost(connection: Any, error: Exception) -> bool:
    """Return whether an error means that the database is down, rather than a lock or bad data."""
    return isinstance(error, (OperationalError, InterfaceError)) and connection.connection is None
