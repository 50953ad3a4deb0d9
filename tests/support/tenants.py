"""Imitate connections of django-tenants, and note the schema of each write."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from django.db import ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from app_metrics.core.batch import Batch
from app_metrics.transport.base import MetricsBackend


class Tenant(NamedTuple):
    schema_name: str


PUBLIC = Tenant("public")


def imitate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every connection the attributes and methods of django-tenants; each begins in the public schema.

    `search_path` is the schema that the database uses: django-tenants tells it each time a cursor is opened.
    """

    def set_tenant(connection: Any, tenant: Tenant, include_public: bool = True) -> None:
        connection.tenant, connection.schema_name = tenant, tenant.schema_name
        connection.include_public_schema = include_public

    def set_schema(connection: Any, name: str, include_public: bool = True) -> None:
        set_tenant(connection, Tenant(name), include_public)

    def open_cursor(connection: Any, *args: Any) -> Any:
        connection.search_path = connection.schema_name
        return django_cursor(connection, *args)

    django_cursor = BaseDatabaseWrapper._cursor  # type: ignore[attr-defined]
    added = {"tenant": PUBLIC, "schema_name": "public", "include_public_schema": True, "search_path": None}
    methods = {"set_tenant": set_tenant, "set_schema": set_schema, "_cursor": open_cursor}
    for name, value in {**added, **methods}.items():
        monkeypatch.setattr(BaseDatabaseWrapper, name, value, raising=False)
    for name in added:
        monkeypatch.delitem(vars(connections["default"]), name, raising=False)


@contextmanager
def schema_context(name: str) -> Iterator[None]:
    """Do what the block does in a tenant's schema."""
    connection: Any = connections["default"]
    before = connection.tenant
    connection.set_schema(name)
    try:
        yield
    finally:
        connection.set_tenant(before)


class Schemas(MetricsBackend):
    """A backend that counts events by schema and slug, and fails while it is `down`, and in some schemas."""

    def __init__(self) -> None:
        self.written: Counter[tuple[str, str]] = Counter()
        self.tries = 0
        self.down = False
        self.without_tables: set[str] = set()
        self._lock = threading.Lock()

    def write(self, batch: Batch) -> None:
        self.tries += 1
        connection: Any = connections["default"]
        if self.down:
            raise OSError("no")
        if connection.schema_name in self.without_tables:
            raise ProgrammingError("no such table")
        with self._lock:
            for key, summary in batch.summaries.items():
                self.written[connection.schema_name, key.slug] += summary.count


class SchemasWithTables(Schemas):
    """The same for a backend that needs our tables."""

    feeds_totals = True
