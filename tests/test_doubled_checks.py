"""W023: rules that count one event twice as the same metric, and pairs of rules that only look like it."""

from typing import Any

import pytest
from django.contrib.auth.decorators import login_required
from django.core.checks import CheckMessage
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import View

from app_metrics import track
from app_metrics.checks import check_doubled

URLS, MODELS, SIGNALS = "APP_METRICS_URLS", "APP_METRICS_MODELS", "APP_METRICS_SIGNALS"
AUTH = "APP_METRICS_AUTH"
LOGGED_IN = "django.contrib.auth.signals.user_logged_in"
RAISED = "django.core.signals.got_request_exception"
POSTED, SEEN = {"slug": "pages", "methods": ["POST"]}, {"slug": "pages", "methods": ["GET"]}


@login_required
@track("tracked")
def tracked(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@track("tracked")
class TrackedView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@track("tracked", unique=lambda request: request.user.pk)
def users(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@track("tracked", when="error")
def failing(request: HttpRequest) -> HttpResponse:
    raise ValueError


urlpatterns = [
    path("page/", failing, name="page"),
    path("users/", users, name="users"),
    path("other/", View.as_view(), name="other"),
    path("tracked/", tracked, name="tracked"),
    path("tracked-view/", TrackedView.as_view(), name="tracked-view"),
]

pytestmark = pytest.mark.urls(__name__)

# The settings, and what the message names.
DOUBLED = [
    ({AUTH: True, SIGNALS: {LOGGED_IN: "logins"}}, [f"{SIGNALS}['{LOGGED_IN}'] and {AUTH}", "'logins'"]),
    (
        {AUTH: {"exclude": ["staff"]}, MODELS: {"auth.User": {"created": {"slug": "signups", "labels": {}}}}},
        [f"{MODELS}['auth.User']['created'] and {AUTH}", "'signups'"],
    ),
    ({MODELS: {"auth.User": {"created": ["users", "users"]}}}, [f"Two rules of {MODELS}['auth.User']['created']"]),
    ({MODELS: {"auth.User": {"updated": "saves", "post_save": "saves"}}}, ["['updated'] and ", "['post_save']"]),
    ({MODELS: {"auth.User": {"pre_delete": "x", "post_delete": "x"}}}, ["['pre_delete'] and ", "['post_delete']"]),
    ({URLS: {"page": "views", "*": "views"}}, [f"{URLS}['page'] and {URLS}['*']", "'views'"]),
    ({URLS: {"pa*": "views", "*": {"slug": "views", "when": "request.GET"}}}, [f"{URLS}['pa*'] and {URLS}['*']"]),
    ({URLS: {"-": ["missing", "missing"]}}, [f"Two rules of {URLS}['-']"]),
    ({URLS: {"tracked": "tracked"}}, [f"{URLS}['tracked'] and @track('tracked') on the view of 'tracked'"]),
    (
        {SIGNALS: {RAISED: "errors"}, URLS: {"*": {"slug": "errors", "status": ["5xx"]}}},
        [f"{URLS}['*'] and {SIGNALS}['{RAISED}']", "'errors'"],
    ),
    ({URLS: {"tracked-view": "tracked"}}, ["@track('tracked') on the view of 'tracked-view'"]),
]

APART = [
    {AUTH: True, SIGNALS: {LOGGED_IN: "visits"}, MODELS: {"auth.User": {"created": "accounts"}}},
    {AUTH: {"events": ["signups"]}, SIGNALS: {LOGGED_IN: "logins"}},
    {MODELS: {"auth.User": {"created": "saves", "updated": "saves", "deleted": "saves"}}},
    {MODELS: {"auth.User": {"created": [{"slug": "users", "when": "is_staff"}, {"slug": "users", "when": "email"}]}}},
    {MODELS: {"auth.User": {"created": [{"slug": "points", "num": 1}, {"slug": "points", "num": 2}]}}},
    {MODELS: {"auth.User": {"post_save": [{"slug": "users", "gauge": "pk"}, {"slug": "users", "gauge": "pk"}]}}},
    {URLS: {key: {"slug": "users", "unique": "request.user.pk"} for key in ("page", "*")}},
    {URLS: {"page": [POSTED, SEEN]}},
    {URLS: {"page": ["pages", {"slug": "pages", "status": ["4xx"]}]}},
    {URLS: {"page": "views", "*": {"slug": "views", "exclude": ["page"]}}},
    {URLS: {"page": "views", "other": "views"}},
    {URLS: {"*": "requests", "-": "requests"}},
    {URLS: {"page": "tracked", "other": "tracked", "users": "tracked"}},
    {SIGNALS: {RAISED: "errors"}, URLS: {"*": {"slug": "errors", "status": [404, 503]}, "-": "errors"}},
]


def found(settings: Any, chosen: dict[str, Any]) -> list[CheckMessage]:
    for name, value in chosen.items():
        setattr(settings, name, value)
    return check_doubled()


@pytest.mark.parametrize(("chosen", "named"), DOUBLED)
def test_two_rules_that_count_one_event_twice_get_a_warning(
    chosen: dict[str, Any], named: list[str], settings: Any
) -> None:
    (message,) = found(settings, chosen)
    assert message.id == "app_metrics.W023"
    assert [text for text in named if text not in message.msg] == []


@pytest.mark.parametrize("chosen", APART)
def test_rules_that_count_different_events_get_none(chosen: dict[str, Any], settings: Any) -> None:
    assert found(settings, chosen) == []


def test_a_site_without_urls_gets_no_error(settings: Any) -> None:
    settings.ROOT_URLCONF = None
    assert found(settings, {URLS: {"page": "views"}}) == []
