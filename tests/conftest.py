"""Which tests run, and the fixtures that run one test on every database.

By default, a test with one of these fixtures runs on SQLite; if it is marked `every_database` because the code differs
there, it also runs on the servers. Tests marked `slow` are left out, and so is tests/soak, except for tests marked
`smoke`. `APP_METRICS_TEST_SCOPE=all` runs everything.
"""

import os
import shutil
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import freezegun
import freezegun.api
import pytest
from django.conf import settings as django_settings
from django.core.signals import request_finished
from django.db import connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from app_metrics.autopilot import pilot
from app_metrics.core import dropped, test_runs
from app_metrics.recording.scope import scope_aside
from app_metrics.storage.journal import journal_of
from app_metrics.transport import aside, databases
from tests.support import clock, emptying, scope, services
from tests.support.paths import ROOT
from tests.support.small_server import environment, manage, sqlite

if "PYTEST_XDIST_WORKER" in os.environ:
    # Measure coverage in the workers, but not in what tests start: it is slow, and a kill leaves broken files.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

# A busy machine must not fail a test.
hypothesis_settings.register_profile(
    "without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=scope.examples(100)
)
hypothesis_settings.load_profile("without a clock")

# Otherwise pytest reads the frozen clock, and its `--durations` are nonsense. The others have very many attributes.
freezegun.configure(extend_ignore_list=["_pytest.timing", "numpy", "pandas"])
# Each freeze asks whether any module has new attributes. Counting them takes a third of the time of listing them.
freezegun.api._get_module_attributes_hash = lambda module: f"{id(module)}-{len(vars(module))}"

TransactionTestCase._fixture_teardown = emptying.empty_tables

SOAK = ROOT / "tests" / "soak"
LEFT_OUT = pytest.StashKey[int]()

DATABASE_FIXTURES = ("database", "transactional_database", "old_database")
ALIASES = {"sqlite": "default", "postgresql": "postgresql", "mariadb": "mariadb"}
if "mysql" in django_settings.DATABASES:
    ALIASES["mysql"] = "mysql"


def every_database(**options: Any) -> Iterator[Any]:
    """Yield each alias, marked so that pytest-django opens only that database and the default one."""
    for name, alias in ALIASES.items():
        access = pytest.mark.django_db(databases={"default", alias}, **options)
        absent = alias not in django_settings.DATABASES
        reason = f"{name}: {services.missing.get(name, 'no server was started')}"
        yield pytest.param(alias, id=name, marks=[access, pytest.mark.skipif(absent, reason=reason)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not (item.get_closest_marker("only_sqlite") and _other_databases(item))]
    left_out = set() if scope.everything else {item for item in items if _is_left_out(item)}
    config.stash[LEFT_OUT] = len(left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_left_out(item: pytest.Item) -> bool:
    if item.get_closest_marker("slow"):
        return True
    if SOAK in item.path.parents:
        return not item.get_closest_marker("smoke")
    return bool(_other_databases(item)) and not item.get_closest_marker("every_database")


def _other_databases(item: pytest.Item) -> set[Any]:
    """Return the aliases of the servers that a test runs on, SQLite left out."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return {parameters.get(fixture) for fixture in DATABASE_FIXTURES} - {None, "default"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if number := config.stash.get(LEFT_OUT, 0):
        terminalreporter.line(f"{number} tests are left to `make test-all` (APP_METRICS_TEST_SCOPE=all).")


@pytest.fixture(params=every_database())
def database(request: pytest.FixtureRequest, settings: Any) -> str:
    """The alias of the database that the whole test site uses; rolled back after the test."""
    return _settle(request.param, settings)


@pytest.fixture(params=every_database(transaction=True))
def transactional_database(request: pytest.FixtureRequest, settings: Any) -> str:
    """The same with real commits, for threads and on_commit; emptied after the test."""
    return _settle(request.param, settings)


def _settle(alias: str, settings: Any) -> str:
    settings.APP_METRICS_DATABASE = alias
    settings.TEST_SITE_DATABASE = alias
    return alias


@pytest.fixture(autouse=True)
def _in_one_hour() -> None:
    """Make sure that the hour and day do not change during a test that reads the real clock."""
    clock.let_the_hour_end()


@pytest.fixture(autouse=True)
def _no_connections_of_other_tests(request: pytest.FixtureRequest) -> None:
    """Close what another test left open before a test without a database, which may not even look at it."""
    uses_database = "db" in request.fixturenames or request.node.get_closest_marker("django_db")
    if not uses_database and not issubclass(request.cls or object, TransactionTestCase):
        connections.close_all()


@pytest.fixture(autouse=True)
def _as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffer and spool as a site does, which the tests of a project do not."""
    monkeypatch.setattr(test_runs, "in_tests", lambda: False)
    monkeypatch.setattr(test_runs, "have_ended", lambda: False)


@pytest.fixture(scope="session", autouse=True)
def _no_autopilot() -> None:
    """Let no response of a test start the thread of the autopilot."""
    request_finished.disconnect(pilot._pilot.wake)


@pytest.fixture(autouse=True)
def _no_journal_of_other_tests() -> Iterator[None]:
    """Delete the journal beside the test database, as the tables are emptied."""
    yield
    if journal := journal_of(connections["default"]):
        shutil.rmtree(journal.directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def _nothing_put_aside_by_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test without what the writes of another one recorded."""
    monkeypatch.setattr(aside, "_aside", databases.ByDatabase(aside._aside._create))


@pytest.fixture(autouse=True)
def _no_drops_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reset dropped entries and logged causes before each test; discard new ones, and those put aside, afterwards."""
    monkeypatch.setattr(dropped, "_causes", {})
    monkeypatch.setattr(dropped, "_since", 0.0)
    dropped.take_entries()
    yield
    dropped.take_entries()
    scope_aside().entries.clear()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the small site's tables, for tests to copy."""
    path = tmp_path_factory.mktemp("small") / "site.sqlite3"
    manage(environment(sqlite(path)), "migrate", "--verbosity=0")
    return path


@pytest.fixture
def no_time_zones(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has no data about time zones, as many small containers, in the time zone Asia/Kathmandu."""
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=())
    # Not the zones that other tests hold: times of two objects of one zone are never equal in an hour that comes twice.
    zoneinfo.ZoneInfo.clear_cache(only_keys=["Asia/Kathmandu", "UTC"])
    settings.TIME_ZONE = settings.APP_METRICS_TIME_ZONE = "Asia/Kathmandu"  # forgets the zone that was read before
    yield
    zoneinfo.reset_tzpath()


@pytest.fixture
def empty_database(django_db_blocker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The connection to a database of SQLite without any table."""
    connection = connections["default"]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "empty.sqlite3")
    with django_db_blocker.unblock():
        yield connection
        connection.close()
