"""Paths into mappings and sequences, as Django's templates resolve them, and what `check` refuses."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import QueryDict
from django.test import Client

from app_metrics.checks import check_rules
from app_metrics.contrib.paths import attribute_path
from app_metrics.testing.recorded import assert_metric_recorded
from tests.testapp.models import Document, Draft, Tag

pytestmark = pytest.mark.urls("tests.support.rule_urls")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("request.resolver_match.kwargs.status", "201"),
        ("request.resolver_match.captured_kwargs.missing", ""),
        ("request.GET.q", "books"),
        ("request.GET.missing", ""),
        ("request.GET.q.upper", "BOOKS"),
        ("request.GET.urlencode.title", "Q=Books"),
        ("request.META.REQUEST_METHOD", "GET"),
        ("request.headers.Accept-Language", "de"),
        ("request.path.split.0", "/answer/201/"),
        ("request.resolver_match.func.__name__", "page"),
        ("response.headers.Content-Type", "text/html; charset=utf-8"),
        ("response.headers.X-Missing", ""),
    ],
)
def test_a_path_of_a_request_leads_into_mappings_and_sequences(path, value, settings, recorded, caplog):
    settings.APP_METRICS_URLS = {"answer": {"slug": "views", "labels": {"found": path}}}
    assert check_rules() == []
    Client().get("/answer/201/?q=books", headers={"accept-language": "de"})
    assert_metric_recorded(recorded, "views", total=1, labels={"found": value})
    assert caplog.messages == []


class Sent:
    """A callable object with attributes, such as a Celery task."""

    name = "send"

    def __call__(self):
        pytest.fail("called")


class Broken:
    @property
    def plan(self):
        raise AttributeError("no plan")


@pytest.mark.parametrize(
    ("source", "path", "value"),
    [
        ({"a": {"b": [1, 2]}}, "a.b.1", 2),
        ({"a": [1]}, "a.5", None),
        ({"items": 7}, "items", 7),
        ({}, "keys.__class__.__name__", "builtin_function_or_method"),
        (QueryDict("q=a&q=b"), "q", "b"),
        (SessionStore(), "basket.size", None),
        (SimpleNamespace(owner=None), "owner.name", None),
        (SimpleNamespace(find=lambda: {"plan": "pro"}), "find.plan", "pro"),
        (SimpleNamespace(task=Sent()), "task.name", "send"),
        (SimpleNamespace(kind=Sent), "kind", Sent),
        (SimpleNamespace(kind=Sent), "kind.__name__", "Sent"),
        (defaultdict(list), "missing", None),
        (User(), "document_set.model.__name__", "Document"),
    ],
)
def test_a_path_resolves_as_in_a_template(source, path, value):
    assert attribute_path(path.split("."))(source) == value


def test_a_missing_key_is_read_without_being_added():
    found = defaultdict(list)
    attribute_path(["missing"])(found)
    assert found == {}


@pytest.mark.parametrize(
    ("source", "path", "error"),
    [(Broken(), "plan", "no plan"), (Draft(), "nothing", "has no 'nothing'"), (Draft(), "save.x", "changes data")],
)
def test_a_missing_or_failing_attribute_raises(source, path, error):
    with pytest.raises((AttributeError, TypeError), match=error):
        attribute_path(path.split("."))(source)


@pytest.mark.django_db
def test_a_related_row_that_is_missing_is_nothing():
    document = Document.objects.create(title="a")
    document.tags.add(Tag.objects.create(name="new"))
    assert attribute_path(["report", "summary"])(document) is None
    assert attribute_path(["tags", "all", "0", "name"])(document) == "new"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("title.upper.nothing", "Choose one of capitalize"),
        ("title.uper", "Did you mean 'upper'?"),
        ("title.replace", "Give a path or a callable that only reads."),
        ("pages.real.digits", "Choose one of as_integer_ratio"),
        ("owner.username.nothing", "Choose one of capitalize"),
        ("owner.date_joined.yaer", "Did you mean 'year'?"),
    ],
)
def test_check_refuses_a_path_of_a_model_that_never_resolves(path, hint, settings):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": {"slug": "events", "labels": {"x": path}}}}
    (message,) = check_rules()
    assert message.id == "app_metrics.E008"
    assert hint in message.hint


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("request.path.uper", "Did you mean 'upper'?"),
        ("request.resolver_match.kwarg.pk", "Did you mean 'kwargs'?"),
        ("response.status_code.nothing", "Choose one of "),
    ],
)
def test_check_refuses_a_path_of_a_request_that_never_resolves(path, hint, settings):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "labels": {"x": path}}}
    (message,) = check_rules()
    assert message.id == "app_metrics.E008"
    assert hint in message.hint


@pytest.mark.parametrize(
    "path", ["title.upper", "title.0", "owner.get_username.upper", "owner.date_joined.year", "tags.count", "pk.x"]
)
def test_check_accepts_a_path_that_may_resolve(path, settings):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": {"slug": "events", "labels": {"x": path}}}}
    assert check_rules() == []
