"""Which database a batch was recorded for, and what a test runner does to it.

A test runner gives the database alias another database for a while, and with a schema per tenant (django-tenants) each
tenant may have tables of its own. A batch that is written later, or by another thread, must not be written to another
database or schema.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from traceback import walk_tb
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, ProgrammingError, connections, transaction

from ..conf import cached, settings
from ..core import test_runs
from ..core.plain_text import brief

Store = TypeVar("Store")

# The packages whose functions forbid a test to use a database that it does not ask for.
TEST_RUNNERS = ("django.test.", "pytest_django.")


# That there is no such table or column: the codes of PostgreSQL, and of MariaDB and MySQL, which may say it in another
# language than English, and what SQLite says.
MISSING_CODES = ("42P01", "42703", 1146, 1054)
MISSING_TEXTS = ("no such table", "no such column", "has no column named")


class Database(NamedTuple):
    """The name of a database, and the tenant's schema if the tables are in it."""

    name: str
    schema: str | None = None


# The schema that what runs now writes to, whatever the schema of the connection.
_schema: ContextVar[str | None] = ContextVar("app_metrics_schema", default=None)


@cached
def is_per_tenant() -> bool:
    """Return whether the tables are in the schema of each tenant, as the settings of django-tenants say."""
    kinds = getattr(settings, "TENANT_TYPES", {})
    others = (kinds[kind]["APPS"] for kind in {*kinds} - {_public_schema()})
    return any(map(_has_ours, (getattr(settings, "TENANT_APPS", ()), *others)))


@cached
def is_only_per_tenant() -> bool:
    """Return whether the public schema has none of the tables that each tenant's schema has."""
    public = getattr(settings, "TENANT_TYPES", {}).get(_public_schema(), {})
    return is_per_tenant() and not any(map(_has_ours, (getattr(settings, "SHARED_APPS", ()), public.get("APPS", ()))))


def _has_ours(apps: Any) -> bool:
    return any(app.split(".")[0] == "app_metrics" for app in apps)


def _public_schema() -> str:
    name: str = getattr(settings, "PUBLIC_SCHEMA_NAME", "public")
    return name


def current_database() -> Database:
    """Return the database that a write on this thread would reach now. Does not connect to it."""
    try:
        connection = connections[settings.APP_METRICS_DATABASE]
        name = str(connection.settings_dict["NAME"])
        schema = _schema.get() or getattr(connection, "schema_name", None) if is_per_tenant() else None
        return Database(name, schema)
    except Exception:  # an alias or a driver that does not exist: `check` reports it, and a write raises it
        return Database("")


def lacks_tables() -> bool:
    """Return whether a write on this thread would reach the public schema, and that has no tables."""
    return is_only_per_tenant() and current_database().schema == _public_schema()


@contextmanager
def in_schema(schema: str | None) -> Iterator[None]:
    """Write what the block hands over to a schema, now or later; None leaves it to the connection."""
    token = _schema.set(schema)
    try:
        yield
    finally:
        _schema.reset(token)


def in_own_schema(write: Callable[[Any], None], batch: Any) -> None:
    """Write a batch while the connection uses the schema that the batch belongs to."""
    schema = _schema.get()
    connection: Any = None if schema is None else connections[settings.APP_METRICS_DATABASE]
    if connection is None or connection.schema_name == schema:
        write(batch)
        return
    before = connection.tenant, connection.include_public_schema
    connection.set_schema(schema, include_public=False)
    try:
        write(batch)
    finally:
        connection.set_tenant(*before)
        _send_schema(connection)


def _send_schema(connection: Any) -> None:
    """Send the schema of a connection to the database; django-tenants does so only when a cursor is opened.

    Otherwise a cursor that the caller has open would continue in the schema of the write.
    """
    if connection.connection is not None:
        with suppress(Exception):  # a broken transaction or connection, or a test that may not use the database
            connection.cursor().close()


def concerns_one_tenant(error: BaseException) -> bool:
    """Return whether an error says that a tenant's schema lacks tables or columns, while the database answers."""
    return is_per_tenant() and isinstance(error, ProgrammingError)


def is_about_missing_table(error: BaseException) -> bool:
    """Return whether an error of the database says that one of our tables, or a column of one, does not exist."""
    if not isinstance(error, DatabaseError) or "app_metrics_" not in str(error):
        return False
    code = getattr(error.__cause__, "sqlstate", None) or next(iter(error.args), None)
    return code in MISSING_CODES or any(text in str(error) for text in MISSING_TEXTS)


def savepoint(alias: str) -> AbstractContextManager[Any]:
    """Return a block whose error leaves the caller's transaction usable, if there is one; it begins none itself."""
    return nullcontext() if connections[alias].get_autocommit() else transaction.atomic(using=alias)


def described(error: BaseException) -> str:
    """Return an error in one line, with what to do if migrations are not applied."""
    return f"{brief(error)}. {run_migrate()}" if is_about_missing_table(error) else brief(error)


def run_migrate() -> str:
    """Return what to do if migrations are not applied."""
    alias = settings.APP_METRICS_DATABASE
    option = "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"
    return f"The database lacks tables of app_metrics; run manage.py migrate{option}."


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

    def in_all_schemas(self) -> list[tuple[str | None, Store]]:
        """Return the stores of the current database, each with its schema."""
        name = current_database().name
        return [(database.schema, store) for database, store in list(self._stores.items()) if database.name == name]


def can_be_spooled() -> bool:
    """Return whether all batches of this process go to one database: not in tests, nor with a schema per tenant."""
    return not test_runs.in_tests() and not is_per_tenant()


def is_forbidden(error: BaseException) -> bool:
    """Return whether an error says that the current test may not use the database: a test runner raised it."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].startswith(TEST_RUNNERS)
