"""The key `when` as a mapping of comparisons, counted through the real request handler."""

import logging
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client

from app_metrics.checks import check_rules
from app_metrics.contrib.conditions import LOOKUPS
from app_metrics.contrib.model_rules import compile_models
from app_metrics.testing.recorded import assert_metric_recorded
from tests.testapp.models import Document, Order

pytestmark = pytest.mark.urls("tests.support.rule_urls")


@pytest.mark.parametrize(
    ("when", "total"),
    [
        ({"request.method": "GET"}, 1),
        ({"request.method": "POST"}, 0),
        ({"response.status_code__gte": 200, "response.status_code__lt": 300}, 1),
        ({"response.status_code__gte": 200, "request.method": "POST"}, 0),
        ({"request.GET.page": 2}, 1),
        ({"request.GET.page__in": [1, 2]}, 1),
        ({"request.GET.page__range": [3, 4]}, 0),
        ({"request.GET.q__gt": 1}, 0),
        ({"request.GET.nan__lte": 1}, 0),
        ({"request.GET.q__icontains": "BOO"}, 1),
        ({"request.GET.q__isnull": False}, 1),
        ({"request.GET.missing__isnull": True}, 1),
        ({"request.GET.missing": None}, 1),
        ({"request.GET.missing__contains": "x"}, 0),
        ({"request.path__regex": r"^/page/$"}, 1),
        ({"labels.kind": "books"}, 1),
        ({"labels.kind__in": ["films"]}, 0),
    ],
)
def test_a_url_rule_applies_if_all_comparisons_hold(when, total, settings, recorded, caplog):
    rule = {"slug": "views", "when": when, "labels": {"kind": "request.GET.q"}}
    settings.APP_METRICS_URLS = {"page": rule}
    assert check_rules() == []
    Client().get("/page/?q=books&page=2&nan=nan")
    assert recorded.total("views") == total
    assert recorded.total("app_metrics_dropped") == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("when", "total"),
    [
        ({"title": "ordered"}, 1),
        ({"title__iexact": "ORDERED"}, 1),
        ({"title__iendswith": "RED", "pages__lte": 1}, 1),
        ({"plan__in": ["pro"]}, 0),
        ({"owner__isnull": True}, 1),
        ({"owner__is_staff": True}, 0),
        ({"owner.username__startswith": "a"}, 0),
        ({"labels.title": "ordered"}, 1),
        ({"title.upper": "ORDERED"}, 1),
    ],
)
def test_a_model_rule_compares_the_instance(when, total, settings, recorded, django_capture_on_commit_callbacks):
    rule = {"slug": "events", "when": when, "labels": {"title": "title"}}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": rule}}
    assert check_rules() == []
    with django_capture_on_commit_callbacks(execute=True):
        Client().get("/order/")
    assert recorded.total("events") == total
    assert recorded.total("app_metrics_dropped") == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("when", "total"), [({"user.is_staff": False}, 1), ({"user__username__in": ["bob"]}, 0)])
def test_a_signal_rule_compares_the_arguments(when, total, settings, recorded):
    User.objects.create_user("ann", password="x")
    settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": {"slug": "logins", "when": when}}
    assert Client().post("/login/", {"username": "ann", "password": "x"}).status_code == 302
    assert recorded.total("logins") == total


PLACED = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"amount": "3.5"}, True),
        ({"amount__gte": 3}, True),
        ({"amount__in": ["1.00", 3.5]}, True),
        ({"amount__range": (4, 5)}, False),
        ({"placed_at__gte": "2026-05-01"}, True),
        ({"placed_at__gt": PLACED}, False),
        ({"placed_at__year": 2026}, True),
        ({"placed_at__hour__lt": 12}, False),
        ({"day__gt": "2026-01-01"}, False),
        ({"document__owner__is_staff": True}, False),
        ({"is_test": False}, True),
        ({"__class__.__name__": "Order"}, True),
    ],
)
def test_values_compare_as_the_field_holds_them(when, holds):
    ((_, _, (rule,)),), errors = compile_models({"testapp.Order": {"created": {"slug": "orders", "when": when}}})
    assert errors == []
    assert rule.when(Order(amount="3.50", placed_at=PLACED)) is holds


