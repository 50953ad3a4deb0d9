"""Model rules at the end of real transactions, on every database."""

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import Client

from app_metrics.models import Item
from app_metrics.testing.recorded import assert_metric_recorded
from tests.support.rule_urls import registered
from tests.testapp.models import Document

pytestmark = pytest.mark.every_database


@pytest.fixture
def rules(settings):
    settings.APP_METRICS_MODELS = {
        "testapp.Document": {"created": "orders", "deleted": "returns"},
        settings.AUTH_USER_MODEL: {"created": "signups"},
    }
    settings.APP_METRICS_URLS = {
        "order": "answers",
        "half-signup": {"slug": "failures", "status": ["5xx"]},
    }


@pytest.fixture
def atomic_requests(transactional_database, monkeypatch):
    monkeypatch.setitem(connections[transactional_database].settings_dict, "ATOMIC_REQUESTS", True)


def stored(alias):
    return set(Item.objects.using(alias).values_list("slug", "count"))


@pytest.mark.urls("tests.support.rule_urls")
@pytest.mark.usefixtures("rules", "atomic_requests")
def test_a_view_that_raises_counts_its_status_but_not_the_rows_rolled_back(transactional_database):
    response = Client(raise_request_exception=False).get("/half-signup/")
    assert response.status_code == 500
    assert not User.objects.exists()
    assert stored(transactional_database) == {("failures", 1)}


@pytest.mark.urls("tests.support.rule_urls")
@pytest.mark.usefixtures("rules", "atomic_requests")
def test_a_view_that_saves_and_answers_counts_both(transactional_database):
    assert Client().get("/order/").status_code == 200
    assert stored(transactional_database) == {("answers", 1), ("orders", 1)}


@pytest.mark.usefixtures("rules")
def test_a_save_counts_when_its_transaction_commits_and_not_before(transactional_database, recorded):
    with transaction.atomic(using=transactional_database):
        Document.objects.create(title="a")
        assert recorded.slugs == []
    assert_metric_recorded(recorded, "orders", total=1)


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("inner", [True, False], ids=["savepoint", "transaction"])
def test_saves_that_are_rolled_back_do_not_count(inner, transactional_database, recorded):
    with transaction.atomic(using=transactional_database):
        with transaction.atomic(using=transactional_database):
            Document.objects.create(title="lost").delete()
            transaction.set_rollback(inner, using=transactional_database)
        transaction.set_rollback(not inner, using=transactional_database)
    assert recorded.slugs == []


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_saving_and_deleting_work_with_autocommit_off(ending, transactional_database, recorded):
    """Django cannot detect commits there, so a save counts at once."""
    connection = connections[transactional_database]
    connection.set_autocommit(False)
    try:
        Document.objects.create(title="a").delete()
        Document.objects.create(title="b")
        getattr(connection, ending)()
    finally:
        connection.set_autocommit(True)
    assert Document.objects.count() == (ending == "commit")
    assert_metric_recorded(recorded, "orders", total=2)


@pytest.mark.skipif("postgresql" not in django_settings.DATABASES, reason="two databases are needed")
@pytest.mark.django_db(transaction=True, databases=["default", "postgresql"])
@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(("rolled_back", "total"), [("default", 1), ("postgresql", 0)])
def test_a_save_and_a_signal_about_a_row_wait_for_the_database_of_the_row(rolled_back, total, recorded, settings):
    settings.APP_METRICS_SIGNALS = {"tests.support.rule_urls.registered": "registrations"}
    with transaction.atomic(using="default"), transaction.atomic(using="postgresql"):
        registered.send(sender=Document, instance=Document.objects.using("postgresql").create(title="a"))
        transaction.set_rollback(True, using=rolled_back)
    assert (recorded.total("orders"), recorded.total("registrations")) == (total, total)
