"""The pages of the dashboard."""

import csv
import json
import re
from ast import literal_eval
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from io import StringIO
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import html5lib
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from freezegun import freeze_time
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics import collect, gauge, metric
from app_metrics.admin.dashboard import PER_PAGE
from app_metrics.aggregation.run import aggregate
from app_metrics.contrib.url_rules import compile_urls
from app_metrics.core.plain_text import one_line
from app_metrics.dashboard import forms, metric_facts
from app_metrics.models import Metric, Total
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.recording.metrics import record
from tests.support.scope import examples

NOON = datetime(2026, 11, 23, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
WRITES = re.compile("INSERT|UPDATE|DELETE|REPLACE")
EVIL = "</script><img src=x onerror=alert(1)>\"'&"


@pytest.fixture
def noon(database):
    with freeze_time(NOON) as clock:
        yield clock


@pytest.fixture
def staff(noon):
    """A user who may view metrics through a group."""
    group = Group.objects.create(name="readers")
    group.permissions.add(Permission.objects.get(codename="view_metric"))
    user = User.objects.create_user("ada", is_staff=True)
    user.groups.add(group)
    return user


@pytest.fixture
def client(staff):
    browser = Client()
    browser.force_login(staff)
    return browser


@pytest.fixture
def orders(client):
    """A metric with two labels, recorded over 40 days and partly aggregated."""
    create_metric("Orders", "orders", description="All of them", unit="EUR")
    with collect():
        for days in range(40):
            labels = {"plan": ("free", "pro")[days % 2], "country": "de"}
            metric("orders", 1000 + days, labels=labels, at=NOON - timedelta(days=days))
    aggregate()
    metric("orders", 5)
    return Metric.objects.get(slug="orders")


@pytest.fixture
def several(orders):
    """Metrics with different numbers, one of them never recorded."""
    create_metric("Queue", "queue", "gauge", description="of jobs")
    create_metric("Zebra", "zebra")
    create_metric("Export", "export", "timer")
    for days, number in [(0, 3), (1, 4), (7, 2), (20, 9)]:
        metric("zebra", number, at=NOON - timedelta(days=days, hours=3))
    gauge("queue", 10, at=NOON - timedelta(days=7, hours=3))
    gauge("queue", 10, at=NOON - timedelta(days=20))
    gauge("queue", 7, at=NOON - timedelta(days=1, hours=3))
    gauge("queue", 5, at=NOON - timedelta(hours=3))
    return create_metric_set("Mine", list(Metric.objects.filter(slug__in=["queue", "zebra"])))


def overview_url(site="admin"):
    return reverse(f"{site}:app_metrics_dashboard_changelist")


def metric_url(slug="orders", site="admin"):
    return reverse(f"{site}:app_metrics_dashboard_metric", args=[slug])


def addresses(site="admin"):
    files = [metric_url("orders", site) + "?format=csv", metric_url("orders", site) + "?format=json"]
    return [overview_url(site), metric_url("orders", site), *files]


def page(client, url, **query):
    """Return a parsed page, after the checks that every page must pass."""
    response = client.get(url, query)
    assert response.status_code == 200
    root = html5lib.parse(response.content.decode(), namespaceHTMLElements=False)
    assert_well_made(root)
    return root


def assert_well_made(root):
    elements = list(root.iter())
    assert not [each for each in elements if each.tag == "style"]
    scripts = [each for each in elements if each.tag == "script"]
    assert [each for each in scripts if not each.get("src") or (each.text or "").strip()] == []
    names = {name for each in elements for name in each.attrib if isinstance(name, str)}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    links = [each.get(name) for each in elements for name in ("src", "href", "action") if each.get(name) is not None]
    assert not [link for link in links if urlsplit(link).netloc or urlsplit(link).scheme]
    ids = Counter(each.get("id") for each in elements if each.get("id"))
    assert [each for each, number in ids.items() if number > 1] == []
    main = root.find(".//*[@id='content-main']")
    labelled = {each.get("for") for each in elements if each.tag == "label"}
    controls = [each for each in main.iter() if each.tag in ("input", "select", "textarea")]
    assert [each for each in controls if each.get("type") != "hidden" and each.get("id") not in labelled] == []
    assert [each for each in main.iter("th") if each.get("scope") not in ("col", "row")] == []
    described = {each.get(name) for each in elements for name in ("aria-labelledby", "aria-describedby")} - {None}
    assert described <= set(ids)


def text(element):
    return " ".join("".join(element.itertext()).split())


def table(root):
    """Return the headings and rows of the last table of a page."""
    *_, found = root.findall(".//*[@id='content-main']//table")
    heads = [text(each) for each in found.findall("thead/tr/th")]
    return heads, [[text(each) for each in row] for row in found.findall("tbody/tr")]


def names(root):
    """Return the slugs of the metrics that the overview lists."""
    return [each.get("href").split("/")[-2] for each in root.findall(".//*[@id='content-main']//tbody//a")]


def main_links(root):
    """Return the links in the main content of a page, by their texts."""
    return {text(each): each.get("href") for each in root.findall(".//*[@id='content-main']//a")}


def query_of(link):
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query, keep_blank_values=True).items()}


# Access


@pytest.mark.parametrize("user", [None, {"is_staff": False}, {"is_staff": True, "is_active": False}])
def test_visitors_who_are_not_staff_are_redirected_to_the_login(user, orders):
    browser = Client()
    if user:
        browser.force_login(User.objects.create_user("eve", **user))
    for url in (*addresses(), metric_url("missing"), metric_url("missing") + "?format=json"):
        for answer in (browser.get(url), browser.post(url), browser.head(url)):
            assert answer.status_code == 302
            assert urlsplit(answer["Location"]).path == reverse("admin:login")


@pytest.mark.parametrize("permissions", [[], ["view_total", "add_metric", "change_metricset"]], ids=["none", "others"])
def test_without_permission_existing_and_missing_metrics_give_the_same_answer(permissions, orders, database):
    guest = User.objects.create_user("guest", is_staff=True)
    guest.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(guest)
    for method in (browser.get, browser.post):
        answers = [method(url) for url in (*addresses(), metric_url("missing"), metric_url("missing") + "?format=csv")]
        assert {answer.status_code for answer in answers} == {403}
        assert len({answer.content for answer in answers}) == 1
    with CaptureQueriesContext(connections[database]) as queries:
        browser.get(metric_url())
    assert not [query for query in queries if "app_metrics_" in query["sql"]]


