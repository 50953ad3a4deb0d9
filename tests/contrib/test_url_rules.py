"""URL rules, tested with real requests."""

import logging
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from app_metrics.checks import check_rules
from app_metrics.contrib.url_rules import compile_urls, record_response, rules_by_key
from app_metrics.core.validation import MAX_LABELS
from app_metrics.testing.recorded import assert_metric_recorded

pytestmark = [pytest.mark.urls("tests.support.rule_urls")]

ANY_STATUS = ["1xx", "2xx", "3xx", "4xx", "5xx"]


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


def is_html(request, response):
    return response["Content-Type"].startswith("text/html")


def answer_early(get_response):
    return lambda request: HttpResponse("from a middleware")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("page", "/page/"),
        ("async", "/async/"),
        ("regions:eu:item", "/shops/eu/item/"),
        ("tests.support.rule_urls.page", "/unnamed/"),
    ],
)
def test_a_rule_counts_the_url_that_its_key_names(name, address, client, settings, recorded):
    settings.APP_METRICS_URLS = {name: "views"}
    client.get(address)
    assert_metric_recorded(recorded, "views", total=1)


def test_a_rule_for_one_instance_of_a_namespace_does_not_count_another(client, settings, recorded):
    settings.APP_METRICS_URLS = {"regions:eu:item": "views"}
    client.get("/shops/us/item/")
    assert recorded.slugs == []


@pytest.mark.parametrize("address", ["/unknown/", "/page"])
def test_unresolved_and_redirected_requests_count_nothing(address, client, settings, recorded):
    """Examples are an unresolved 404 and the APPEND_SLASH redirect."""
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "status": ANY_STATUS}}
    assert client.get(address).status_code in (301, 404)
    assert recorded.slugs == []


def test_a_response_of_a_middleware_counts_nothing(client, settings, recorded):
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], f"{__name__}.answer_early"]
    settings.APP_METRICS_URLS = {"page": "views"}
    assert client.get("/page/").content == b"from a middleware"
    assert recorded.slugs == []


@pytest.mark.parametrize(
    ("method", "address", "status", "total"),
    [
        ("GET", "/page/", 200, 1),
        ("POST", "/page/", 200, 1),
        ("DELETE", "/page/", 200, 1),
        ("BREW", "/page/", 200, 1),
        ("HEAD", "/page/", 200, 0),
        ("OPTIONS", "/page/", 200, 0),
        ("GET", "/answer/302/", 302, 1),
        ("GET", "/answer/404/", 404, 0),
        ("GET", "/answer/500/", 500, 0),
        ("POST", "/only-get/", 405, 0),
        ("OPTIONS", "/only-get/", 200, 0),
        ("GET", "/missing/", 404, 0),
        ("GET", "/forbidden/", 403, 0),
        ("GET", "/failing/", 500, 0),
        ("GET", "/private/", 302, 1),
    ],
)
def test_a_plain_rule_counts_success_by_any_method_but_head_and_options(
    method, address, status, total, client, settings, recorded
):
    names = ("page", "answer", "only-get", "missing", "forbidden", "failing", "private")
    settings.APP_METRICS_URLS = dict.fromkeys(names, "views")
    assert client.generic(method, address).status_code == status
    assert recorded.total("views") == total


@pytest.mark.parametrize(
    ("name", "status"), [("missing", 404), ("forbidden", 403), ("failing", 500), ("only-get", 405), ("private", 302)]
)
@pytest.mark.parametrize("wanted", ["code", "class", "list", "others"])
def test_the_status_option_decides_by_class_and_code(name, status, wanted, client, settings, recorded):
    hundred = f"{status // 100}xx"
    others = [each for each in ANY_STATUS if each != hundred]
    option = {"code": status, "class": hundred, "list": [201, hundred], "others": others}[wanted]
    settings.APP_METRICS_URLS = {name: {"slug": "views", "status": option}}
    client.delete(f"/{name}/")
    assert recorded.total("views") == (wanted != "others")


@pytest.mark.parametrize(("method", "total"), [("POST", 1), ("HEAD", 1), ("GET", 0), ("BREW", 0)])
def test_the_methods_option_decides_by_method(method, total, client, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "methods": ["POST", "HEAD"]}}
    client.generic(method, "/page/")
    assert recorded.total("views") == total


