"""The key `unique` of rules, counted through the real request handler."""

import logging
from decimal import Decimal
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from app_metrics.checks import check_rules
from app_metrics.contrib.model_rules import compile_models
from app_metrics.core.hashing import hash_of
from app_metrics.core.summary import UNIQUE
from app_metrics.core.uniques import Uniques
from app_metrics.testing.recorded import assert_metric_recorded
from tests.testapp.models import Document, Order

pytestmark = [pytest.mark.urls("tests.support.rule_urls"), pytest.mark.django_db]

SIGNED_IN = {"slug": "active_users", "unique": "request.user.pk"}


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Run the callbacks that are pending until the test's transaction commits."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def user(name):
    return User.objects.create_user(name)


def visit(person=None, address="/page/"):
    client = Client()
    if person is not None:
        client.force_login(person)
    client.get(address)


def counted(recorded, slug="active_users", labels=None):
    """Return the sketch of a unique count; None if nothing was counted."""
    kinds = {key.kind for batch in recorded.batches for key in batch.summaries if key.slug == slug}
    assert kinds <= {UNIQUE}
    found = recorded.summary(slug, labels)
    return found and found.uniques


def of(*values):
    return Uniques([hash_of(value) for value in values])


def test_users_count_once_and_visitors_without_a_login_do_not(settings, recorded):
    settings.APP_METRICS_URLS = {"page": SIGNED_IN}
    assert check_rules() == []
    ann, bob = user("ann"), user("bob")
    for person in (ann, None, bob, ann):
        visit(person)
    assert counted(recorded) == of(ann.pk, bob.pk)
    assert recorded.count("active_users") == 3
    assert recorded.slugs == ["active_users"]


def test_users_of_asynchronous_requests_count(settings, recorded):
    settings.APP_METRICS_URLS = {"async": SIGNED_IN}
    ann = user("ann")
    client = AsyncClient()
    client.force_login(ann)
    async_to_sync(client.get)("/async/")
    assert counted(recorded) == of(ann.pk)


def test_a_pattern_counts_users_without_a_label_of_the_url(settings, recorded):
    settings.APP_METRICS_URLS = {"*": [SIGNED_IN, "requests"]}
    ann = user("ann")
    visit(ann)
    visit(ann, "/only-get/")
    assert counted(recorded, labels={}) == of(ann.pk)
    assert recorded.count("requests", {"url": "only-get"}) == 1


def test_a_pattern_counts_users_of_each_url_if_its_rule_names_the_label(settings, recorded):
    settings.APP_METRICS_URLS = {"*": {**SIGNED_IN, "labels": {"url": "request.resolver_match.view_name"}}}
    ann = user("ann")
    visit(ann)
    assert counted(recorded, labels={"url": "page"}) == of(ann.pk)


@pytest.mark.parametrize("value", [7, "7", Decimal(7), UUID(int=7), "ann@example.com"])
def test_a_callable_returns_an_id(value, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "active_users", "unique": lambda request, response: value}}
    assert check_rules() == []
    visit()
    assert counted(recorded) == of(value)


@pytest.mark.parametrize("nobody", [None, ""])
def test_without_an_id_nothing_is_counted(nobody, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "active_users", "unique": lambda request, response: nobody}}
    visit()
    assert recorded.slugs == []


def test_the_other_metrics_of_a_rule_count_without_an_id(settings, recorded):
    settings.APP_METRICS_URLS = {"page": {**SIGNED_IN, "timing": "seconds"}}
    visit()
    assert recorded.slugs == ["seconds"]


def test_conditions_and_labels_apply_to_a_unique_count(settings, recorded):
    rule = {**SIGNED_IN, "labels": {"staff": "request.user.is_staff"}, "when": {"request.user.username__gte": "b"}}
    settings.APP_METRICS_URLS = {"page": rule}
    ann, bob = user("ann"), user("bob")
    visit(ann)
    visit(bob)
    assert counted(recorded, labels={"staff": "False"}) == of(bob.pk)
    assert recorded.count("active_users") == 1


@pytest.mark.parametrize("path", ["owner_id", "owner.pk", "owner.username"])
def test_a_field_of_a_row_counts_at_the_commit(path, settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": {"slug": "authors", "unique": path}}}
    assert check_rules() == []
    ann = user("ann")
    with committed():
        for owner in (ann, ann, None):
            Document.objects.create(owner=owner)
        assert recorded.slugs == []
    assert counted(recorded, "authors") == of("ann" if path == "owner.username" else ann.pk)
    assert recorded.slugs == ["authors"]


def test_filling_in_the_past_reads_rows_together_with_those_that_have_their_ids():
    rule = {"slug": "authors", "unique": "owner.username"}
    [(_, _, [compiled])], _ = compile_models({"testapp.Document": {"created": rule}})
    assert compiled.relations == {"owner"}


def test_each_row_of_a_bulk_counts(settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": {"slug": "plans", "unique": "plan"}}}
    with committed():
        Client().get("/titles/?title=free&title=pro&title=free")
    assert counted(recorded, "plans") == of("free", "pro")


def test_a_signal_counts_its_users(settings, recorded):
    settings.APP_METRICS_SIGNALS = {
        "django.contrib.auth.signals.user_logged_in": {"slug": "active_users", "unique": "user.pk"}
    }
    assert check_rules() == []
    ann = User.objects.create_user("ann", password="x")
    for _ in range(2):
        Client().post("/login/", {"username": "ann", "password": "x"})
    assert counted(recorded) == of(ann.pk)


SECRET = "ann-who-must-not-be-logged"


@pytest.mark.parametrize(
    "read",
    [
        lambda request, response: [SECRET],
        lambda request, response: {}[SECRET],
        lambda request, response: int(SECRET),
        lambda request, response: User(username=SECRET),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_an_error_does_not_log_the_id(read, strict, settings, recorded, caplog):
    caplog.set_level(logging.DEBUG)
    settings.APP_METRICS_STRICT = strict
    settings.APP_METRICS_URLS = {"page": {"slug": "active_users", "unique": read}}
    visit()
    assert_metric_recorded(recorded, "app_metrics_dropped", total=1, labels={"reason": "failed_rule"})
    assert "APP_METRICS_URLS['page']" in caplog.text
    assert SECRET not in caplog.text


def test_a_rule_with_backfill_counts_at_the_date_of_the_row(settings, recorded, committed):
    rule = {"slug": "customers", "unique": "plan", "backfill": "placed_at"}
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": rule}}
    assert check_rules() == []
    with committed():
        Order.objects.create(placed_at="2026-01-02T12:00:00+00:00", plan="pro")
    assert {str(key.day) for batch in recorded.batches for key in batch.summaries} == {"2026-01-02"}
    assert counted(recorded, "customers") == of("pro")