def test_with_the_permission_there_are_pages_and_files(orders, client):
    assert [client.get(url).status_code for url in addresses()] == [200] * 4
    assert [client.head(url).status_code for url in addresses()] == [200] * 4
    assert client.get(metric_url("missing")).status_code == 404
    assert client.get(metric_url("missing") + "?format=csv").status_code == 404


def test_a_page_has_one_title_among_its_contents_because_some_themes_of_the_admin_show_none(orders, client):
    health = reverse("admin:app_metrics_dashboard_health")
    for url, title in ((overview_url(), "Dashboard"), (metric_url(), "Orders"), (health, "Health")):
        root = page(client, url)
        assert [each.text for each in root.iterfind(".//div[@id='content']//h1")] == [title]
        assert root.find(".//div[@id='content-main']/h1") is not None


def test_the_admin_index_links_to_the_dashboard_for_permitted_users_only(orders, client):
    assert overview_url() in client.get(reverse("admin:index")).content.decode()
    guest = User.objects.create_user("guest", is_staff=True)
    guest.user_permissions.add(Permission.objects.get(codename="view_total"))
    client.force_login(guest)
    assert overview_url() not in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_pages_allow_get_and_head_only(method, orders, client):
    for url in addresses():
        answer = getattr(client, method)(url)
        assert answer.status_code == 405
        assert answer["Allow"] == "GET, HEAD"


def test_viewing_the_pages_writes_nothing(several, client, database):
    with CaptureQueriesContext(connections[database]) as queries:
        for url in (*addresses(), metric_url("queue"), overview_url() + "?sort=-today&q=z"):
            assert client.get(url).status_code == 200
    assert [query["sql"] for query in queries if WRITES.match(query["sql"])] == []


@pytest.mark.parametrize(("slug", "colour"), [("logins", "down"), ("failed_logins", "up")])
def test_a_fall_has_the_colour_of_the_news_that_it_is(slug, colour, client, settings):
    settings.APP_METRICS_AUTH = True
    create_metric(slug.title(), slug)
    metric(slug, 5, at=NOON - timedelta(days=9))
    metric(slug, 5, at=NOON - timedelta(days=7, hours=3))
    metric(slug, 2, at=NOON - timedelta(hours=3))
    change = client.get(reverse("admin:app_metrics_dashboard_changelist")).content.decode()
    assert re.search(f'<span class="{colour}">\u221260', change)
    assert {"up": "better", "down": "worse"}[colour] + ", before 5" in change


@pytest.mark.parametrize(("slug", "word"), [("logins", "worse"), ("failed_logins", "better")])
def test_the_change_on_the_page_of_a_metric_has_the_word_for_the_news(slug, word, client, settings):
    settings.APP_METRICS_AUTH = True
    create_metric(slug.title(), slug)
    for days, number in ((20, 1), (9, 5), (2, 2)):
        metric(slug, number, at=NOON - timedelta(days=days))
    shown = text(page(client, metric_url(slug), range="7d").find(".//dl[@class='app-metrics-facts']"))
    assert f"Change\u221260 % {word}; 2, before 5" in shown


@pytest.mark.parametrize(
    ("better", "names"),
    [
        ("up", ("Best in this range", "Worst in this range", "Best day of all time")),
        ("down", ("Worst in this range", "Best in this range", "Worst day of all time")),
        ("neither", ("Highest in this range", "Lowest in this range", "Highest day of all time")),
    ],
)
def test_the_best_periods_are_those_that_the_metric_calls_better(better, names, orders, client):
    orders.better = better
    orders.save()
    facts = page(client, metric_url()).findall(".//dl[@class='app-metrics-facts']/div")
    shown = {text(each.find("dt")): text(each.find("dd")).partition(" EUR")[0] for each in facts}
    assert [shown[name] for name in names] == ["1,027", "1,001", "1,039"]


def test_there_are_no_pages_to_add_change_or_delete(orders, client):
    for name in ("add", f"{orders.pk}/change", f"{orders.pk}/delete", f"{orders.pk}/history"):
        assert client.get(f"{overview_url()}{name}/").status_code == 404


@pytest.mark.urls("tests.support.admin_urls")
def test_an_admin_site_of_the_projects_own_keeps_its_visitors(several, client):
    for url in (overview_url("own"), metric_url("orders", "own")):
        root = page(client, url)
        links = [link for link in main_links(root).values() if not link.startswith("?")]
        links += [each.get("href") for each in root.findall(".//*[@class='breadcrumbs']//a")]
        assert len(links) >= 3
        assert {link.split("/")[1] for link in links} == {"own"}
    assert urlsplit(Client().get(metric_url("orders", "own"))["Location"]).path == reverse("own:login")


@pytest.mark.urls("tests.support.admin_urls")
def test_admin_pages_of_metrics_link_to_the_dashboard_if_the_user_may_see_it(orders, client, staff):
    for site in ("admin", "own"):
        assert tools_of(client, site, orders) == [overview_url(site), metric_url("orders", site)]
    assert tools_of(client, "bare", orders) == []
    staff.groups.clear()
    staff.user_permissions.add(Permission.objects.get(codename="change_metric"))
    assert tools_of(client, "admin", orders) == []


def tools_of(client, site, orders):
    """Return the links to the dashboard on an admin's pages of metrics."""
    found = []
    for name, arguments in (("changelist", []), ("change", [orders.pk])):
        answer = client.get(reverse(f"{site}:app_metrics_metric_{name}", args=arguments))
        assert answer.status_code == 200
        root = html5lib.parse(answer.content.decode(), namespaceHTMLElements=False)
        links = root.findall(".//ul[@class='object-tools']//a")
        found += [each.get("href") for each in links if text(each) == "Dashboard"]
    return found


def test_a_metric_that_is_added_has_no_dashboard_yet(client, staff):
    staff.user_permissions.add(Permission.objects.get(codename="add_metric"))
    assert client.get(reverse("admin:app_metrics_metric_add")).status_code == 200


# Number of queries


def test_the_number_of_queries_does_not_grow(client, database):
    counts = {}
    for number in (3, 60):
        for each in range(number):
            slug = f"m{number}-{each}"
            create_metric_set(f"Set {slug}", [create_metric(slug, slug)])
            metric(slug, labels={"plan": str(each)})
            record(f"t{slug}", "timer", each, at=NOON - timedelta(days=1))
            metric("m3-0", labels={"plan": str(each)})
        aggregate()
        one = metric_url("m3-0")
        timer = metric_url("tm3-0")
        for url in (overview_url(), overview_url() + "?sort=-month", one, f"{one}?split=plan", timer):
            with CaptureQueriesContext(connections[database]) as queries:
                assert client.get(url).status_code == 200
            # A request outside the transaction of a test has no savepoints.
            counts.setdefault(url, []).append(sum("SAVEPOINT" not in each["sql"] for each in queries))
    for few, many in counts.values():
        assert few == many
    overviews = [found[0] for url, found in counts.items() if "/metric/" not in url]
    assert max(overviews) <= 13
    assert max(found[0] for found in counts.values()) <= 13


