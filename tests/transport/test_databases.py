"""A batch that cannot be written at once is never written to another database than the one it was recorded for."""

import pytest
from django.db import connections

from app_metrics.core.test_runs import in_tests
from app_metrics.transport import databases
from app_metrics.transport.databases import can_be_spooled, current_database, is_forbidden
from app_metrics.transport.retrying import RetryingBackend
from tests.support.contract import batch_of
from tests.transport.test_retrying import Picky

REAL_IN_TESTS = in_tests


@pytest.fixture
def rename(monkeypatch):
    """Give the alias another database, as test runners do, or another tenant's schema, as django-tenants does."""

    def to(name=None, schema=None):
        connection = connections["default"]
        if name:
            monkeypatch.setitem(connection.settings_dict, "NAME", name)
        monkeypatch.setattr(connection, "schema_name", schema, raising=False)

    return to


@pytest.mark.parametrize("is_open", [False, True], ids=["failed", "never offered"])
def test_kept_batches_are_written_only_to_their_database(rename, is_open):
    backend = Picky()
    retrying = RetryingBackend(backend)
    rename("first")
    (retrying.keep_unseen if is_open else retrying.keep)(batch_of("first"))
    rename("second")
    retrying.write(batch_of("second"))
    retrying.retry()
    assert backend.taken == ["second"]
    rename("first")
    retrying.write(batch_of("next"))
    assert backend.taken == ["second", "next", "first"]
    assert retrying.kept == 0


def test_the_number_of_kept_batches_covers_all_tenants(rename, settings):
    settings.TENANT_APPS = ["app_metrics.apps.AppMetricsConfig"]
    retrying = RetryingBackend(Picky())
    for schema in ("first", "second"):
        rename(schema=schema)
        retrying.keep(batch_of("orders"))
    assert retrying.kept == 2


@pytest.mark.parametrize(
    ("chosen", "is_per_tenant"),
    [
        ({"SHARED_APPS": ["app_metrics"], "TENANT_APPS": ["shop"]}, False),
        ({"SHARED_APPS": ["app_metrics"], "TENANT_APPS": ["app_metrics"]}, True),
        ({"TENANT_TYPES": {"public": {"APPS": ["app_metrics"]}, "shop": {"APPS": ["shop"]}}}, False),
        ({"TENANT_TYPES": {"public": {"APPS": []}, "shop": {"APPS": ["app_metrics"]}}}, True),
    ],
)
def test_a_tenants_schema_is_used_if_it_has_the_tables(rename, settings, chosen, is_per_tenant):
    for name, value in chosen.items():
        setattr(settings, name, value)
    rename(schema="first")
    assert current_database().schema == ("first" if is_per_tenant else None)
    assert can_be_spooled() is not is_per_tenant


def test_an_unknown_alias_raises_no_error(settings):
    settings.APP_METRICS_DATABASE = "nowhere"
    assert current_database() == databases.Database("")


def test_a_running_test_suite_is_recognised():
    assert REAL_IN_TESTS()


def test_a_database_access_that_a_test_forbids_is_not_a_failure():
    retrying = RetryingBackend(backend := Picky())
    backend.write = lambda batch: connections["default"].ensure_connection()
    for _ in range(5):
        retrying.write(batch_of("orders"))
    assert (retrying.kept, retrying._breaker.is_open) == (0, False)


def test_an_ordinary_error_is_not_taken_for_a_forbidden_access():
    with pytest.raises(AssertionError) as caught:
        raise AssertionError("Database access not allowed")
    assert not is_forbidden(caught.value)
    assert not is_forbidden(AssertionError())
