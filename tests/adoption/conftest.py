"""A database of its own per vendor, with the tables of Django's apps and none of ours; each test begins with it."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from tests.conftest import every_database
from tests.support.old_site import FORK, SOUTH, OldSite, drop_everything

OTHER_APPS = ("contenttypes", "auth", "admin", "sessions", "testapp")
_prepared: set[str] = set()


@pytest.fixture(scope="session")
def old_directory(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("old_site")


@pytest.fixture(params=every_database(transaction=True))
def old_database(
    request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch, old_directory: Any
) -> Any:
    """The connection to a database without our tables."""
    alias = request.param
    settings.APP_METRICS_DATABASE = settings.TEST_SITE_DATABASE = alias
    connection = connections[alias]
    usual = connection.settings_dict["NAME"]
    own = str(old_directory / "old.sqlite3") if connection.vendor == "sqlite" else f"{usual}_old"
    if alias not in _prepared and connection.vendor != "sqlite":
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {own}")
            cursor.execute(f"CREATE DATABASE {own}")
    connection.close()
    connection.settings_dict["NAME"] = own
    try:
        if alias not in _prepared:
            for app in OTHER_APPS:
                call_command("migrate", app, database=alias, verbosity=0)
            _prepared.add(alias)
        drop_everything(connection)
        yield connection
        drop_everything(connection)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual


@pytest.fixture(params=(SOUTH, FORK))
def old_site(request: pytest.FixtureRequest, old_database: Any) -> OldSite:
    """A small old database in each shape."""
    return OldSite(old_database.alias, request.param, small=True).build()


@pytest.fixture
def site(old_database: Any) -> OldSite:
    """A small old database in the shape of a fork."""
    return OldSite(old_database.alias, FORK, small=True).build()
