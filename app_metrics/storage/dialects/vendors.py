"""The vendors of Django's database connections, and the module that has the dialect of each."""

from functools import cache
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .base import Dialect

MODULES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mariadb"}


def dialect_for(connection: Any) -> Dialect:
    """Return the dialect of a connection's database. Raises ImproperlyConfigured for an unsupported vendor."""
    return _dialect(connection.vendor)


@cache
def _dialect(vendor: str) -> Dialect:
    if vendor not in MODULES:
        raise ImproperlyConfigured(
            f"app_metrics cannot store metrics in {vendor}; set APP_METRICS_DATABASE to an alias of "
            "SQLite, PostgreSQL or MariaDB."
        )
    dialect: Dialect = import_module(f".{MODULES[vendor]}", __package__).Dialect()
    return dialect