# The overview


def test_the_overview_shows_the_numbers_of_every_metric(several, client):
    heads, rows = table(page(client, overview_url()))
    assert heads == ["Metric", "Today so far", "Change", "Yesterday", "This week", "This month", "Last 30 days"]
    assert [row[:6] for row in rows] == [
        ["Export timer", "–", "n/a", "–", "–", "–"],
        ["Orders counter", "1,005 EUR", "n/a", "1,001 EUR", "1,005 EUR", "23,258 EUR"],
        ["Queue gauge", "5", "−50 %before 10", "7", "5", "5"],
        ["Zebra counter", "3", "+50 %better, before 2", "4", "3", "18"],
    ]


def test_the_overview_shows_the_p95_of_yesterday_beside_the_mean(waits, orders, client):
    def yesterday():
        return {row[0]: row[3] for row in table(page(client, overview_url()))[1]}

    assert yesterday() == {"Orders counter": "1,001 EUR", "Waits timer": "505 msp95 947 ms"}
    Total.objects.filter(metric=waits).update(histogram=None)
    assert yesterday()["Waits timer"] == "505 msp95 n/a"
    Total.objects.filter(metric=waits).delete()
    assert yesterday()["Waits timer"] == "–"


def cards(root):
    """Return the cards above the table: name, number, its meaning, change, and whether there is a picture."""
    found = []
    for card in root.findall(".//*[@class='app-metrics-cards']/li"):
        (link,), paragraphs = card.findall("a"), card.findall("p")
        has_picture = card.find(".//*[@class='app-metrics-sparkline']") is not None
        found.append([text(link), *map(text, paragraphs), has_picture])
    return found


def test_the_overview_begins_with_cards_of_the_busiest_metrics(several, client):
    root = page(client, overview_url())
    assert cards(root) == [
        ["Orders", "1,005 EUR Today so far", "n/a", True],
        ["Queue", "5 Last value today", "−50 % before 10", True],
        ["Zebra", "3 Today so far", "+50 % better, before 2", True],
        ["Export", "– Mean of today so far", "n/a", False],
    ]
    main = list(root.find(".//*[@id='content-main']").iter())
    places = [main.index(root.find(f".//{tag}")) for tag in ("ul[@class='app-metrics-cards']", "form[@method='get']")]
    assert places == sorted(places)


def test_a_change_on_a_card_says_by_its_colour_and_its_sign_how_it_is(several, client):
    """But of a gauge nobody knows whether a fall is good news."""
    found = page(client, overview_url()).findall(".//*[@class='app-metrics-cards']//span")
    colours = {text(each): each.get("class") for each in found if text(each).endswith("%")}
    assert colours == {"+50 %": "up", "−50 %": ""}


def test_the_cards_of_a_set_are_those_of_its_metrics(several, client):
    assert [card[0] for card in cards(page(client, overview_url(), set=several.pk))] == ["Queue", "Zebra"]


@pytest.mark.parametrize("sort", ["name", "-today"])
def test_cards_do_not_follow_the_order_of_the_table(sort, several, client):
    root = page(client, overview_url(), sort=sort)
    assert [card[0] for card in cards(root)] == ["Orders", "Queue", "Zebra", "Export"]


def test_only_the_first_page_has_cards(client):
    Metric.objects.bulk_create(Metric(name=f"M{n:03}", slug=f"m{n:03}") for n in range(PER_PAGE + 5))
    metric("m104")
    assert cards(page(client, overview_url()))[0][0] == "M104"
    assert len(cards(page(client, overview_url()))) == 8
    assert cards(page(client, overview_url(), page=2)) == []


def test_the_overview_and_the_page_of_a_metric_are_marked_as_live(orders, client):
    for url, is_live in ((overview_url(), True), (metric_url(), True), (f"{overview_url()}health/", False)):
        root = page(client, url)
        assert (root.find(".//*[@data-live]") is not None) is is_live


def test_a_row_leads_to_its_metric_and_has_a_picture(several, client):
    root = page(client, overview_url())
    assert main_links(root)["Zebra"] == metric_url("zebra")
    pictures = root.findall(".//table//*[@class='app-metrics-sparkline']")
    assert len(pictures) == 3
    assert "the latest seven: " in pictures[1].get("aria-label")
    assert "Change: today so far compared with Monday, 16 November up to the same time." in text(root)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "QUE"}, ["queue"]),
        ({"q": "zeb"}, ["zebra"]),
        ({"q": "of jobs"}, ["queue"]),
        ({"q": "jobs zebra"}, []),
        ({"q": "of"}, ["orders", "queue"]),
        ({"q": " "}, ["export", "orders", "queue", "zebra"]),
        ({"kind": "timer"}, ["export"]),
        ({"kind": "counter", "q": "e"}, ["orders", "zebra"]),
        ({"sort": "-name"}, ["zebra", "queue", "orders", "export"]),
        ({"sort": "today"}, ["zebra", "queue", "orders", "export"]),
        ({"sort": "-today"}, ["orders", "queue", "zebra", "export"]),
        ({"sort": "yesterday"}, ["zebra", "queue", "orders", "export"]),
        ({"sort": "-yesterday"}, ["orders", "queue", "zebra", "export"]),
        ({"sort": "week"}, ["zebra", "queue", "orders", "export"]),
        ({"sort": "-week"}, ["orders", "queue", "zebra", "export"]),
        ({"sort": "month"}, ["queue", "zebra", "orders", "export"]),
        ({"sort": "-month"}, ["orders", "zebra", "queue", "export"]),
        ({"sort": "change"}, ["queue", "zebra", "export", "orders"]),
        ({"sort": "-change"}, ["zebra", "queue", "export", "orders"]),
    ],
    ids=str,
)
def test_metrics_are_searched_filtered_and_sorted(query, found, several, client):
    root = page(client, overview_url(), **query)
    assert names(root) == found
    assert root.findall(".//*[@class='errorlist']") == []
    if "sort" in query:
        (head,) = [each for each in root.iter("th") if each.get("aria-sort")]
        assert head.get("aria-sort") == ("descending" if query["sort"].startswith("-") else "ascending")
    assert f"{len(found)} metric" in text(root) or not found


def test_a_metric_is_found_by_its_slug(client):
    create_metric("Sign-ups", "new_user")
    assert names(page(client, overview_url(), q="user")) == ["new_user"]


