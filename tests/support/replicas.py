"""A read replica of the default database: a copy that never changes, or one without any lag."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.models import Model

ALIAS = "replica"


class PrimaryReplicaRouter:
    """The router of Django's documentation, with one replica."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return ALIAS

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return "default"

    def allow_relation(self, left: Model, right: Model, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return True


def frozen(folder: Path) -> Path:
    """Return a copy of the default database as it is now."""
    path = folder / "replica.sqlite3"
    name = connections["default"].settings_dict["NAME"]
    with closing(sqlite3.connect(name)) as original, closing(sqlite3.connect(path)) as copy:
        original.backup(copy)
    return path


@contextmanager
def replicated(settings: Any, path: Path | None = None) -> Iterator[Any]:
    """Read through the router from a copy of the default database, or from itself; return the connection."""
    connection = connections["default"].copy(ALIAS)
    connection.settings_dict["NAME"] = str(path or connection.settings_dict["NAME"])
    connection.connect()  # before it has an alias: Django's test cases refuse to open other databases than their own
    connections[ALIAS], connections.settings[ALIAS] = connection, connection.settings_dict
    settings.DATABASE_ROUTERS = ["tests.support.replicas.PrimaryReplicaRouter"]
    try:
        yield connection
    finally:
        connection.close()
        del connections[ALIAS], connections.settings[ALIAS]
