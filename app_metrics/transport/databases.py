"""Which database a batch was recorded for, and what a test runner does to it.

A test runner gives the database alias another database for a while, and with a schema per tenant (django-tenants) each
tenant may have tables of its own. A batch that is kept for a retry must not be written to another database.
"""

import sys
from collections.abc import Callable
from traceback import walk_tb
from typing import Generic, NamedTuple, TypeVar

from django.db import connections

from ..conf import cached, settings

Store = TypeVar("Store")

# The packages whose functions forbid a test to use a database that it does not ask for.
TEST_RUNNERS = ("django.test.", "pytest_django.")


class Database(NamedTuple):
    """The name of a database, and the tenant's schema if the tables are in it."""

    name: str
    schema: str | None = None


@cached
def is_per_tenant() -> bool:
    """Return whether the tables are in the schema of each tenant, as the settings of django-tenants say."""
    shared = getattr(settings, "PUBLIC_SCHEMA_NAME", "public")
    kinds = getattr(settings, "TENANT_TYPES", {})
    apps = [
        *getattr(settings, "TENANT_APPS", ()),
        *(app for kind in {*kinds} - {shared} for app in kinds[kind]["APPS"]),
    ]
    return any(app.split(".")[0] == "app_metrics" for app in apps)


def current_database() -> Database:
    """Return the database that a write on this thread would reach now. Does not connect to it."""
    try:
        connection = connections[settings.APP_METRICS_DATABASE]
        name = str(connection.settings_dict["NAME"])
        return Database(name, getattr(connection, "schema_name", None) if is_per_tenant() else None)
    except Exception:  # an alias or a driver that does not exist: `check` reports it, and a write raises it
        return Database("")


class ByDatabase(Generic[Store]):
    """One store of batches for each database that batches were recorded for."""

    def __init__(self, create: Callable[[], Store]) -> None:
        self._create = create
        self._stores: dict[Database, Store] = {}

    def __bool__(self) -> bool:
        """Return whether there may be anything in the stores; unlike `here()` this is cheap enough for every write."""
        return bool(self._stores)

    def here(self) -> Store:
        """Return the store of the current database."""
        database = current_database()
        found = self._stores.get(database)
        return self._stores.setdefault(database, self._create()) if found is None else found

    def clear(self) -> None:
        self._stores.clear()

    def in_all_schemas(self) -> list[Store]:
        """Return the stores of the current database, whatever their schema."""
        name = current_database().name
        return [store for database, store in list(self._stores.items()) if database.name == name]


def has_only_one() -> bool:
    """Return whether all batches of this process go to one database: not in tests, nor with a schema per tenant."""
    return not in_tests() and not is_per_tenant()


def in_tests() -> bool:
    """Return whether a test runner has called Django's `setup_test_environment()`, as pytest-django does, too."""
    return hasattr(getattr(sys.modules.get("django.test.utils"), "_TestState", None), "saved_data")


def is_forbidden(error: BaseException) -> bool:
    """Return whether an error says that the current test may not use the database: a test runner raised it."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].startswith(TEST_RUNNERS)