def test_metrics_are_filtered_by_their_set(several, client):
    assert names(page(client, overview_url(), set=several.pk)) == ["queue", "zebra"]
    assert names(page(client, overview_url(), set=several.pk, kind="gauge")) == ["queue"]


@pytest.mark.parametrize(
    "query",
    [
        {"set": "999999"},
        {"set": "x"},
        {"set": "9" * 5000},
        {"kind": "x"},
        {"sort": "pk"},
        {"q": "a\0b"},
        {"q": "x" * 201},
    ],
    ids=lambda query: str(query)[:20],
)
def test_a_bad_query_shows_all_metrics_and_an_error(query, several, client):
    root = page(client, overview_url(), **query)
    assert len(names(root)) == 4
    assert root.findall(".//*[@class='errorlist']")


def test_a_sort_link_turns_the_order_and_keeps_the_question(several, client):
    links = main_links(page(client, overview_url(), q="e", kind="counter", sort="-today", page=1))
    assert query_of(links["Today so far"]) == {"q": "e", "kind": "counter", "sort": "today"}
    assert query_of(links["Yesterday"]) == {"q": "e", "kind": "counter", "sort": "-yesterday"}
    assert query_of(links["Metric"]) == {"q": "e", "kind": "counter", "sort": "name"}
    assert query_of(main_links(page(client, overview_url()))["Metric"]) == {"sort": "-name"}


def test_a_search_keeps_the_order(several, client):
    root = page(client, overview_url(), sort="-today")
    (hidden,) = root.findall(".//*[@id='content-main']//input[@type='hidden']")
    assert (hidden.get("name"), hidden.get("value")) == ("sort", "-today")


@pytest.mark.parametrize("sort", ["name", "today"])
def test_a_page_holds_a_hundred_metrics(sort, client):
    Metric.objects.bulk_create(Metric(name=f"M{n:03}", slug=f"m{n:03}") for n in range(PER_PAGE + 5))
    query = {"sort": sort, "q": "m"}
    first, second = page(client, overview_url(), **query), page(client, overview_url(), page=2, **query)
    assert (len(names(first)), len(names(second))) == (100, 5)
    assert len({*names(first), *names(second)}) == PER_PAGE + 5
    assert names(second)[0] == "m100"
    assert names(page(client, overview_url(), page=999, **query)) == names(second)
    assert names(page(client, overview_url(), page="x", **query)) == names(first)
    link = main_links(second)["1"]
    assert query_of(link) == {**query, "page": "1"}
    current = [each for each in second.iter("a") if each.get("aria-current") == "page"]
    assert [text(each) for each in current if "page=" in each.get("href")] == ["2"]
    assert "105 metrics" in text(first)


def test_without_metrics_the_page_says_what_to_do_instead_of_showing_a_table(client):
    root = page(client, overview_url())
    assert not root.findall(".//*[@id='content-main']//table")
    assert not root.findall(".//*[@id='content-main']//form")
    steps = [text(each) for each in root.findall(".//*[@class='app-metrics-empty']//li")]
    assert [step.split(":")[0] for step in steps] == [
        "Add a rule to your settings, for instance one that counts every page",
        "Or call metric() in your code",
        "Use your site, then reload this page.",
    ]


def test_a_rule_that_the_empty_page_suggests_has_no_mistakes(client, settings):
    setting = text(page(client, overview_url()).find(".//*[@class='app-metrics-empty']//code"))
    name, _, value = setting.partition(" = ")
    assert name == "APP_METRICS_URLS"
    rules, mistakes = compile_urls(literal_eval(value))
    assert (len(rules), mistakes) == (1, [])


@pytest.mark.parametrize("query", [{"q": "nothing like this"}, {"kind": "timer"}], ids=str)
def test_a_search_without_a_result_says_so(query, orders, client):
    root = page(client, overview_url(), **query)
    assert "No metric was found." in text(root)
    assert not root.findall(".//*[@id='content-main']//table")
    assert not root.findall(".//*[@class='app-metrics-empty']")


# The page of a metric


def test_a_metric_has_its_numbers_as_facts_chart_and_table(orders, client):
    root = page(client, metric_url())
    assert "All of them" in text(root)
    facts = root.findall(".//dl[@class='app-metrics-facts']/div")
    assert [(text(each.find("dt")), text(each.find("dd"))) for each in facts] == [
        ("In this range", "28,383 EUR"),
        ("Change", "n/a counted since 15 October 2026"),
        ("Best in this range", "1,027 EUR Tuesday, 27 October 2026"),
        ("Worst in this range", "1,001 EUR Sunday, 22 November 2026"),
        ("All time", "40,785 EUR"),
        ("Best day of all time", "1,039 EUR Thursday, 15 October 2026"),
    ]
    heads, rows = table(root)
    assert heads == ["Day", "Total", "Events", "Previous 4 weeks"]
    assert len(rows) == 28
    assert rows[-1] == ["Monday, 23 November 2026, so far", "1,005 EUR", "2", "1,028 EUR"]
    assert rows[0] == ["Tuesday, 27 October 2026", "1,027 EUR", "1", "–"]
    slots = [one_line(each.get("aria-label")) for each in root.iter() if each.get("class") == "slot"]
    assert len(slots) == 28
    assert slots[-1] == "Monday, 23 November 2026, so far; Total: 1,005 EUR; Monday, 26 October 2026: 1,028 EUR"


def test_amounts_in_a_range_all_have_cents_if_one_of_them_does(client):
    for slug, number in (("revenue", "9.5"), ("orders", "9")):
        create_metric(slug, slug)
        metric(slug, Decimal(number), at=NOON - timedelta(days=1))
        metric(slug, 1200)
    metric("revenue", Decimal("0.5"), at=NOON - timedelta(days=2))
    aggregate()
    root = page(client, metric_url("revenue"), range="7d", period="day")
    assert [row[1:3] for row in table(root)[1][-3:]] == [["0.50", "1"], ["9.50", "1"], ["1,200.00", "1"]]
    assert text(root.find(".//dl[@class='app-metrics-facts']//dd")) == "1,210.00"
    assert [row[1] for row in table(page(client, metric_url(), range="2d", period="day"))[1]] == ["9", "1,200"]


