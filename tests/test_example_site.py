"""The example site on real servers: what visitors counted by themselves is what the totals say."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from scripts.comparison import Counts, compare
from scripts.server import manage, serve
from scripts.visitor import visit
from tests import services

REQUESTS = 2000 if os.environ.get("APP_METRICS_TEST_FULL") == "1" else 200
CONCURRENCY = 8
URL_RULES = {"downloads", "searches", "checkouts", "checkout_seconds", "failures"}
SIGNAL_RULES = {"new_user_signup", "orders", "items_sold", "revenue", "logins", "failed_logins"}
BY_TRACK_AND_BY_HAND = {"statements", "exported_rows"}


@contextlib.contextmanager
def sqlite(name: str, folder: Path) -> Iterator[dict[str, str]]:
    yield {"EXAMPLE_DATABASE": "sqlite", "EXAMPLE_DB_NAME": str(folder / "db.sqlite3")}


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


@contextlib.contextmanager
def mariadb(name: str, folder: Path) -> Iterator[dict[str, str]]:
    server = coordinates("mariadb")
    import MySQLdb

    place = {"unix_socket" if server["HOST"].startswith("/") else "host": server["HOST"]}
    with contextlib.closing(MySQLdb.connect(user=server["USER"], **place)) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield example_environment("mariadb", name, server)
        finally:
            connection.cursor().execute(f"DROP DATABASE {name}")


def coordinates(name: str) -> dict[str, str]:
    if services.variable(name) not in os.environ:
        pytest.skip(f"{name}: {services.missing.get(name, 'no server was started')}")
    return json.loads(os.environ[services.variable(name)])


def example_environment(kind: str, name: str, server: dict[str, str]) -> dict[str, str]:
    place = {f"EXAMPLE_DB_{key}": server.get(key, "") for key in ("HOST", "PORT", "USER", "PASSWORD")}
    return {"EXAMPLE_DATABASE": kind, "EXAMPLE_DB_NAME": name, **place}


@pytest.fixture(params=[sqlite, postgresql, mariadb], ids=lambda database: database.__name__)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of an example site with a migrated database of its own."""
    with request.param(f"example_{os.getpid()}", tmp_path) as database:
        environment = {**database, "EXAMPLE_FAST_HASHER": "1"}
        manage(sys.executable, environment, "migrate", "--verbosity=0")
        yield environment


def counted(environment: dict[str, str]) -> Counts:
    manage(sys.executable, environment, "metrics_aggregate")
    printed = json.loads(manage(sys.executable, environment, "show_totals"))
    return {slug: (count, Decimal(total)) for slug, (count, total) in printed.items()}


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_totals_are_what_the_visitors_counted(server: str, site: dict[str, str], tmp_path: Path) -> None:
    """Of what eight visitors do nothing is lost and nothing is counted twice, on two processes."""
    with serve(server, site, tmp_path / "server.log") as (address, _):
        expected = visit(address, REQUESTS, CONCURRENCY)
    assert expected.keys() >= URL_RULES | SIGNAL_RULES | BY_TRACK_AND_BY_HAND
    rows = compare(expected, counted(site))
    assert [row for row in rows if not row.ok] == []


def test_history_is_made_up_once(tmp_path: Path) -> None:
    """The demo data is there after one call, and a second one does not double it."""
    with sqlite("", tmp_path) as site:
        manage(sys.executable, site, "migrate", "--verbosity=0")
        printed = manage(sys.executable, site, "seed_history", "--days=3")
        assert "demo data, made up" in printed
        before = counted(site)
        with pytest.raises(subprocess.CalledProcessError):
            manage(sys.executable, site, "seed_history", "--days=3", stderr=subprocess.DEVNULL)
        assert before["orders"][0] > 0
        assert counted(site) == before
