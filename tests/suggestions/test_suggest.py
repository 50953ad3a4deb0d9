"""Proposals for the test site."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import DatabaseError, connections
from django.dispatch import Signal
from django.test.utils import isolate_apps
from django.urls import path

from app_metrics.models import Metric
from app_metrics.suggestions import event_signals, samples
from app_metrics.suggestions.good_news import with_good_news
from app_metrics.suggestions.proposals import AUTH, MODELS, SIGNALS, URLS, Proposal, of_setting, with_own_slugs
from app_metrics.suggestions.samples import Sampler
from app_metrics.suggestions.suggest import suggest
from app_metrics.suggestions.tables import is_worth_a_look, tables
from app_metrics.suggestions.time_limits import time_limit
from tests.support import rule_urls
from tests.testapp.models import Order, Subscription, Tag

pytestmark = pytest.mark.django_db


def proposal(slug, app):
    return Proposal(MODELS, f"{app}.Model", slug, "", app, "created")


def test_slugs_that_several_want_begin_with_their_apps():
    found = with_own_slugs([proposal("lines", "order"), proposal("lines", "basket"), proposal("orders", "order")], [])
    assert [each.slug for each in found] == ["order_lines", "basket_lines", "orders"]


def test_a_slug_that_is_taken_is_not_proposed_again():
    assert [each.slug for each in with_own_slugs([proposal("orders", "shop")], ["orders"])] == ["shop_orders"]
    taken = ["orders", "shop_orders"]
    assert [each.slug for each in with_own_slugs([proposal("orders", "shop")], taken)] == ["shop_orders-2"]


@pytest.mark.parametrize("slug", ["failed_payments", "import_errors", "refunds", "order_cancelled", "bounces"])
def test_less_is_better_where_the_slug_says_so(slug):
    proposed = with_good_news(proposal(slug, "shop"))
    assert proposed.rule == {"slug": slug, "better": "down"}
    assert "fewer are better" in proposed.reason


@pytest.mark.parametrize(("slug", "more"), [("orders", None), ("server_errors", {"status": ["5xx"]})])
def test_any_other_rule_stays_as_it_is(slug, more):
    asked = replace(proposal(slug, "shop"), more=more)
    assert with_good_news(asked) == asked


def test_additions_and_amounts_of_a_model_are_proposed_with_its_date():
    rules = {each.slug: each.rule for each in suggest().proposals if each.key == "testapp.Order"}
    labels = {"plan": "plan", "is_test": "is_test"}
    assert rules == {
        "orders": {"slug": "orders", "backfill": "placed_at", "labels": labels},
        "order_amount": {"slug": "order_amount", "num": "amount", "backfill": "placed_at", "labels": labels},
    }


def test_the_same_site_gets_the_same_proposals():
    assert suggest().proposals == suggest().proposals


def test_models_of_django_and_of_this_app_are_left_out():
    assert {table.model._meta.app_label for table in tables(Sampler())} == {"testapp"}


@isolate_apps("tests.testapp")
def test_a_child_of_the_user_model_is_left_out():
    """Its rows are users, too."""
    users = type("Author", (User,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "testapp"})})
    assert not is_worth_a_look(users)
    assert is_worth_a_look(Subscription)


def test_no_slug_is_proposed_twice():
    slugs = [each.slug for each in suggest().proposals]
    assert sorted(slugs) == sorted(set(slugs))


def test_signups_and_logins_are_proposed_unless_they_are_counted(settings):
    assert [each.value for each in of_setting(suggest().proposals, AUTH)] == [True]
    settings.APP_METRICS_AUTH = {"events": ["logins"]}
    assert of_setting(suggest().proposals, AUTH) == []


def test_an_event_of_users_that_another_rule_counts_is_left_out(settings):
    settings.APP_METRICS_MODELS = {"auth.User": {"created": "new_user_signup"}}
    settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": "logins"}
    assert [each.value for each in of_setting(suggest().proposals, AUTH)] == [{"events": ["failed_logins", "logouts"]}]


def test_signups_of_users_with_another_date_are_a_rule_of_their_model(settings):
    """The custom user model of the test site has no date at all: its signups have no past."""
    settings.AUTH_USER_MODEL = "testapp.Member"
    assert [each.value for each in of_setting(suggest().proposals, AUTH)] == [True]


def test_a_model_that_the_settings_count_is_left_out(settings):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": "purchases"}}
    assert "testapp.Order" not in {each.key for each in suggest().proposals}


def test_rules_of_the_module_that_is_replaced_are_proposed_again(settings):
    replaced = {"APP_METRICS_MODELS": {"testapp.Order": {"created": "orders"}}}
    settings.APP_METRICS_MODELS = {**replaced["APP_METRICS_MODELS"], "testapp.Tag": {"created": "tags"}}
    Metric.objects.create(slug="orders", name="orders")
    slugs = {each.slug for each in suggest(replaced).proposals}
    assert "orders" in slugs
    assert "tags" not in slugs


def test_a_slug_of_a_metric_that_exists_is_not_fed_by_a_proposal():
    Metric.objects.create(slug="orders", name="orders")
    assert next(each.slug for each in suggest().proposals if each.key == "testapp.Order") == "testapp_orders"


def test_requests_failures_and_pages_where_something_happens_are_proposed(settings):
    settings.ROOT_URLCONF = "tests.support.shop_urls"
    found = {each.slug: each.key for each in of_setting(suggest().proposals, URLS)}
    assert found["requests"] == found["server_errors"] == "*"
    assert found["not_found"] == "-"


def test_active_users_are_proposed_once_each_where_requests_have_users(settings):
    settings.ROOT_URLCONF = "tests.support.shop_urls"
    [rule] = [each.rule for each in suggest().proposals if each.slug == "active_users"]
    assert rule["unique"] == "request.user.pk"
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "auth" not in each]
    assert "active_users" not in {each.slug for each in suggest().proposals}


def test_forms_and_downloads_are_known_by_the_names_of_their_urls(settings):
    names = ("checkout", "search", "about", "admin_search", "unsubscribe_request")
    settings.ROOT_URLCONF = tuple(path(f"{name}/", rule_urls.page, name=name) for name in names)
    found = {each.key: each.rule for each in of_setting(suggest().proposals, URLS)}
    assert {name: rule for name, rule in found.items() if name in names} == {
        "checkout": {"slug": "checkout_requests", "methods": ["POST"]},
        "search": "search_requests",
        "unsubscribe_request": {"slug": "unsubscribe_requests", "methods": ["POST"], "better": "down"},
    }


def test_a_urlconf_that_fails_is_named_and_the_rest_is_proposed(settings):
    settings.ROOT_URLCONF = "tests.support.broken_module"
    found = suggest()
    assert of_setting(found.proposals, URLS) == []
    assert "orders" in {each.slug for each in found.proposals}
    assert any(note.startswith("The URLs could not be looked at") for note in found.notes)


def test_a_signal_of_an_event_is_proposed_and_a_hook_is_not(monkeypatch):
    monkeypatch.setattr(rule_urls, "report_published", Signal(), raising=False)
    monkeypatch.setattr(rule_urls, "pre_publish", Signal(), raising=False)
    monkeypatch.setattr(event_signals, "_app_of", lambda module: "tests" if module == rule_urls.__name__ else None)
    found = of_setting(suggest().proposals, SIGNALS)
    assert [(each.key, each.rule) for each in found if "publish" in each.slug] == [
        ("tests.support.rule_urls.report_published", "report_published")
    ]


def test_a_table_that_cannot_be_read_is_named_and_its_fields_are_enough(monkeypatch):
    def fails(*args):
        raise DatabaseError("no such table")

    monkeypatch.setattr(samples, "_read", fails)
    found = suggest()
    assert "orders" in {each.slug for each in found.proposals}
    assert "testapp.Order: could not be looked at: DatabaseError('no such table')" in found.notes


def test_when_the_time_is_over_no_table_is_looked_at():
    sampler = Sampler(ends=0)
    assert sampler.rows(Order, ["amount"]) == []
    assert sampler.problems == ["testapp.Order: not looked at, because the queries of the other tables took 20 s"]


@pytest.mark.every_database
def test_the_rest_of_the_time_is_never_so_short_that_it_means_no_limit(database):
    connection = connections[database]
    with pytest.raises(DatabaseError), time_limit(connection, 1e-7):
        run(connection, SLOW[connection.vendor])


def test_a_database_that_cannot_limit_a_query_is_not_looked_at(monkeypatch):
    monkeypatch.setattr("app_metrics.suggestions.time_limits.vendor_of", lambda connection: "oracle")
    sampler = Sampler()
    assert sampler.rows(Order, ["amount"]) == []
    assert "cannot be limited" in sampler.problems[0]


SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT max(a.ordinal_position + b.ordinal_position) FROM information_schema.columns a, "
    "information_schema.columns b, information_schema.columns c",
}


def run(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


@pytest.mark.every_database
def test_a_query_that_takes_longer_is_ended_and_the_next_one_has_no_limit(database):
    connection = connections[database]
    with pytest.raises(DatabaseError), time_limit(connection, 0.2):
        run(connection, SLOW[connection.vendor])
    Tag.objects.using(database).create(name="written after the limit")
    assert Tag.objects.using(database).count() == 1


@pytest.mark.every_database
def test_a_sample_has_the_latest_rows_and_is_limited(database, monkeypatch):
    Order.objects.using(database).bulk_create([Order(amount=amount) for amount in range(5)])
    monkeypatch.setattr(samples, "ROWS", 2)
    monkeypatch.setattr("django.db.router.db_for_read", lambda model, **hints: database)
    assert [int(amount) for (amount,) in Sampler().rows(Order, ["amount"])] == [4, 3]


def test_a_signal_of_django_that_another_module_imports_is_left_out(monkeypatch):
    monkeypatch.setattr(rule_urls, "request_finished", request_finished, raising=False)
    monkeypatch.setattr(event_signals, "_app_of", lambda module: "tests" if module == rule_urls.__name__ else None)
    assert "request_finished" not in {each.slug for each in suggest().proposals}


def test_a_module_that_no_app_has_is_not_asked_for_anything_that_it_would_import(monkeypatch):
    class Lazy(ModuleType):
        def __getattr__(self, name):
            raise ImportError(f"{name} needs another package")

    monkeypatch.setitem(sys.modules, "lazily.imported", Lazy("lazily.imported"))
    assert "orders" in {each.slug for each in suggest().proposals}