RANGES = [
    ({}, 28, "4 weeks"),
    ({"range": "2d"}, 37, "2 days"),
    ({"range": "7d"}, 157, "7 days"),
    ({"range": "91d"}, 91, "13 weeks"),
    ({"range": "52w"}, 52, "52 weeks"),
    ({"range": "24m"}, 24, "24 months"),
    ({"range": "5y"}, 5, "5 years"),
    ({"range": "91d", "period": "week"}, 14, "13 weeks"),
    ({"start": "2026-11-01", "end": "2026-11-03"}, 3, None),
    ({"start": "2026-11-01", "end": "2026-11-03", "period": "hour"}, 72, None),
    ({"start": "2026-11-20"}, 4, None),
    ({"range": "28d", "end": "2026-01-28"}, 28, None),
    ({"start": "2026-11-20", "end": "2027-11-20"}, 4, None),
    ({"start": "2027-11-20", "end": "2027-11-21"}, 0, None),
]


def test_a_range_is_chosen(orders, client):
    for query, rows, current in RANGES:
        root = page(client, metric_url(), **query)
        assert len(table(root)[1]) == rows, query
        marked = [text(each) for each in root.findall(".//*[@id='content-main']//a[@aria-current='true']")]
        assert marked == ([current] if current else []), query
        assert not mistakes(root), query


def test_a_label_splits_the_numbers(orders, client):
    root = page(client, metric_url(), split="plan", range="2d", period="day")
    assert table(root) == (
        ["Day", "pro", "free", "(none)"],
        [
            ["Sunday, 22 November 2026", "1,001 EUR", "0 EUR", "0 EUR"],
            ["Monday, 23 November 2026, so far", "0 EUR", "1,000 EUR", "5 EUR"],
        ],
    )
    options = [text(each) for each in root.findall(".//select[@name='split']/option")]
    assert options == ["Nothing", "country", "plan"]
    assert [text(each) for each in root.findall(".//select[@name='split']/option[@selected]")] == ["plan"]
    assert [text(each) for each in root.findall(".//figcaption//li")] == table(root)[0][1:]


def test_labels_filter_the_numbers_and_the_form_shows_the_filter(orders, client):
    metric("orders", 70, labels={"plan": "", "country": "fi"})
    query = {"where.plan": "pro", "range": "2d", "period": "day"}
    root = page(client, metric_url(), **query)
    assert [row[1] for row in table(root)[1]] == ["1,001 EUR", "0 EUR"]
    selects = {each.get("name"): each for each in root.findall(".//*[@id='content-main']//select")}
    assert list(selects) == ["period", "split", "where.country", "where.plan"]
    chosen = {name: each.findall("option[@selected]") for name, each in selects.items()}
    assert [text(each) for each in selects["where.plan"]] == ["Any", '""', "free", "pro"]
    assert [text(each) for each in chosen["where.plan"]] == ["pro"]
    assert [text(each) for each in chosen["where.country"]] == ["Any"]
    labels = {each.get("for"): text(each) for each in root.iter("label")}
    assert labels[selects["where.plan"].get("id")] == "Filter: plan"
    facts = text(root.find(".//dl"))
    assert "In this range" in facts
    assert "All time" not in facts  # it does not follow the filter
    empty = page(client, metric_url(), **{**query, "where.plan": '""'})
    assert [row[1] for row in table(empty)[1]] == ["0 EUR", "70 EUR"]
    split = page(client, metric_url(), **query, split="country")
    assert table(split)[0] == ["Day", "de"]
    assert query_of(main_links(split)["CSV"]) == {**query, "split": "country", "format": "csv"}
    assert client.get(metric_url(), {**query, "format": "json"}).json()["where"] == {"plan": "pro"}


def test_quotes_as_a_label_value_are_not_taken_for_an_empty_one(orders, client):
    values = ["", '"', '""', '""""', 'a"']
    for number, value in enumerate(values, 1):
        metric("orders", number, labels={"quoted": value})
    root = page(client, metric_url(), range="2d", period="day")
    parameters = [each.get("value") for each in root.findall(".//select[@name='where.quoted']/option")][1:]
    assert len(set(parameters)) == len(values)
    assert '""' in parameters
    for parameter in parameters:
        root = page(client, metric_url(), **{"where.quoted": parameter, "range": "2d", "period": "day"})
        found = client.get(metric_url(), {"where.quoted": parameter, "range": "2d", "format": "json"}).json()
        assert table(root)[1][-1][1] == f"{values.index(found['where']['quoted']) + 1} EUR"
        (chosen,) = root.findall(".//select[@name='where.quoted']/option[@selected]")
        assert chosen.get("value") == parameter