def test_a_view_that_raises_past_every_handler_counts_once_as_a_server_error(settings, recorded):
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    settings.APP_METRICS_URLS = {"failing": {"slug": "failures", "status": ["5xx"]}}
    with pytest.raises(RuntimeError, match="this page fails"):
        Client().get("/failing/")
    assert_metric_recorded(recorded, "failures", total=1)


@pytest.mark.parametrize("method", ["GET", "BREW", "brew-1234", "get"])
def test_a_visitor_cannot_invent_method_labels(method, client, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "labels": {"method": "request.method"}}}
    client.generic(method, "/page/")
    label = "other" if method.upper().startswith("BREW") else "GET"
    assert_metric_recorded(recorded, "views", total=1, labels={"method": label})


@pytest.mark.django_db
def test_request_user_is_not_read_unless_a_rule_uses_it(client, settings, recorded):
    client.force_login(User.objects.create(username="visitor"))
    settings.APP_METRICS_URLS = {
        "page": {"slug": "views", "labels": {"method": "request.method", "status": "response.status_code"}}
    }
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/page/")
    assert not queries
    assert "Cookie" not in response.get("Vary", "")
    assert_metric_recorded(recorded, "views", labels={"method": "GET", "status": "200"})


def test_a_plain_rule_counts_an_asynchronous_request(settings, recorded):
    settings.APP_METRICS_URLS = {"async": "views"}
    async_to_sync(AsyncClient().get)("/async/")
    assert_metric_recorded(recorded, "views", total=1)


RULES_THAT_ASK = [{"when": "request.user.is_authenticated"}, {"labels": {"name": "request.user.get_username"}}]


@pytest.mark.django_db
@pytest.mark.parametrize("rule", RULES_THAT_ASK)
def test_a_rule_may_ask_for_the_user(rule, client, settings, recorded):
    client.force_login(User.objects.create(username="visitor"))
    settings.APP_METRICS_URLS = {"page": {"slug": "views", **rule}}
    client.get("/page/")
    assert_metric_recorded(recorded, "views", total=1, labels={"name": "visitor"} if "labels" in rule else {})


@pytest.mark.django_db
@pytest.mark.parametrize("rule", RULES_THAT_ASK)
def test_a_rule_may_ask_for_the_user_of_an_asynchronous_request(rule, settings, recorded):
    """Reading the user makes a database query, which Django forbids in the event loop."""
    client = AsyncClient()
    client.force_login(User.objects.create(username="visitor"))
    settings.APP_METRICS_URLS = {"async": {"slug": "views", **rule}}
    async_to_sync(client.get)("/async/")
    assert_metric_recorded(recorded, "views", total=1, labels={"name": "visitor"} if "labels" in rule else {})


@pytest.mark.parametrize("when", [is_html, f"{__name__}.is_html", "request.user.is_anonymous"])
def test_when_is_a_path_or_a_callable(when, client, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "when": when}}
    client.get("/page/")
    assert_metric_recorded(recorded, "views", total=1)


def test_a_rule_with_a_false_condition_counts_nothing(client, settings, recorded):
    rule = {"slug": "views", "when": "request.user.is_authenticated", "timing": "seconds"}
    settings.APP_METRICS_URLS = {"page": rule}
    client.get("/page/")
    assert recorded.slugs == []


@pytest.mark.parametrize(
    ("num", "total"), [(3, 3), ("response.status_code", 200), (lambda request, response: len(request.path), 6)]
)
def test_num_is_a_number_a_path_or_a_callable(num, total, client, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "num": num}}
    client.get("/page/")
    assert_metric_recorded(recorded, "views", total=total, count=1)


def test_an_entry_may_hold_several_rules(client, settings, recorded):
    settings.APP_METRICS_URLS = {"page": ["views", {"slug": "posts", "methods": ["POST"]}, {"slug": "pages", "num": 2}]}
    client.get("/page/")
    assert recorded.slugs == ["pages", "views"]


def test_the_timing_option_records_seconds_under_the_same_labels(client, settings, recorded):
    labels = {"method": "request.method"}
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "timing": "view_seconds", "labels": labels}}
    client.get("/page/")
    client.head("/page/")
    assert_metric_recorded(recorded, "view_seconds", count=1, labels={"method": "GET"})
    assert 0 < recorded.total("view_seconds") < 5


