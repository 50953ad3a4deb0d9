"""Fixtures that run one test on every database."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from app_metrics.core import dropped
from tests.support import clock, services

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers are measured, but not what tests start: measuring is slow, and what is killed leaves broken files.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

# A machine that is busy fails no test.
hypothesis_settings.register_profile("without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("without a clock")

ALIASES = {"sqlite": "default", "postgresql": "postgresql", "mariadb": "mariadb"}


def every_database(**options: Any) -> Iterator[Any]:
    """Yield each alias, marked so that pytest-django opens it and no other server's."""
    for name, alias in ALIASES.items():
        access = pytest.mark.django_db(databases={"default", alias}, **options)
        absent = alias not in django_settings.DATABASES
        reason = f"{name}: {services.missing.get(name, 'no server was started')}"
        yield pytest.param(alias, id=name, marks=[access, pytest.mark.skipif(absent, reason=reason)])


@pytest.fixture(params=every_database())
def database(request: pytest.FixtureRequest, settings: Any) -> str:
    """The alias of the database on which the whole test site runs; rolled back after the test."""
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
    """A test that reads the real clock sees one hour and one day."""
    clock.let_the_hour_end()


@pytest.fixture(autouse=True)
def _no_drops_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test starts with nothing dropped and no cause logged, and leaves nothing behind."""
    monkeypatch.setattr(dropped, "_causes", set())
    dropped.take_entries()
    yield
    dropped.take_entries()