def test_the_page_says_what_the_overflow_series_may_hold(orders, client, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    metric("orders", 70, labels={"plan": "team"})
    unknown = "The labels of the series “overflow” are not known, so "
    root = page(client, metric_url(), **{"where.plan": "pro"})
    assert f"{unknown}some of its events may match the filter." in text(root)
    assert (table(root)[0][-1], table(root)[1][-1][-1]) == ("Overflow", "70 EUR")
    root = page(client, metric_url(), split="plan")
    assert f"{unknown}it is apart from the values." in text(root)
    assert unknown not in text(page(client, metric_url()))


def test_links_keep_the_other_parameters(orders, client):
    chosen = {"split": "plan", "start": "2026-11-01", "end": "2026-11-20", "period": "week"}
    links = main_links(page(client, metric_url(), **chosen))
    assert query_of(links["CSV"]) == {**chosen, "format": "csv"}
    assert query_of(links["JSON"]) == {**chosen, "format": "json"}
    assert query_of(links["7 days"]) == {"split": "plan", "range": "7d"}
    named = main_links(page(client, metric_url(), range="52w", split="plan"))
    assert query_of(named["CSV"]) == {"range": "52w", "split": "plan", "format": "csv"}


def test_the_form_shows_the_chosen_values(orders, client):
    root = page(client, metric_url(), range="52w", period="month")
    values = {each.get("name"): each.get("value") for each in root.findall(".//*[@id='content-main']//input")}
    assert values == {"range": "52w", "start": "2025-12-01", "end": "2026-11-23"}
    assert [each.get("value") for each in root.findall(".//select[@name='period']/option[@selected]")] == ["month"]


def mistakes(root):
    return [text(each) for each in root.iter() if "errorlist" in (each.get("class") or "").split()]


def test_an_error_is_shown_at_its_field(orders, client):
    root = page(client, metric_url(), start="2026-02-31", end="2026-03-31")
    field = root.find(".//*[@id='id_start']")
    assert (field.get("value"), field.get("aria-invalid")) == ("2026-02-31", "true")
    assert text(root.find(f".//*[@id='{field.get('aria-describedby')}']")) == "Enter a valid date."
    assert root.find(".//*[@id='id_end']").get("value") == "2026-03-31"


def test_a_range_that_is_compared_with_counted_days_shows_the_change(orders, client):
    def facts(**query):
        return text(page(client, metric_url(), **query).find(".//dl[@class='app-metrics-facts']"))

    running, over = facts(range="7d"), facts(start="2026-11-01", end="2026-11-05")
    assert "; without the unfinished period" in running
    assert "counted since" not in running
    assert ", before " in over
    assert "unfinished" not in over


def test_whole_periods_are_named_if_they_differ_from_the_chosen_dates(orders, client):
    chosen = {"start": "2026-11-04", "end": "2026-11-11"}
    assert "Whole periods: 2–15 November 2026." in text(page(client, metric_url(), period="week", **chosen))
    assert "Whole periods" not in text(page(client, metric_url(), period="day", **chosen))


def test_a_split_into_very_many_label_sets_takes_fewer_points(orders, client, monkeypatch):
    monkeypatch.setattr(forms, "MOST_SPLIT_POINTS", 60)
    assert not mistakes(page(client, metric_url(), start="2026-11-01", end="2026-11-15", split="plan"))
    assert mistakes(page(client, metric_url(), range="91d", split="plan")) == [
        "The chart shows at most 20 points: choose a longer period or fewer days."
    ]


def test_label_sets_that_the_database_does_not_add_up_take_fewer_points_also_unsplit(orders, client, monkeypatch):
    monkeypatch.setattr(forms, "MOST_ADDED_POINTS", 60)
    shown = page(client, metric_url(), range="91d")
    refused = ["The chart shows at most 20 points: choose a longer period or fewer days."]
    assert mistakes(shown) == (refused if connections[Metric.objects.db].vendor == "sqlite" else [])


def test_a_curve_without_numbers_has_no_entry_in_the_legend(client):
    create_metric("Orders", "orders")
    metric("orders")
    aggregate()
    legend = page(client, metric_url(), range="28d").findall(".//figcaption//li")
    assert [text(each) for each in legend] == ["Total"]


MISTAKES = [
    {"range": "x"},
    {"period": "minute"},
    {"split": "nothing"},
    {"where.plan": "nothing"},
    {"where.nothing": "pro"},
    {"start": "x"},
    {"start": "01.11.2026"},
    {"start": "2026-13-01"},
    {"end": "30.11.2026"},
    {"start": "2026-11-02", "end": "2026-11-01"},
    {"start": "0001-01-01"},
    {"end": "0001-01-01"},
    {"end": "0001-01-01", "range": "5y"},
    {"end": "9999-12-31", "range": "5y"},
    {"start": "0001-01-01", "end": "9999-12-31", "period": "year"},
    {"start": "1001-01-01", "end": "9998-12-31", "period": "year"},
    {"start": "2020-01-01"},
    {"range": "28d", "period": "hour"},
    {"split": "a\0b"},
    {"start": "９" * 4 + "-12-31"},
]


def test_a_bad_choice_shows_the_default_range_and_an_error(orders, client):
    for query in MISTAKES:
        root = page(client, metric_url(), **query)
        assert len(table(root)[1]) == 28, query
        assert mistakes(root), query
        answer = client.get(metric_url(), {**query, "format": "csv"})
        assert answer.status_code == 400, query
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.content.strip()
        assert client.get(metric_url(), {**query, "format": "json"}).status_code == 400, query


def test_an_unknown_format_is_a_page(orders, client):
    assert client.get(metric_url(), {"format": "xml"})["Content-Type"].startswith("text/html")


values = st.one_of(
    st.text(max_size=20),
    st.sampled_from([
        "\0", "9" * 5000, "-1", "0001-01-01", "9999-12-31", "1001-01-01", "9998-12-31", "2026-11-23", "2026-03-29",
        "٣", "²", "ä", "\ud7ff", "%00", "plan", "hour", "year", "week", "2d", "5y", "csv", "json", "-change", "name",
    ]),
)  # fmt: skip
PARAMETERS = [
    "range",
    "period",
    "start",
    "end",
    "split",
    "where.plan",
    "where.",
    "format",
    "q",
    "set",
    "kind",
    "sort",
    "page",
]


@hypothesis_settings(max_examples=examples(75), suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(PARAMETERS), values, max_size=5), st.booleans())
def test_no_query_causes_a_server_error(client, orders, query, is_overview):
    answer = client.get(overview_url() if is_overview else metric_url(), query)
    assert answer.status_code in ((200,) if is_overview else (200, 400))


def test_a_malformed_query_string_gets_a_page(orders, client):
    for query in ("%", "%ff%fe=1", "range=2d&range=5y", "&&==&", "start=%ED%A0%80", "page=1&page=2"):
        for url in (overview_url(), metric_url()):
            assert client.get(f"{url}?{query}").status_code == 200, query


def test_a_metric_without_numbers_says_so(client):
    create_metric("Queue", "queue", "gauge")
    root = page(client, metric_url("queue"))
    assert "Nothing was recorded in this range." in text(root)
    assert not root.findall(".//figure")
    assert client.get(metric_url("queue"), {"format": "csv"}).status_code == 200


@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_gauges_and_timers_show_their_range(kind, client):
    create_metric("Load", "load", kind)
    for number in (2, 4):
        record("load", kind, number, at=NOON.replace(minute=number))
    root = page(client, metric_url("load"))
    heads, rows = table(root)
    first = {"gauge": ["Last value"], "timer": ["Mean", "p50", "p95", "p99"]}[kind]
    assert heads == ["Day", *first, "Lowest", "Highest", "Events", "Previous 4 weeks"]
    *values, low, high = {"gauge": ("4", "2", "4"), "timer": ("3 s", "2 s", "4 s", "4 s", "2 s", "4 s")}[kind]
    assert rows[-1][1:] == [*values, low, high, "2", "–"]
    assert f"between {low} and {high}" in text(root)


@pytest.fixture
def waits(client):
    """A timer with a hundred durations from 10 ms to 1 s on each of three days, and a second one today."""
    create_metric("Waits", "waits", "timer")
    with collect():
        for days in range(3):
            for number in range(1, 101):
                moment = NOON - timedelta(days=days, minutes=1)
                record("waits", "timer", Decimal(number) / 100, {"page": str(number % 2)}, moment)
    aggregate()
    return Metric.objects.get(slug="waits")


def legend(root):
    return [text(each) for each in root.findall(".//figure[@class='app-metrics-chart']/figcaption//li")]


def fact(root, label):
    """Return the value and the note of a fact above the chart."""
    (found,) = [each for each in root.iter("div") if each.find("dt") is not None and text(each.find("dt")) == label]
    return text(found.find("dd"))