def test_characters_that_databases_refuse_are_removed_from_labels(client, settings, recorded):
    name = "a\0b\ud800" + "c" * 200
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "labels": {"name": lambda request, response: name}}}
    client.get("/page/")
    assert_metric_recorded(recorded, "views", labels={"name": "ab?" + "c" * 97})


@pytest.mark.parametrize("sent", ["%01" * 84, "%01" * 300, "%22" * 300, "%F0%9F%99%82" * 300])
def test_a_visitor_cannot_make_a_request_uncounted_by_long_or_strange_texts(sent, client, settings, recorded):
    labels = {f"label-{number}": lambda request, response: request.GET["q"] for number in range(MAX_LABELS)}
    settings.APP_METRICS_URLS = {
        "page": [
            {"slug": "one_label", "labels": dict([labels.popitem()]), "timing": "one_label_seconds"},
            {"slug": "many_labels", "labels": labels, "timing": "many_labels_seconds"},
        ]
    }
    client.get(f"/page/?q={sent}")
    assert recorded.slugs == ["many_labels", "many_labels_seconds", "one_label", "one_label_seconds"]


def test_label_sets_that_are_too_long_lose_characters_of_their_longest_labels(client, settings, recorded):
    labels = {name: lambda request, response, name=name: name * 90 for name in "abcdef"}
    labels |= {"plan": lambda request, response: "pro"}
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "labels": labels}}
    client.get("/page/")
    assert_metric_recorded(recorded, "views", labels={name: name * 74 for name in "abcdef"} | {"plan": "pro"})


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("key", ["num", "when"])
def test_a_rule_that_raises_leaves_the_page_alone_is_counted_and_is_logged_once(
    key, strict, client, settings, recorded, caplog
):
    def raise_error(request, response):
        raise LookupError("no plan")

    settings.APP_METRICS_STRICT = strict
    settings.APP_METRICS_URLS = {"page": [{"slug": "views", key: raise_error}, "others"]}
    with caplog.at_level(logging.WARNING, "app_metrics"):
        assert [client.get("/page/").status_code for _ in range(3)] == [200, 200, 200]
    assert_metric_recorded(recorded, "app_metrics_dropped", total=3, labels={"reason": "failed_rule"})
    assert_metric_recorded(recorded, "others", total=3)
    (record,) = caplog.records
    assert "APP_METRICS_URLS['page']" in record.message
    assert "LookupError" in record.message


def test_errors_with_the_texts_of_visitors_fill_no_memory_and_hide_no_other_rule(client, settings, recorded, caplog):
    def refuse(request, response):
        raise ValueError(request.body)

    def fail(request, response):
        raise LookupError("no plan")

    settings.APP_METRICS_URLS = {"page": {"slug": "views", "num": refuse, "labels": {"plan": refuse}}, "plain": "plain"}
    bodies = [b"%d " % number + b"x" * 100_000 for number in range(40)]
    with caplog.at_level(logging.WARNING, "app_metrics"):
        for body in bodies:
            client.post("/page/", body, content_type="text/plain")
        settings.APP_METRICS_SIGNALS = {"django.core.signals.request_started": {"slug": "started", "num": "scope.plan"}}
        client.get("/page/")
    assert recorded.total("app_metrics_dropped", {"reason": "failed_rule"}) >= 40
    assert sum(len(message) for message in caplog.messages) < 20_000
    assert "APP_METRICS_SIGNALS" in caplog.messages[-1]


@pytest.mark.parametrize("strict", [True, False])
def test_a_label_that_cannot_be_read_is_empty_and_the_event_counts(strict, client, settings, recorded):
    settings.APP_METRICS_STRICT = strict
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "labels": {"plan": "request.plan"}}}
    assert client.get("/page/").status_code == 200
    assert_metric_recorded(recorded, "views", total=1, labels={"plan": ""})


@pytest.mark.parametrize("strict", [True, False])
def test_a_number_that_cannot_be_counted_reaches_neither_the_page_nor_the_timer(strict, client, settings, recorded):
    settings.APP_METRICS_STRICT = strict
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "num": "request.path", "timing": "seconds"}}
    assert client.get("/page/").status_code == 200
    assert (recorded.count("views"), recorded.count("seconds")) == (0, 1)
    assert recorded.total("app_metrics_dropped") == 1


