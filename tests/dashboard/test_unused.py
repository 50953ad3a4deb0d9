"""Which URL names and rules nobody used, tested with real requests."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.labels import OVERFLOW_LABELS
from app_metrics.core.periods import DAY
from app_metrics.dashboard.unused import OVERFLOWN, PARTLY, SHARED, find_unused
from app_metrics.models import Item, Metric, Total

HOSTILE = "</script><img src=x onerror=alert(1)>"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG = "n" * 120
EVERYWHERE = {"*": "requests"}
ADDRESS = "/admin/app_metrics/dashboard/unused/"


def page(request):
    return HttpResponse(status=request.GET.get("status", 200))


urlpatterns = [
    path("old/", page, name="old"),
    path("new/", page, name="new"),
    path("new/<int:pk>/", page, name="new"),
    path("shop/", include(([path("item/", page, name="item")], "shop"))),
    path("long/", page, name=LONG),
    path("hostile/", page, name=HOSTILE),
    path("admin/", admin.site.urls),
    path("metrics/", include("app_metrics.urls")),
]

pytestmark = pytest.mark.urls("tests.dashboard.test_unused")


def visit(*addresses, days_ago=0):
    with freeze_time(NOW - timedelta(days=days_ago)):
        for address in addresses:
            assert Client().get(address).status_code == 200


def found(days=30):
    with freeze_time(NOW):
        return find_unused(days)


def names(seen):
    return {each.name: each.last for each in seen}


ALL = {"old", "new", "shop:item", LONG, HOSTILE}


@pytest.mark.parametrize("aggregated", [True, False])
def test_with_a_star_rule_a_url_without_recent_hits_is_unused(aggregated, database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    visit("/old/", days_ago=50)
    visit("/new/", "/long/", "/hostile/")
    if aggregated:
        aggregate()
    unused = found()
    assert names(unused.urls) == {"old": date(2026, 10, 4), "shop:item": None}
    assert (unused.counts_every, unused.uncounted, dict(unused.doubts)) == (True, 0, {})
    assert names(found(90).urls) == {"shop:item": None}


def test_unused_urls_are_sorted_by_their_last_hit(database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    visit("/old/", days_ago=50)
    visit("/new/", days_ago=60)
    assert [each.name for each in found().urls] == [HOSTILE, LONG, "shop:item", "new", "old"]


@pytest.mark.parametrize(("hours", "is_unused"), [(-1, False), (1, True)])
def test_a_day_has_twenty_four_hours(hours, is_unused, database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    visit("/old/", days_ago=30 + hours / 24)
    assert ("old" in names(found().urls)) == is_unused


def test_urls_of_the_admin_and_of_app_metrics_are_left_out(database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    assert set(names(found().urls)) == ALL


def test_without_a_star_urls_without_a_rule_are_only_counted(database, settings):
    settings.APP_METRICS_URLS = {"old": "olds", "new": "news"}
    visit("/new/")
    unused = found()
    assert names(unused.urls) == {"old": None}
    assert (unused.counts_every, unused.uncounted, unused.since) == (False, 3, None)


def test_a_slug_used_for_one_url_only_proves_its_use(database, settings):
    settings.APP_METRICS_URLS = {**EVERYWHERE, "old": {"slug": "olds", "methods": ["POST"]}}
    with freeze_time(NOW - timedelta(days=2)):
        metric("olds")
    visit("/new/", days_ago=1)
    assert "old" not in names(found().urls)
    assert names(found(1).urls)["old"] == date(2026, 11, 21)


@pytest.mark.parametrize("other", ["url", "model", "signal", "auth", "timer", "websocket"])
def test_a_slug_recorded_by_other_rules_proves_no_use_of_a_url(other, database, settings):
    slug = "signups" if other == "auth" else "shared"
    settings.APP_METRICS_URLS = {"old": slug}
    if other == "url":
        settings.APP_METRICS_URLS = {"old": slug, "new": slug}
    elif other == "model":
        settings.APP_METRICS_MODELS = {"testapp.Document": {"created": slug}}
    elif other == "signal":
        settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": slug}
    elif other == "auth":
        settings.APP_METRICS_AUTH = True
    elif other == "websocket":
        settings.APP_METRICS_WEBSOCKETS = {"ws/*": {"slug": "chats", "received": slug}}
    else:
        settings.APP_METRICS_URLS = {"old": slug, "new": {"slug": "news", "methods": ["POST"], "timing": slug}}
    with freeze_time(NOW):
        metric(slug)
    unused = found()
    assert "old" in names(unused.doubts[SHARED])
    assert names(unused.urls) == {}


def test_all_urls_of_an_unrecorded_shared_slug_are_unused(database, settings):
    settings.APP_METRICS_URLS = {"old": "shared", "new": "shared"}
    assert names(found().urls) == {"old": None, "new": None}


def test_a_star_rule_decides_about_urls_with_a_shared_slug(database, settings):
    settings.APP_METRICS_URLS = {**EVERYWHERE, "old": "shared", "new": "shared"}
    visit("/new/")
    unused = found()
    assert "old" in names(unused.urls)
    assert "new" not in names(unused.urls)
    assert not unused.doubts


@pytest.mark.parametrize("option", [{"methods": ["POST"]}, {"status": ["5xx"]}, {"when": "request.GET"}])
def test_a_rule_for_some_responses_leaves_the_use_of_a_url_uncertain(option, database, settings):
    settings.APP_METRICS_URLS = {"old": {"slug": "olds", **option}}
    unused = found()
    assert names(unused.doubts[PARTLY]) == {"old": None}
    assert names(unused.urls) == {}


@pytest.mark.parametrize(
    "measure",
    [{"unique": "request.user.pk"}, {"gauge": "request.GET.size"}, {"events": lambda request, response: None}],
)
def test_a_rule_that_records_nothing_without_a_value_leaves_the_use_of_a_url_uncertain(measure, database, settings):
    settings.APP_METRICS_URLS = {"old": {"slug": "olds", **measure}}
    visit("/old/")
    unused = found()
    assert names(unused.doubts[PARTLY]) == {"old": None}
    assert names(unused.urls) == {}


def test_a_star_with_a_unique_count_does_not_count_every_url(database, settings):
    settings.APP_METRICS_URLS = {"*": {"slug": "active_users", "unique": "request.user.pk"}}
    unused = found()
    assert (unused.counts_every, unused.uncounted, unused.since) == (False, 5, None)


def test_a_star_for_some_responses_is_not_counting_every_url(database, settings):
    settings.APP_METRICS_URLS = {"*": {"slug": "requests", "status": ["5xx"]}}
    unused = found()
    assert (unused.counts_every, unused.uncounted, unused.since) == (False, 5, None)


@pytest.mark.parametrize("key", ["*", "old"])
@pytest.mark.parametrize(
    ("option", "method", "status"), [({"status": ["5xx"]}, "get", 500), ({"methods": ["OPTIONS"]}, "options", 200)]
)
def test_what_counts_no_hits_proves_no_use_of_a_url(option, method, status, key, database, settings):
    others = {"slug": "others", **option}
    settings.APP_METRICS_URLS = {"*": ["requests", others]} if key == "*" else {**EVERYWHERE, key: others}
    with freeze_time(NOW):
        assert getattr(Client(), method)(f"/old/?status={status}").status_code == status
        assert Metric.objects.get(slug="others").total("day") == 1
    assert names(found().urls) == dict.fromkeys(ALL)


def test_a_metric_of_hits_and_of_errors_proves_the_use_of_a_url(database, settings):
    settings.APP_METRICS_URLS = {"*": ["requests", {"slug": "requests", "status": ["5xx"]}]}
    visit("/new/")
    assert names(found().urls) == dict.fromkeys(ALL - {"new"})


def test_errors_of_a_url_leave_its_hits_in_the_overflow_uncertain(database, settings):
    settings.APP_METRICS_URLS = {"*": ["requests", {"slug": "errors", "status": ["5xx"]}]}
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    visit("/new/", days_ago=3)
    aggregate()
    with freeze_time(NOW - timedelta(days=3)):
        Client().get("/old/?status=500")
    visit("/old/", days_ago=3)
    aggregate()
    assert "old" in names(found().doubts[OVERFLOWN])


def test_urls_in_the_overflow_series_are_uncertain(database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    visit("/old/", days_ago=50)
    aggregate()
    visit("/new/", days_ago=3)
    aggregate()
    assert Total.objects.filter(labels=OVERFLOW_LABELS).exists()
    unused = found()
    # "old" has a series of its own, so the overflow holds no hit of it.
    assert set(names(unused.urls)) == {"old"}
    assert set(names(unused.doubts[OVERFLOWN])) == ALL - {"old"}
    assert set(names(found(1).urls)) == ALL


def test_it_says_since_when_every_url_is_counted_if_that_is_not_long_ago(database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    assert found().since == date(2026, 11, 23)
    with freeze_time(NOW - timedelta(days=400)):
        metric("requests")  # before the rule existed
    visit("/old/", days_ago=12)
    assert found().since == date(2026, 11, 11)
    aggregate()
    visit("/new/")
    assert found().since == date(2026, 11, 11)
    assert found(7).since is None


def test_it_knows_since_when_also_after_days_were_pruned(database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    visit("/old/", days_ago=70)
    visit("/old/")
    aggregate()
    Total.objects.filter(period=DAY, start__lt=date(2026, 11, 1)).delete()
    assert found(90).since == date(2026, 9, 1)


def test_rules_that_recorded_nothing_are_listed_with_the_last_time(database, settings):
    settings.APP_METRICS_URLS = {"old": ["olds", {"slug": "posts", "methods": ["POST"]}], "new": "news"}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": "documents"}}
    settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": "entries"}
    settings.APP_METRICS_AUTH = True
    visit("/old/", days_ago=31)
    aggregate()
    visit("/new/")
    rules = [(rule.name, rule.slug, rule.last) for rule in found().rules]
    assert rules == [
        *[("APP_METRICS_AUTH", slug, None) for slug in ("failed_logins", "logins", "logouts", "signups")],
        ("APP_METRICS_MODELS['testapp.Document']['created']", "documents", None),
        ("APP_METRICS_SIGNALS['django.contrib.auth.signals.user_logged_in']", "entries", None),
        ("APP_METRICS_URLS['old']", "posts", None),
        ("APP_METRICS_URLS['old']", "olds", date(2026, 10, 23)),
    ]


def test_every_metric_of_a_rule_is_listed_unless_it_was_recorded(database, settings):
    chat = {"slug": "chats", "received": "messages", "sent": "answers", "timing": "chat_seconds"}
    settings.APP_METRICS_WEBSOCKETS = {"ws/*": chat}
    settings.APP_METRICS_URLS = {"old": {"slug": "olds", "timing": "old_seconds"}}
    metric("chats", at=NOW - timedelta(days=2))
    metric("messages", at=NOW - timedelta(days=40))
    aggregate()
    assert [(rule.name, rule.slug, rule.last) for rule in found().rules] == [
        ("APP_METRICS_URLS['old']", "old_seconds", None),
        ("APP_METRICS_URLS['old']", "olds", None),
        ("APP_METRICS_WEBSOCKETS['ws/*']", "answers", None),
        ("APP_METRICS_WEBSOCKETS['ws/*']", "chat_seconds", None),
        ("APP_METRICS_WEBSOCKETS['ws/*']", "messages", date(2026, 10, 14)),
    ]


@pytest.mark.parametrize("labels", ['["url"]', "{", '{"url":5}', '"url"', '{"url":"old"}'])
@pytest.mark.parametrize("last_at", [2**62, -(2**62)])
def test_a_poisoned_item_that_waits_does_no_harm(labels, last_at, database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    visit("/old/")
    Item.objects.update(labels=labels, last_at=last_at)
    assert set(names(found().urls)) >= ALL - {"old"}


def test_the_number_of_queries_does_not_grow(database, settings):
    counts = []
    for number in (1, 40):
        settings.APP_METRICS_URLS = {**EVERYWHERE, "old": [f"olds_{each}" for each in range(number)]}
        visit("/old/", "/new/", days_ago=number)
        aggregate()
        with CaptureQueriesContext(connections[database]) as queries:
            found()
        counts.append(len(queries))
    assert counts == [3, 3]


# The page


@pytest.fixture
def looker(client, database):
    user = User.objects.create_user("looker", password="looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_metric"))
    client.force_login(user)
    return client


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_lists_them_inert_and_writes_nothing(looker, database, settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    visit("/old/", days_ago=50)
    with freeze_time(NOW):
        looker.force_login(User.objects.get())
        before = Item.objects.count()
        settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
        shown = text_of(looker.get(ADDRESS))
        assert Item.objects.count() == before
    assert "4 October 2026" in shown or "Oct. 4, 2026" in shown
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in shown
    assert HOSTILE not in shown
    assert not re.search(r"<style|style=|<script(?! src)| on\w+=\"", shown)
    assert re.findall(r"<th(?![^>]*scope)[ >]", shown) == []
    assert re.findall(r"<h(\d)", shown) == sorted(re.findall(r"<h(\d)", shown))


def test_the_page_shows_the_line_that_counts_every_url(looker, database, settings):
    shown = text_of(looker.get(ADDRESS))
    assert 'APP_METRICS_URLS = {"*": "requests"}' in shown
    assert "5 URL names are not counted at all" in shown
    settings.APP_METRICS_URLS = EVERYWHERE
    assert "APP_METRICS_URLS = " not in text_of(looker.get(ADDRESS))


@pytest.mark.parametrize(
    ("query", "days"),
    [("", 30), ("?days=7", 7), ("?days=365", 365), ("?days=8", 30), ("?days=x", 30), ("?days=" + "9" * 5000, 30)],
)
def test_the_number_of_days_is_one_of_four(query, days, looker, database):
    response = looker.get(ADDRESS + query)
    assert response.context["unused"].days == days
    assert f'<a href="?days={days}" aria-current="true">' in text_of(response)


def test_the_unused_page_warns_if_the_middleware_is_missing(looker, database, settings):
    assert "errornote" not in text_of(looker.get(ADDRESS))
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    assert "errornote" in text_of(looker.get(ADDRESS))


@pytest.mark.parametrize("reason", ["shared", "partly", "overflown"])
def test_the_page_lists_uncertain_urls_with_the_reason(reason, looker, database, settings):
    settings.APP_METRICS_URLS = {
        "shared": {"old": "views", "new": "views"},
        "partly": {"old": {"slug": "olds", "methods": ["POST"]}},
        "overflown": EVERYWHERE,
    }[reason]
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    assert Client().get("/hostile/").status_code == Client().get("/new/").status_code == 200
    aggregate()
    shown = text_of(looker.get(ADDRESS))
    because = {
        "shared": "other rules record the same metric",
        "partly": "only some responses",
        "overflown": "overflow",
    }[reason]
    assert because in shown
    assert "<li><code>old</code></li>" in shown


@pytest.mark.parametrize("staff", [None, False, True])
def test_the_page_needs_the_permission_to_view_metrics(staff, client, database):
    if staff is not None:
        client.force_login(User.objects.create_user("other", is_staff=staff))
    response = client.get(ADDRESS)
    assert response.status_code == (403 if staff else 302)
    assert staff or "/admin/login/" in response["Location"]


def test_a_namespace_pattern_finds_the_unused_urls_of_its_namespace(database, settings):
    settings.APP_METRICS_URLS = {"shop:*": "shopping", "*e*": "views"}
    visit("/new/")
    unused = found()
    assert names(unused.urls) == {"shop:item": None, HOSTILE: None}
    assert (unused.counts_every, unused.uncounted) == (False, 2)


def test_urls_that_a_star_excludes_are_uncounted(database, settings):
    settings.APP_METRICS_URLS = {"*": {"slug": "requests", "exclude": ["old", "shop:*"]}}
    visit("/new/", "/long/", "/hostile/")
    unused = found()
    assert (names(unused.urls), unused.counts_every, unused.uncounted) == ({}, False, 2)


def test_patterns_that_together_match_every_url_count_every_url(database, settings):
    settings.APP_METRICS_URLS = {"*": {"slug": "requests", "exclude": ["shop:*"]}, "shop:*": "shopping"}
    visit("/old/")
    unused = found()
    assert (set(names(unused.urls)), unused.counts_every) == (ALL - {"old"}, True)
