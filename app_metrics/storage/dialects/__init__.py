"""Run the statements that Django's ORM cannot express, one module per database vendor."""

from functools import cache
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError

from .base import Dialect

MODULES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mariadb"}


def dialect_for(connection: Any) -> Dialect:
    """Return the dialect of a connection's database. Raises ImproperlyConfigured for an unsupported vendor."""
    return _dialect(connection.vendor)


def commits_at_once(connection: Any) -> bool:
    """Return whether a write on a connection is committed at once. Does not connect to the database."""
    return connection.connection is None or bool(connection.autocommit)


def is_lost(connection: Any, error: Exception) -> bool:
    """Return whether an error means that the database is down, rather than a lock or bad data."""
    return isinstance(error, (OperationalError, InterfaceError)) and connection.connection is None


@cache
def _dialect(vendor: str) -> Dialect:
    if vendor not in MODULES:
        raise ImproperlyConfigured(
            f"app_metrics cannot store metrics in {vendor}; set APP_METRICS_DATABASE to an alias of "
            "SQLite, PostgreSQL or MariaDB."
        )
    dialect: Dialect = import_module(f".{MODULES[vendor]}", __package__).Dialect()
    return dialect