def test_rules_follow_override_settings_and_end_with_it(client, settings, recorded):
    settings.APP_METRICS_URLS = {"page": "before"}
    client.get("/page/")
    settings.APP_METRICS_URLS = {"page": "after"}
    client.get("/page/")
    del settings.APP_METRICS_URLS
    settings.APP_METRICS_URLS = {}
    client.get("/page/")
    assert (recorded.total("before"), recorded.total("after")) == (1, 1)


def test_disabled_rules_count_nothing_and_ask_nothing(client, settings, recorded):
    settings.APP_METRICS_DISABLED = True
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "when": pytest.fail}}
    assert client.get("/page/").status_code == 200
    assert recorded.slugs == []


EVERYWHERE = {"*": "requests"}


@pytest.mark.parametrize(
    ("name", "address"),
    [("page", "/page/"), ("regions:eu:item", "/shops/eu/item/"), ("tests.support.rule_urls.page", "/unnamed/")],
)
def test_a_star_counts_every_url_by_its_name(name, address, client, settings, recorded):
    settings.APP_METRICS_URLS = EVERYWHERE
    client.get(address)
    assert_metric_recorded(recorded, "requests", total=1, labels={"url": name})


def test_a_star_stands_beside_the_rules_of_the_name(client, settings, recorded):
    settings.APP_METRICS_URLS = {**EVERYWHERE, "page": "views", "async": "others"}
    client.get("/page/")
    assert recorded.slugs == ["requests", "views"]
    assert_metric_recorded(recorded, "views", total=1, labels={})


@pytest.mark.parametrize(
    ("method", "address", "total"),
    [
        ("GET", "/page/", 1),
        ("HEAD", "/page/", 0),
        ("GET", "/missing/", 0),
        ("GET", "/unknown/", 0),
        ("GET", "/page", 0),
    ],
)
def test_a_star_counts_every_resolved_request(method, address, total, client, settings, recorded):
    settings.APP_METRICS_URLS = EVERYWHERE
    client.generic(method, address)
    assert recorded.total("requests") == total


def test_a_star_takes_every_option(client, settings, recorded):
    rule = {
        "slug": "posts",
        "methods": ["POST"],
        "status": [302],
        "num": 3,
        "when": "request.user.is_anonymous",
        "labels": {"method": "request.method"},
        "timing": "seconds",
    }
    settings.APP_METRICS_URLS = {"*": ["requests", rule]}
    for method, status in (("GET", 302), ("POST", 200), ("POST", 302)):
        client.generic(method, f"/answer/{status}/")
    labels = {"method": "POST", "url": "answer"}
    assert recorded.total("requests") == 3
    assert_metric_recorded(recorded, "posts", total=3, count=1, labels=labels)
    assert_metric_recorded(recorded, "seconds", count=1, labels=labels)


def test_a_star_rule_may_define_the_label_url_itself(client, settings, recorded):
    settings.APP_METRICS_URLS = {"*": {"slug": "requests", "labels": {"url": "request.path"}}}
    client.get("/page/")
    assert_metric_recorded(recorded, "requests", total=1, labels={"url": "/page/"})


def test_a_star_rule_with_the_maximum_number_of_labels_is_refused(client, settings, recorded):
    labels = {f"label_{number}": "request.method" for number in range(MAX_LABELS)}
    settings.APP_METRICS_URLS = {"*": [{"slug": "requests", "labels": labels}, "others"]}
    client.get("/page/")
    assert recorded.slugs == ["others"]
    (error,) = compile_urls(settings.APP_METRICS_URLS)[1]
    assert (error.code, error.hint) == ("E001", "Give at most 7 labels, because the label 'url' is added.")


def test_under_asgi_a_star_needs_a_thread_only_for_rules_that_read_the_request(settings):
    reading = {"slug": "requests", "labels": {"method": "request.method"}}
    own = {"slug": "requests", "labels": {"url": "request.path"}}
    settings.APP_METRICS_URLS = {"*": ["requests", {"slug": "requests", "when": "request.user"}, reading, own]}
    assert [rule.reads for rule in rules_by_key()["*"]] == [False, True, True, True]


def test_a_star_counts_an_asynchronous_request(settings, recorded):
    settings.APP_METRICS_URLS = EVERYWHERE
    async_to_sync(AsyncClient().get)("/async/")
    assert_metric_recorded(recorded, "requests", total=1, labels={"url": "async"})


def test_a_url_named_star_is_counted_once(rf, settings, recorded):
    settings.APP_METRICS_URLS = EVERYWHERE
    request = rf.get("/")
    request.resolver_match = SimpleNamespace(view_name="*")
    record_response(request, HttpResponse(), 0)
    assert_metric_recorded(recorded, "requests", total=1)