def test_percentiles_are_a_fact_curves_and_columns_in_the_unit_of_the_metric(waits, client):
    root = page(client, metric_url("waits"))
    assert fact(root, "p95 in this range") == "947 ms p50 495 ms, p99 989 ms"
    assert legend(root) == ["Mean", "p50", "p95", "p99"]
    points = [each.get("aria-label").replace("\xa0", " ") for each in root.iter() if each.get("class") == "slot"]
    assert points[-2] == "Sunday, 22 November 2026; Mean: 505 ms; p50: 495 ms; p95: 947 ms; p99: 989 ms"
    heads, rows = table(root)
    assert heads[1:5] == ["Mean", "p50", "p95", "p99"]
    assert rows[-2][1:5] == ["505 ms", "495 ms", "947 ms", "989 ms"]
    assert rows[0][1:5] == ["–"] * 4


def test_percentiles_are_in_the_files(waits, client):
    found = rows_of(client.get(metric_url("waits"), {"format": "csv"}))
    assert found[0] == ["start", "value", "p50", "p95", "p99", "minimum", "maximum", "count", "previous"]
    columns = client.get(metric_url("waits"), {"format": "json"}).json()["columns"]
    known = {each["key"]: each["numbers"][-2] for each in columns if each["role"] == "percentile"}
    assert list(known.values()) == found[-2][2:5]
    exact = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    assert {key: float(number) for key, number in known.items()} == pytest.approx(exact, rel=0.011)


def test_unknown_percentiles_are_not_available_for_a_reason(waits, client):
    Total.objects.filter(metric=waits, start="2026-11-22").update(histogram=None)
    root = page(client, metric_url("waits"))
    reason = "Some numbers were recorded before the upgrade that brought percentiles, or as another kind, or their "
    reason += "histogram is damaged."
    assert fact(root, "p95 in this range") == f"n/a {reason}"
    _, rows = table(root)
    assert [row[1:5] for row in rows[-2:]] == [
        ["505 ms", "n/a", "n/a", "n/a"],
        ["505 ms", "495 ms", "947 ms", "989 ms"],
    ]
    assert "Periods without percentiles are left out." in text(root)
    assert rows_of(client.get(metric_url("waits"), {"format": "csv"}))[-2][2:5] == [""] * 3


def test_a_split_has_the_percentile_of_each_value_beside_its_mean(waits, client):
    for seconds, form in ((1, "pdf"), (3, "pdf"), (8, "csv")):
        record("waits", "timer", seconds, {"format": form})
    root = page(client, metric_url("waits"), split="format")
    heads, rows = table(root)
    assert heads == ["Day", "(none)", "(none) p95", "pdf", "pdf p95", "csv", "csv p95"]
    assert rows[-1][3:] == ["2 s", "3 s", "8 s", "8 s"]
    assert rows[-2][3:] == ["–"] * 4
    assert len(root.findall(".//figcaption//li")) == 3
    found = rows_of(client.get(metric_url("waits"), {"format": "csv", "split": "format"}))
    assert (found[0][3:], found[-1][3:]) == (["pdf", "pdf p95", "csv", "csv p95"], ["2", "3", "8", "8"])
    Total.objects.filter(metric=waits, start="2026-11-22").update(histogram=None)
    assert table(page(client, metric_url("waits"), split="format"))[1][-2][1:3] == ["505 ms", "n/a"]


def test_histograms_of_very_many_label_sets_are_not_read(waits, client, monkeypatch):
    monkeypatch.setattr(metric_facts, "MOST_HISTOGRAMS", 2 * 2 * 28 - 1)
    root = page(client, metric_url("waits"))
    assert fact(root, "p95 in this range").startswith("n/a There are too many label sets for percentiles of this range")
    assert "Distribution" not in text(root)
    monkeypatch.setattr(metric_facts, "MOST_HISTOGRAMS", 2 * 2 * 28)
    assert "n/a" not in fact(page(client, metric_url("waits")), "p95 in this range")


@pytest.mark.parametrize("query", [{}, {"split": "page"}], ids=str)
def test_the_distribution_is_a_picture_and_a_table(query, waits, client):
    root = page(client, metric_url("waits"), **query)
    assert "How many durations were how long, on a logarithmic scale. The strongest shade is 30." in text(root)
    (figure,) = [each for each in root.iter("figure") if each.get("class") == "app-metrics-heat-map"]
    (drawn,) = [each for each in figure.iter() if each.get("role") == "img"]
    cell = "Saturday, 21 November 2026; 500 ms to 707 ms: 20"
    assert cell in [text(each) for each in drawn.findall(".//{*}title")]
    heads = [text(each) for each in figure.findall(".//thead//th")]
    row = [text(each) for each in figure.findall(".//tbody/tr")[-3]]
    assert (heads[0], heads[-1], row[0]) == ("Day", "707 ms to 1 s", "Saturday, 21 November 2026")
    assert row[heads.index("500 ms to 707 ms")] == "20"
    assert sum(map(int, row[1:])) == 100


def test_counters_and_unknown_histograms_have_no_distribution(waits, orders, client):
    assert "Distribution" not in text(page(client, metric_url("orders")))
    Total.objects.filter(metric=waits).update(histogram=None)
    assert "Distribution" not in text(page(client, metric_url("waits")))


@pytest.fixture
def visits(client):
    """A counter that grew over 20 weeks: one event at nine o'clock, three in the evening."""
    create_metric("Visits", "visits")
    with collect():
        for days in range(140):
            for hour, number in ((9, 1), (20, 3)):
                moment = (NOON - timedelta(days=days)).replace(hour=hour)
                if moment < NOON:
                    metric("visits", number, at=moment)
    aggregate()
    return Metric.objects.get(slug="visits")


def test_the_running_period_shows_where_it_is_heading_and_tables_and_files_do_not(visits, client):
    root = page(client, metric_url("visits"))
    assert legend(root) == ["Total", "Previous 4 weeks", "Projected: if the period goes on as usual"]
    points = [each.get("aria-label") for each in root.iter() if each.get("class") == "slot"]
    assert points[-1] == "Monday, 23 November 2026, so far; Total: 1; Monday, 26 October 2026: 4; Projected: 4"
    assert table(root)[1][-1] == ["Monday, 23 November 2026, so far", "1", "1", "4"]
    found = rows_of(client.get(metric_url("visits"), {"format": "csv"}))
    assert found[-1] == ["2026-11-23", "1", "1", "4"]
    assert "projected" not in client.get(metric_url("visits"), {"format": "json"}).content.decode()


