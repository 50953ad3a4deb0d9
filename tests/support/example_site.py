"""Databases of the example site, each as the environment variables that choose it, for the duration of a block."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import services


@contextlib.contextmanager
def sqlite(name: str, folder: Path) -> Iterator[dict[str, str]]:
    yield {"EXAMPLE_DATABASE": "sqlite", "EXAMPLE_DB_NAME": str(folder / f"{name}.sqlite3")}


@contextlib.contextmanager
def postgresql(name: str, folder: Path) -> Iterator[dict[str, str]]:
    server = coordinates("postgresql")
    import psycopg

    place = {"host": server["HOST"], "port": server["PORT"] or None, "user": server["USER"]}
    with psycopg.connect(dbname=server["NAME"], autocommit=True, **place) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield example_environment("postgresql", name, server)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def mariadb(name: str, folder: Path) -> contextlib.AbstractContextManager[dict[str, str]]:
    return mysql(name, folder, "mariadb")


@contextlib.contextmanager
def mysql(name: str, folder: Path, kind: str = "mysql") -> Iterator[dict[str, str]]:
    server = coordinates(kind)
    import MySQLdb

    place = {"unix_socket" if server["HOST"].startswith("/") else "host": server["HOST"]}
    with contextlib.closing(MySQLdb.connect(user=server["USER"], **place)) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield example_environment(kind, name, server)
        finally:
            connection.cursor().execute(f"DROP DATABASE {name}")


def coordinates(name: str) -> dict[str, str]:
    """Return where a server is; skip the test if it does not run."""
    if services.variable(name) not in os.environ:
        pytest.skip(f"{name}: {services.missing.get(name, 'no server was started')}")
    found: dict[str, str] = json.loads(os.environ[services.variable(name)])
    return found


def example_environment(kind: str, name: str, server: dict[str, str]) -> dict[str, str]:
    place = {f"EXAMPLE_DB_{key}": server.get(key, "") for key in ("HOST", "PORT", "USER", "PASSWORD")}
    return {"EXAMPLE_DATABASE": kind, "EXAMPLE_DB_NAME": name, **place}
