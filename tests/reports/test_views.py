"""The unsubscribe page: one POST, from a mail program or a click, stops a set's mail; a GET never does."""

import re

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from app_metrics.models import MetricSet, Unsubscription
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.content import build_report
from app_metrics.reports.recipients import SALT, recipients_of, sample_url
from app_metrics.reports.sending import message

pytestmark = pytest.mark.urls("tests.support.unsubscribe_urls")

WRITES = re.compile("INSERT|UPDATE|DELETE|REPLACE")


@pytest.fixture
def browser():
    """A client without cookies or a CSRF token, like a mail program."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def metric_set(database, settings):
    settings.APP_METRICS_BASE_URL = "https://example.com"
    ann = User.objects.create(username="ann", email="ann@example.com")
    return create_metric_set("Mine & <script>alert(1)</script>", [create_metric("Orders")], [ann, "x@example.com"])


def link(metric_set, number=0, salt=SALT):
    token = signing.dumps([metric_set.pk, recipients_of(metric_set)[number].identity], salt=salt)
    return reverse("app_metrics:unsubscribe", args=[token])


def addresses(metric_set):
    return [each.address for each in recipients_of(metric_set)]


def one_click(browser, address, **options):
    return browser.post(address, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded", **options)


def test_the_one_click_address_in_the_mail_unsubscribes(browser, metric_set):
    recipient = recipients_of(metric_set)[0]
    headers = message(build_report(metric_set, "day"), recipient).extra_headers
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = re.fullmatch(r"<https://example\.com(/\S+)>", headers["List-Unsubscribe"])[1]
    assert one_click(browser, address).status_code == 200
    assert addresses(metric_set) == ["x@example.com"]


@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_the_page_changes_nothing_and_writes_nothing(method, browser, metric_set, database):
    with CaptureQueriesContext(connections[database]) as queries:
        response = getattr(browser, method)(link(metric_set))
    assert response.status_code == 200
    assert not [query for query in queries if WRITES.match(query["sql"])]
    assert not Unsubscription.objects.exists()
    assert not response.cookies


def test_the_page_asks_and_its_button_posts_to_itself(browser, metric_set):
    content = browser.get(link(metric_set)).content.decode()
    assert '<form method="post">' in content
    assert "action=" not in content
    assert browser.post(link(metric_set)).status_code == 200
    assert addresses(metric_set) == ["x@example.com"]


@pytest.mark.parametrize("body", ["form", "multipart", "nothing", "another type"])
def test_a_post_with_any_body_unsubscribes(body, browser, metric_set):
    address = link(metric_set)
    response = {
        "form": lambda: one_click(browser, address),
        "multipart": lambda: browser.post(address, {"List-Unsubscribe": "One-Click"}),
        "nothing": lambda: browser.post(address),
        "another type": lambda: browser.post(address, "{", "application/json"),
    }[body]()
    assert response.status_code == 200
    assert "You will get no more reports" in response.content.decode()
    assert addresses(metric_set) == ["x@example.com"]


def test_a_second_post_is_harmless(browser, metric_set):
    address = link(metric_set)
    for _ in range(2):
        assert one_click(browser, address).status_code == 200
    assert Unsubscription.objects.get().address == "ann@example.com"


def test_other_sets_and_other_recipients_keep_their_mail(browser, metric_set):
    other = create_metric_set("Other", [], [*metric_set.email_recipients.all(), "x@example.com"])
    one_click(browser, link(metric_set, 1))
    assert addresses(metric_set) == ["ann@example.com"]
    assert addresses(other) == ["ann@example.com", "x@example.com"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_link_in_a_preview_says_that_it_is_a_sample_and_stops_nothing(method, browser, metric_set):
    answer = getattr(browser, method)(sample_url())
    assert (answer.status_code, "it is a sample in a preview" in answer.content.decode()) == (200, True)
    assert not Unsubscription.objects.exists()


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(method, browser, metric_set):
    assert getattr(browser, method)(link(metric_set)).status_code == 405
    assert not Unsubscription.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("kind", ["cut", "changed", "foreign", "old", "nonsense", "long", "gone"])
def test_an_invalid_unsubscribe_link_shows_a_page_that_explains_it(kind, method, browser, metric_set, settings):
    good, foreign = link(metric_set), link(metric_set, salt="of another app")
    if kind == "old":
        settings.SECRET_KEY = "a new one"
    if kind == "gone":
        MetricSet.objects.all().delete()
    address = {
        "cut": good[:-6] + "/",
        "changed": good.replace("unsubscribe/W", "unsubscribe/X"),
        "foreign": foreign,
        "nonsense": "/metrics/unsubscribe/%00%FF:ä:<script>/",
        "long": f"/metrics/unsubscribe/{'a' * 10_000}/",
    }.get(kind, good)
    assert address != good or kind in ("old", "gone")
    response = getattr(browser, method)(address)
    assert response.status_code == 404
    assert "This link is not valid." in response.content.decode()
    assert "<script" not in response.content.decode()
    assert not Unsubscription.objects.exists()


@pytest.mark.parametrize("kind", ["asked", "stopped", "unknown", "refused"])
def test_no_answer_of_the_unsubscribe_page_is_cached(kind, browser, metric_set):
    address = link(metric_set)
    response = {
        "asked": lambda: browser.get(address),
        "stopped": lambda: browser.post(address),
        "unknown": lambda: browser.get(address[:-3] + "/"),
        "refused": lambda: browser.put(address),
    }[kind]()
    assert {"no-store", "no-cache", "private"} <= set(response["Cache-Control"].split(", "))


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_page_needs_no_script_no_style_and_no_other_host(method, browser, metric_set):
    content = getattr(browser, method)(link(metric_set)).content.decode()
    assert not re.search(r"<(script|style|link|img|iframe|base)\b|\sstyle=|\son\w+=|https?:", content)


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_name_with_markup_is_text(method, browser, metric_set):
    content = getattr(browser, method)(link(metric_set)).content.decode()
    assert "“Mine &amp; &lt;script&gt;alert(1)&lt;/script&gt;”" in content


def test_the_unsubscribe_page_is_in_the_language_of_the_visitor(browser, metric_set, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    german = browser.get(link(metric_set), headers={"accept-language": "de"}).content.decode()
    hebrew = browser.get(link(metric_set), headers={"accept-language": "he"}).content.decode()
    assert '<html lang="de" dir="ltr">' in german
    assert '<html lang="he" dir="rtl">' in hebrew
    settings.LANGUAGE_CODE = "fr"
    assert '<html lang="fr" dir="ltr">' in browser.get(link(metric_set)).content.decode()


def test_a_site_that_asks_everybody_for_a_login_lets_this_page_through(browser, metric_set, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert browser.get("/admin/").status_code == 302
    assert one_click(browser, link(metric_set)).status_code == 200
    assert addresses(metric_set) == ["x@example.com"]


def test_a_set_may_be_deleted_with_its_unsubscriptions(browser, metric_set):
    one_click(browser, link(metric_set))
    metric_set.delete()
    assert not Unsubscription.objects.exists()