@pytest.mark.django_db
def test_a_star_and_other_rules_are_one_write(client, settings):
    settings.APP_METRICS_URLS = {**EVERYWHERE, "page": ["views", "pages"]}
    with CaptureQueriesContext(connection) as queries:
        client.get("/page/")
    assert sum("INSERT" in query["sql"] for query in queries) == 1


def test_a_star_is_no_unknown_url(settings):
    settings.APP_METRICS_URLS = EVERYWHERE
    assert check_rules() == []


@pytest.mark.parametrize(
    ("key", "counted"),
    [
        ("regions:*", {"regions:eu:item", "regions:us:item"}),
        ("*:item", {"regions:eu:item", "regions:us:item"}),
        ("p*e", {"page", "private"}),
        ("page*", {"page"}),
        ("P*", set()),
        ("*-get", {"only-get"}),
    ],
)
def test_a_pattern_counts_the_urls_that_it_matches_by_their_names(key, counted, client, settings, recorded):
    settings.APP_METRICS_URLS = {key: "views"}
    for address in ("/page/", "/private/", "/shops/eu/item/", "/shops/us/item/", "/only-get/"):
        client.get(address)
    assert {name for name in (*counted, "page", "private") if recorded.total("views", {"url": name})} == counted
    assert recorded.total("views") == len(counted)


def test_a_pattern_stands_beside_the_name_and_other_patterns(client, settings, recorded):
    settings.APP_METRICS_URLS = {"*": "requests", "p*": "early", "page": "views", "other*": "others"}
    client.get("/page/")
    assert recorded.slugs == ["early", "requests", "views"]


def test_a_pattern_does_not_count_excluded_names(client, settings, recorded):
    excluding = {"slug": "requests", "exclude": ["regions:*", "page"]}
    settings.APP_METRICS_URLS = {"*": [excluding, "all"], "page": "views"}
    for address in ("/page/", "/shops/eu/item/", "/answer/200/"):
        client.get(address)
    assert check_rules() == []
    assert_metric_recorded(recorded, "requests", total=1, labels={"url": "answer"})
    assert (recorded.total("requests"), recorded.total("all"), recorded.total("views")) == (1, 3, 1)


UNRESOLVED = {"-": {"slug": "unresolved", "labels": {"method": "request.method", "status": "response.status_code"}}}


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/unknown/", 404), ("BREW", "/unknown/", 404), ("GET", "/page", 301), ("HEAD", "/unknown/", None)],
)
def test_a_dash_counts_unresolved_requests(method, address, status, client, settings, recorded):
    settings.APP_METRICS_URLS = UNRESOLVED
    assert check_rules() == []
    client.generic(method, address)
    if status is None:
        assert recorded.slugs == []
    else:
        labels = {"method": "other" if method == "BREW" else method, "status": str(status)}
        assert_metric_recorded(recorded, "unresolved", total=1, labels=labels)


def test_a_dash_counts_responses_of_a_middleware(client, settings, recorded):
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], f"{__name__}.answer_early"]
    settings.APP_METRICS_URLS = {**UNRESOLVED, "*": "requests"}
    client.get("/page/")
    assert_metric_recorded(recorded, "unresolved", total=1, labels={"method": "GET", "status": "200"})
    assert recorded.slugs == ["unresolved"]


@pytest.mark.parametrize("address", ["/page/", "/missing/", "/failing/"])
def test_a_dash_counts_nothing_that_a_url_resolved(address, client, settings, recorded):
    settings.APP_METRICS_URLS = UNRESOLVED
    client.get(address)
    assert recorded.slugs == []


def test_a_dash_counts_an_asynchronous_request(settings, recorded):
    settings.APP_METRICS_URLS = UNRESOLVED
    async_to_sync(AsyncClient().get)("/unknown/")
    assert recorded.total("unresolved") == 1


def test_a_dash_accepts_conditions_on_the_path(client, settings, recorded):
    settings.APP_METRICS_URLS = {
        "-": {"slug": "old_links", "status": [404], "when": {"request.path__startswith": "/old/"}, "num": 2}
    }
    assert check_rules() == []
    for address in ("/old/a/", "/new/"):
        client.get(address)
    assert_metric_recorded(recorded, "old_links", total=2, count=1)