def test_the_hours_of_the_week_are_a_picture_and_a_table(visits, client):
    root = page(client, metric_url("visits"))
    assert "The mean total of an hour in this range. The strongest shade is 3." in text(root)
    (figure,) = [each for each in root.iter("figure") if each.get("class") == "app-metrics-heat-map"]
    (drawn,) = [each for each in figure.iter() if each.get("role") == "img"]
    assert drawn.get("aria-label") == "By weekday and hour; highest: Monday, 8 p.m.: 3"
    heads = [text(each) for each in figure.findall(".//thead//th")]
    assert (heads[0], heads[1], heads[-1]) == ("Hour", "Monday", "Sunday")
    rows = [[text(each) for each in row] for row in figure.findall(".//tbody/tr")]
    assert (len(rows), rows[0]) == (24, ["midnight", *["0"] * 7])
    assert (rows[9], rows[20]) == (["9 a.m.", *["1"] * 7], ["8 p.m.", *["3"] * 7])


def test_without_hours_there_is_no_picture_of_them(visits, client):
    Total.objects.filter(period="hour", start__lt="2026-11-01").delete()
    assert not list(page(client, metric_url("visits")).iter("details"))


# Downloads


def rows_of(answer):
    assert answer.status_code == 200
    return list(csv.reader(StringIO(answer.content.decode(), newline=""), strict=True))


def exact(cell):
    return cell.replace(",", "").replace("–", "").removesuffix(" EUR")


@pytest.mark.parametrize("query", [{}, {"split": "plan"}, {"range": "2d"}, {"range": "5y"}], ids=str)
def test_downloaded_files_have_the_numbers_of_the_table(query, orders, client):
    heads, rows = table(page(client, metric_url(), **query))
    found = rows_of(client.get(metric_url(), {**query, "format": "csv"}))
    assert [row[1:] for row in found[1:]] == [[exact(cell) for cell in row[1:]] for row in rows]
    data = json.loads(client.get(metric_url(), {**query, "format": "json"}).content)
    assert data["starts"] == [row[0] for row in found[1:]]
    columns = [["" if number is None else number for number in column["numbers"]] for column in data["columns"]]
    assert [list(row) for row in zip(*columns, strict=True)] == [row[1:] for row in found[1:]]
    assert len(found[0]) == len(heads) == len(columns) + 1
    if not query.get("split"):
        assert found[0] == ["start", "value", "count", "previous"]


def test_a_file_has_a_type_a_name_and_a_description(orders, client):
    answer = client.get(metric_url(), {"format": "csv", "range": "52w"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="orders-week-2025-12-01-2026-11-23.csv"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.content.count(b"\r\n") == 53
    assert answer.content.count(b"\n") == 53
    data = client.get(metric_url(), {"format": "json", "range": "52w", "split": "plan"})
    assert (data["Content-Type"], data["X-Content-Type-Options"]) == ("application/json", "nosniff")
    said = {name: value for name, value in data.json().items() if name not in ("starts", "columns")}
    assert said == {
        "slug": "orders", "kind": "counter", "unit": "EUR", "period": "week", "first": "2025-12-01",
        "last": "2026-11-23", "split": "plan", "where": {}, "annotations": [],
    }  # fmt: skip


def test_markup_in_a_file_of_numbers_is_inert(client):
    create_metric(EVIL, "orders")
    metric("orders", labels={"plan": EVIL})
    aggregate()
    answer = client.get(metric_url(), {"format": "json", "split": "plan"})
    assert b"<" not in answer.content
    assert EVIL in [column["key"] for column in answer.json()["columns"]]


def test_files_are_exact(client):
    create_metric("Orders", "orders")
    metric("orders", 10**17 + 1)
    aggregate()
    metric("orders", 10**17)
    for name in ("csv", "json"):
        assert "200000000000000001" in client.get(metric_url(), {"format": name}).content.decode()


def headings(client, *values):
    """Return the headings of a file with a column for each value of a label."""
    create_metric("Orders", "orders")
    for number, value in enumerate(values):
        metric("orders", 100 - number, labels={"plan": value})
    start, *heads = rows_of(client.get(metric_url(), {"format": "csv", "split": "plan"}))[0]
    assert start == "start"
    return heads


def test_formulas_in_headings_are_escaped(client):
    formulas = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=cmd|' /C calc'!A0"]
    assert headings(client, *formulas) == [f"'{value}" for value in formulas]


def test_formulas_after_other_separators_are_escaped(client):
    escaped = {
        "a;=cmd()": "a;'=cmd()",
        "a;b;@x": "a;b;'@x",
        "a\n-1": "a\n'-1",
        "a\r\n+1": "a\r\n'+1",
        "a\t=1": "a\t'=1",
    }
    assert headings(client, *escaped) == [*escaped.values()]


def test_headings_keep_any_characters(client):
    values = ['a"b,c', "a\r\nb", "a\nb", " a ", "ä€📈", ";"]
    assert headings(client, *values) == values
    columns = client.get(metric_url(), {"format": "json", "split": "plan"}).json()["columns"]
    assert [column["key"] for column in columns] == values


def test_hours_have_their_offset_in_files(orders, client):
    query = {"format": "csv", "start": "2026-11-22", "end": "2026-11-22", "period": "hour"}
    (_, first, *_) = rows_of(client.get(metric_url(), query))
    assert first[0] == "2026-11-22T00:00:00+01:00"


# Hostile names


def test_hostile_names_are_text_everywhere(client):
    evil = create_metric(EVIL, "orders", description=EVIL, unit=EVIL[:20])
    create_metric_set(EVIL, [evil])
    metric("orders", labels={EVIL: EVIL, "plan": EVIL})
    for url, query in ((overview_url(), {"q": EVIL}), (metric_url(), {"split": EVIL}), (metric_url(), {})):
        root = page(client, url, **query)
        assert not list(root.iter("img"))
        assert EVIL in unescape("".join(root.itertext()))
    assert "<img" not in client.get(metric_url(), {"format": "csv", "start": EVIL}).headers["Content-Type"]
    assert client.get(metric_url(), {"format": "json", "split": EVIL}).json()["columns"][0]["key"] == EVIL


@pytest.mark.parametrize("language", ["de", "he", "ja"])
def test_the_pages_are_shown_in_other_languages(language, several, client, settings):
    settings.LANGUAGE_CODE = language
    for url in (overview_url(), metric_url(), metric_url("queue"), metric_url("export"), metric_url() + "?split=plan"):
        answer = client.get(url)
        assert answer.status_code == 200
        root = html5lib.parse(answer.content.decode(), namespaceHTMLElements=False)
        assert_well_made(root)
        assert root.get("lang") == language
        assert root.get("dir") == ("rtl" if language == "he" else "ltr")