def test_backfill_reads_the_relations_of_a_condition_at_once():
    when = {"document__owner__is_staff": True, "amount__gt": 1}
    ((_, _, (rule,)),), _ = compile_models({"testapp.Order": {"created": {"slug": "orders", "when": when}}})
    assert rule.relations == {"document__owner"}


def test_a_comparison_that_fails_names_its_rule(settings, recorded, caplog):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "when": {"request.GET__gt": 5}}}
    with caplog.at_level(logging.WARNING, "app_metrics"):
        assert Client().get("/page/").status_code == 200
    assert_metric_recorded(recorded, "app_metrics_dropped", total=1, labels={"reason": "failed_rule"})
    assert "APP_METRICS_URLS['page']: TypeError" in caplog.text


@pytest.mark.parametrize("word", LOOKUPS)
def test_every_lookup_matches_the_rows_that_djangos_filter_finds(word, db):
    wanted = {"in": ["Abc", "x"], "range": ["A", "B"], "isnull": False}.get(word, "aB")
    if word in ("startswith", "contains", "regex"):
        wanted = "Ab"
    ((_, _, (rule,)),), errors = compile_models(
        {"testapp.Document": {"created": {"slug": "events", "when": {f"title__{word}": wanted}}}}
    )
    assert errors == []
    for title in ("Abc", "xab", "B", "zzz", "AB"):
        Document.objects.create(title=title)
    found = set(Document.objects.filter(**{f"title__{word}": wanted}).values_list("title", flat=True))
    # SQLite's LIKE ignores case.
    if word not in ("contains", "startswith", "endswith"):
        assert {each.title for each in Document.objects.all() if rule.when(each)} == found


@pytest.mark.parametrize(
    ("code", "when", "hint"),
    [
        ("E001", {}, 'Write it like this: {"status": "paid", "amount__gte": 100}.'),
        ("E001", {5: 1}, 'Write it like this: {"status": "paid", "amount__gte": 100}.'),
        ("E008", {"titel": "a"}, "Did you mean 'title'?"),
        ("E008", {"titel__in": ["a"]}, "Did you mean 'title'?"),
        ("E008", {"pages__gtee": 1}, "Did you mean 'gte'?"),
        ("E008", {"owner__get_username__startwith": "a"}, "Did you mean 'startswith'?"),
        ("E008", {"save": 1}, "Give a path or a callable that only reads."),
        ("E001", {"plan__in": "pro"}, "Give a list of such values."),
        ("E001", {"pages__range": [1]}, "Give a list of two such values."),
        ("E001", {"pages__gte": "many"}, "Give one value of the kind that it is compared with."),
        ("E001", {"pages": [1, 2]}, "Give one value of the kind that it is compared with."),
        ("E001", {"title__regex": "("}, "Give a regular expression."),
        ("E001", {"title__contains": 5}, "Give a text."),
        ("E001", {"owner__isnull": "yes"}, "Give True or False."),
    ],
)
def test_the_check_suggests_a_correct_condition(code, when, hint, settings):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": {"slug": "events", "when": when}}}
    (message,) = check_rules()
    assert message.id == f"app_metrics.{code}"
    assert hint in message.hint


USER = "django.contrib.auth.signals.user_logged_in"


