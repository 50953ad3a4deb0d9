"""The vendors of Django's database connections, and the module that has the dialect of each."""

from functools import cache
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .base import Dialect

VENDORS = {"sqlite", "postgresql", "mysql", "mariadb"}


def dialect_for(connection: Any) -> Dialect:
    """Return the dialect of a connection's database. Raises ImproperlyConfigured for an unsupported vendor."""
    return _dialect(vendor_of(connection))


def vendor_of(connection: Any) -> str:
    """Return the vendor of a connection's database; Django's name for MariaDB is "mysql", too.

    To distinguish these two, it asks the server at the first call for each connection.
    """
    vendor: str = connection.vendor
    return "mariadb" if vendor == "mysql" and connection.mysql_is_mariadb else vendor


@cache
def _dialect(vendor: str) -> Dialect:
    if vendor not in VENDORS:
        raise ImproperlyConfigured(
            f"app_metrics cannot store metrics in {vendor}; set APP_METRICS_DATABASE to an alias of "
            "SQLite, PostgreSQL, MariaDB or MySQL."
        )
    dialect: Dialect = import_module(f".{vendor}", __package__).Dialect()
    return dialect