@pytest.mark.parametrize(
    ("setting", "key", "hint"),
    [
        ("APP_METRICS_URLS", "request.GET.page__gtt", "Did you mean 'gt'?"),
        ("APP_METRICS_URLS", "request.GET.page__above", "Choose one of contains, endswith, exact,"),
        ("APP_METRICS_URLS", "request.POST__page__gtt", "Did you mean 'gt'?"),
        ("APP_METRICS_URLS", "request.headers.Accept__contain", "Did you mean 'contains'?"),
        ("APP_METRICS_URLS", "response.headers.Age__gtt", "Did you mean 'gt'?"),
        ("APP_METRICS_URLS", "request.method__startwith", "Did you mean 'startswith'?"),
        (
            "APP_METRICS_URLS",
            "request.user.age__gtt",
            "Did you mean 'gt'? Write 'request.user.age.gtt' if it is an attribute or a key.",
        ),
        ("APP_METRICS_URLS", "request.session__size__gtt", "Write 'request.session.size.gtt' if it is"),
        ("APP_METRICS_URLS", "labels.kind__startwith", "Did you mean 'startswith'?"),
        ("APP_METRICS_MODELS", "pk__gtt", "Write 'pk.gtt' if it is an attribute or a key."),
        ("APP_METRICS_SIGNALS", "user__age__gtt", "Write 'user.age.gtt' if it is an attribute or a key."),
        ("APP_METRICS_WEBSOCKETS", "scope.path__startwith", "Did you mean 'startswith'?"),
    ],
)
def test_check_refuses_a_word_that_resembles_a_lookup(setting, key, hint, settings):
    rule = {"slug": "events", "when": {key: 3}, "labels": {"kind": lambda *sent, **named: "a"}}
    entries = {
        "APP_METRICS_URLS": {"page": rule},
        "APP_METRICS_MODELS": {"testapp.Document": {"created": rule}},
        "APP_METRICS_SIGNALS": {USER: rule},
        "APP_METRICS_WEBSOCKETS": {"ws/": rule},
    }
    setattr(settings, setting, entries[setting])
    (message,) = check_rules()
    assert message.id == "app_metrics.E008"
    assert hint in message.hint


@pytest.mark.parametrize(
    "key",
    [
        "request.GET__page__upper",
        "request.user__profile__plan",
        "request.user.order.late",
        "request.META.HTTP_X__HASH",
        "request.resolver_match.kwargs__pk",
    ],
)
def test_check_accepts_a_name_that_resembles_no_lookup(key, settings):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "when": {key: "x"}}}
    assert check_rules() == []


@pytest.mark.parametrize(
    ("key", "labels", "hint"),
    [
        ("labels.pln", {"plan": "request.method"}, "Did you mean 'labels.plan'?"),
        ("labels.pln__in", {"plan": "request.method"}, "Did you mean 'labels.plan'?"),
        ("label.plan", {"plan": "request.method"}, "Did you mean 'labels.plan'?"),
        ("lables__plan__in", {"plan": "request.method"}, "Did you mean 'labels.plan'?"),
        ("plan", {"plan": "request.method"}, "Did you mean 'labels.plan'?"),
        ("labels.plan", {}, 'Add the label to the rule: "labels": {"plan": …}.'),
        ("labels.plan", {"kind": "request.method"}, "Did you mean 'labels.kind'?"),
        ("labels", {"kind": "request.method"}, "Did you mean 'labels.kind'?"),
        ("user.plan", {"kind": "request.method"}, 'Give a path that begins with "request."'),
    ],
)
def test_check_suggests_a_label_where_one_is_meant(key, labels, hint, settings):
    wanted = ["x"] if key.endswith("__in") else "x"
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "when": {key: wanted}, "labels": labels}}
    (message,) = check_rules()
    assert message.id == "app_metrics.E008"
    assert hint in message.hint


@pytest.mark.parametrize("labels", [{"plan": "request.method"}, {}])
def test_check_suggests_a_comparison_if_the_condition_is_a_label_alone(labels, settings):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "when": "labels.plan", "labels": labels}}
    (message,) = check_rules()
    assert message.hint == 'Compare the label with a value: {"labels.plan": …}.'


def test_check_suggests_a_label_of_a_model_rule(settings):
    rule = {"slug": "events", "when": {"label.kind": "x"}, "labels": {"kind": "plan"}}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": rule}}
    (message,) = check_rules()
    assert message.hint == "Did you mean 'labels.kind'?"


def test_decimals_and_floats_compare():
    ((_, _, (rule,)),), _ = compile_models(
        {"testapp.Order": {"created": {"slug": "orders", "when": {"amount__lt": 0.75}}}}
    )
    assert rule.when(Order(amount=Decimal("0.5"))) is True
