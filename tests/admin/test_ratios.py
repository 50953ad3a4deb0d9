"""Ratios on the dashboard: the overview, and a page of their own."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from freezegun import freeze_time

from app_metrics import collect, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.dashboard import forms
from app_metrics.dashboard.date_range import RANGES
from app_metrics.models import Metric, MetricSet, Total
from app_metrics.reports.declared_sets import declare
from tests.admin.test_dashboard import WRITES, main_links, page, table, text

SVG = "{http://www.w3.org/2000/svg}svg[@class='chart']"

# A Monday.
NOON = datetime(2026, 11, 23, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
RATIOS = {
    "conversion": {"of": "checkouts", "to": "visits", "as": "percent"},
    "average_order": {"of": "revenue", "to": "checkouts", "unit": "EUR"},
    "free": {"of": {"slug": "checkouts", "labels": {"plan": "free"}}, "to": "checkouts", "as": "percent"},
}
OVERVIEW = "/admin/app_metrics/dashboard/"


@pytest.fixture
def client(database, settings):
    settings.APP_METRICS_RATIOS = RATIOS
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_metric"))
    browser = Client()
    browser.force_login(user)
    with freeze_time(NOON):
        yield browser


@pytest.fixture
def counted(client):
    """Two checkouts of 100 visits on each of 80 days; today and a week ago there are more of them by nine o'clock."""
    with collect():
        for days in range(80):
            at = NOON - timedelta(days=days, hours=3)
            metric("visits", 100, at=at)
            for plan in ("free", "pro"):
                metric("checkouts", labels={"plan": plan}, at=at)
                metric("revenue", Decimal("10.20"), at=at)
    aggregate()
    metric("checkouts", 3, labels={"plan": "pro"})
    metric("visits", 100)


def ratio_url(name="conversion"):
    return reverse("admin:app_metrics_dashboard_ratio", args=[name])


def plain(found):
    return found.replace("\u00a0", " ")


def words(element):
    """Return the texts of an element, also where only a line break separates them."""
    return plain(" ".join(" ".join(element.itertext()).split()))


def overview_rows(client, **query):
    root = page(client, OVERVIEW, **query)
    return {
        row.get("id").removeprefix("ratio-"): [words(cell) for cell in row]
        for row in root.iter("tr")
        if (row.get("id") or "").startswith("ratio-")
    }


def test_the_overview_shows_each_ratio_with_its_two_numbers_and_its_change_in_points(counted, client):
    Metric.objects.filter(slug="revenue").update(unit="EUR")
    rows = overview_rows(client)
    assert list(rows) == list(RATIOS)
    assert rows["conversion"][:6] == [
        "conversion checkouts ÷ visits", "2.5 % 5 ÷ 200", "+0.5 points better, before 2 %", "2 %", "2.5 %", "2.04 %",
    ]  # fmt: skip
    assert rows["average_order"][:3] == [
        "average_order revenue ÷ checkouts", "4.08 EUR 20.40 EUR ÷ 5", "−60 % worse, before 10.20 EUR",
    ]  # fmt: skip
    assert rows["free"][:3] == [
        "free checkouts (plan=free) ÷ checkouts", "20 % 1 ÷ 5", "−30 points before 50 %",
    ]  # fmt: skip


def test_the_change_follows_what_the_entry_calls_better(counted, client, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {**RATIOS["conversion"], "better": "down"}}
    assert overview_rows(client)["conversion"][2] == "+0.5 points worse, before 2 %"
    assert page(client, OVERVIEW).find(".//tr[@id='ratio-conversion']//span[@class='down']") is not None


def test_a_ratio_whose_metrics_were_not_counted_before_has_no_change(client):
    for slug in ("checkouts", "visits"):
        metric(slug, 2, at=NOON - timedelta(days=7, hours=3))
        metric(slug, 2)
    assert overview_rows(client)["conversion"][1:3] == ["100 % 2 ÷ 2", "n/a"]


def test_a_ratio_of_a_metric_that_was_never_counted_before_is_new(client):
    metric("visits", 2, at=NOON - timedelta(days=7, hours=3))
    metric("visits", 2, at=NOON - timedelta(days=20))
    metric("checkouts"), metric("visits")
    assert overview_rows(client)["conversion"][1:3] == ["100 % 1 ÷ 1", "new"]


def test_labels_that_were_not_recorded_before_changed_from_zero(counted, client, settings):
    new = {"of": {"slug": "checkouts", "labels": {"plan": "new"}}, "to": "checkouts", "as": "percent", "better": "down"}
    settings.APP_METRICS_RATIOS = {"new": new}
    metric("checkouts", 5, labels={"plan": "new"})
    assert overview_rows(client)["new"][1:3] == ["50 % 5 ÷ 10", "+50 points worse, before 0 %"]


def test_a_ratio_without_a_denominator_is_not_available(client):
    metric("checkouts")
    assert overview_rows(client)["conversion"][1:] == ["n/a 1 ÷ 0", "n/a", "n/a", "n/a", "n/a", ""]


def test_a_search_finds_ratios_by_name_and_filters_of_metrics_leave_them_out(counted, client):
    assert list(overview_rows(client, q="CONV")) == ["conversion"]
    assert overview_rows(client, kind="counter") == {}
    assert overview_rows(client, q="nothing") == {}


def test_a_set_shows_the_ratios_that_the_settings_give_it(counted, client, settings):
    settings.APP_METRICS_SETS = {"Shop": {"metrics": ["visits"], "ratios": ["free"]}, "Other": {"metrics": ["visits"]}}
    declare()
    found = {each.name: list(overview_rows(client, set=each.pk)) for each in MetricSet.objects.all()}
    assert found == {"Shop": ["free"], "Other": []}


def test_without_ratios_the_overview_has_no_table_of_them(counted, client, settings):
    settings.APP_METRICS_RATIOS = {}
    assert len(page(client, OVERVIEW).findall(".//*[@id='content-main']//table")) == 1


def test_the_page_of_a_ratio_has_a_chart_and_a_table_with_both_numbers(counted, client):
    Metric.objects.filter(slug="revenue").update(unit="EUR")
    root = page(client, ratio_url("average_order"))
    assert root.find(f".//{SVG}").get("aria-label") == "Chart of average_order"
    heads, rows = table(root)
    assert heads == ["Day", "Ratio", "revenue", "checkouts", "Previous 4 weeks"]
    assert len(rows) == 28
    assert [plain(cell) for cell in rows[-1]] == [
        "Monday, 23 November 2026, so far", "4.08 EUR", "20.40 EUR", "5", "10.20 EUR",
    ]  # fmt: skip
    facts = {text(each.find("dt")): plain(text(each.find("dd"))) for each in root.iterfind(".//dl/div")}
    assert facts == {
        "In this range": "9.68 EUR 571.20 EUR ÷ 59",
        "Change": "±0 % 10.20 EUR, before 10.20 EUR; without the unfinished period",
        "Numerator": "revenue",
        "Denominator": "checkouts",
    }


def test_the_change_of_a_percentage_is_in_points_and_says_which_news_it_is(counted, client):
    metric("checkouts", 54, labels={"plan": "pro"}, at=NOON - timedelta(days=2))
    root = page(client, ratio_url())
    facts = {text(each.find("dt")): plain(text(each.find("dd"))) for each in root.iterfind(".//dl/div")}
    assert facts["Change"] == "+2 points better, 4 %, before 2 %; without the unfinished period"


def test_a_range_that_was_counted_only_partly_is_no_base(counted, client):
    shown = text(page(client, ratio_url(), start="2026-10-10").find(".//dl"))
    assert "n/a counted since 5 September 2026" in shown


def test_a_ratio_is_new_beside_a_range_before_counting_began(counted, client):
    assert "new counted since 5 September 2026" in text(page(client, ratio_url(), range="52w").find(".//dl"))


def test_the_page_and_those_of_its_metrics_link_to_each_other(counted, client):
    links = main_links(page(client, ratio_url()))
    assert links["visits"] == reverse("admin:app_metrics_dashboard_metric", args=["visits"])
    links = main_links(page(client, links["visits"]))
    assert links["conversion"] == ratio_url()
    assert "average_order" not in links
    assert main_links(page(client, OVERVIEW))["conversion"] == ratio_url()


def test_a_metric_that_does_not_exist_yet_is_named_as_such(client):
    root = page(client, ratio_url())
    assert "visits not recorded yet" in text(root.find(".//dl"))
    assert "There is no ratio in this range" in text(root.find(".//*[@class='app-metrics-empty']"))


def test_the_page_says_that_a_number_is_unknown_instead_of_calling_it_zero(visited, client):
    def why():
        return text(page(client, ratio_url("stickiness"), start="2026-11-20").find(".//*[@class='app-metrics-empty']"))

    Total.objects.filter(period="day").update(uniques=b"damaged")
    assert why() == "There is no ratio in this range, because one of its two numbers is unknown."
    Total.objects.all().delete()
    assert why() == "There is no ratio in this range, because the denominator is zero."


def test_a_ratio_of_zero_is_drawn(client):
    metric("visits", 5)
    assert page(client, ratio_url()).find(f".//{SVG}") is not None


def test_the_numbers_are_files_too(counted, client):
    lines = client.get(ratio_url(), {"format": "csv"}).content.decode().splitlines()
    assert (lines[0], lines[-1]) == ("start,value,numerator,denominator,previous", "2026-11-23,2.5,5,200,2")
    data = json.loads(client.get(ratio_url(), {"format": "json"}).content)
    assert (data["slug"], data["unit"], data["columns"][1]["numbers"][-1]) == ("conversion", "%", "5")
    refused = client.get(ratio_url(), {"format": "csv", "start": "2026-11-24", "end": "2026-11-23"})
    assert (refused.status_code, refused.content) == (400, b"The first date is after the last one.")


@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "year"])
def test_every_period_has_a_chart(counted, client, period):
    _, rows = table(page(client, ratio_url(), period=period, start="2026-11-20", end="2026-11-23"))
    assert plain(rows[-1][1]) in ("2.5 %", "3 %", "2.04 %", "2.01 %")


@pytest.mark.parametrize(
    "of", [{"slug": "checkouts", "labels": {"plan": "free"}}, {"slug": "checkouts", "field": "p95"}], ids=str
)
def test_a_ratio_that_reads_each_label_set_has_a_chart_of_fewer_points(of, counted, client, monkeypatch, settings):
    settings.APP_METRICS_RATIOS = {**RATIOS, "other": {"of": of, "to": "checkouts"}}
    monkeypatch.setattr(forms, "MOST_SPLIT_POINTS", 40)
    assert "at most 20 points" in text(page(client, ratio_url("other")).find(".//*[@id='content-main']"))
    assert "at most" not in text(page(client, ratio_url()).find(".//*[@id='content-main']"))


def test_the_pages_write_nothing_and_need_no_more_queries_for_many_ratios(counted, client, database, settings):
    def queries(url):
        with CaptureQueriesContext(connections[database]) as captured:
            assert client.get(url).status_code == 200
        found = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
        assert [sql for sql in found if WRITES.match(sql)] == []
        return len(found)

    settings.APP_METRICS_RATIOS = {"conversion": RATIOS["conversion"]}
    one = queries(OVERVIEW)
    settings.APP_METRICS_RATIOS = {f"ratio_{number}": {"of": "checkouts", "to": "visits"} for number in range(30)}
    assert queries(OVERVIEW) == one
    settings.APP_METRICS_RATIOS = {}
    assert one == queries(OVERVIEW) + 2
    settings.APP_METRICS_RATIOS = RATIOS
    assert queries(ratio_url("free")) <= 12
    assert queries(ratio_url()) <= 13


def test_others_may_not_see_it_and_do_not_learn_which_ratios_exist(client):
    guest = Client()
    guest.force_login(User.objects.create_user("guest", is_staff=True))
    answers = [guest.get(ratio_url(name)) for name in ("conversion", "missing")]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].content == answers[1].content
    assert client.get(ratio_url("missing")).status_code == 404
    assert client.post(ratio_url()).status_code == 405


@pytest.mark.parametrize("language", ["de", "fr"])
def test_the_pages_are_translated(counted, client, settings, language):
    english = ("Ratio<", "Numerator", "Denominator", "points<", "In this range", "Ratios of this metric")

    def found():
        addresses = (OVERVIEW, ratio_url(), main_links(page(client, ratio_url()))["visits"])
        return "".join(client.get(each).content.decode() for each in addresses)

    assert [each for each in english if each not in found()] == []
    settings.LANGUAGE_CODE = language
    assert [each for each in english if each in found()] == (["Ratio<", "points<"] if language == "fr" else [])


STICKINESS = {
    "of": {"slug": "users", "field": "unique", "days": 1},
    "to": {"slug": "users", "field": "unique", "days": 30},
    "as": "percent",
}


@pytest.fixture
def visited(client, settings):
    """Of ten users, one more comes today and each day before, up to nine; before that nobody came for 51 days."""
    settings.APP_METRICS_RATIOS = {"stickiness": STICKINESS}
    with collect():
        for days in (*range(9), 60):
            for user in range(9 - days if days < 9 else 10):
                unique("users", user, at=NOON - timedelta(days=days, hours=3))
    aggregate()


def test_the_overview_shows_stickiness_and_why_it_has_no_change(visited, client):
    assert overview_rows(client)["stickiness"][:6] == [
        "stickiness users (different, 1 day) ÷ users (different, 30 days)",
        "100 % 9 ÷ 9",
        "n/a It covers whole days, so it is not compared up to the same time.",
        "100 %",
        "100 %",
        "100 %",
    ]


def test_the_page_of_stickiness_has_the_days_that_end_with_each_point(visited, client):
    root = page(client, ratio_url("stickiness"))
    heads, rows = table(root)
    assert heads[2:4] == ["users (different, 1 day)", "users (different, 30 days)"]
    assert [plain(cell) for cell in rows[-2]][1:4] == ["100 %", "8", "8"]
    facts = {text(each.find("dt")): plain(text(each.find("dd"))) for each in root.iterfind(".//dl/div")}
    assert facts["At the end of this range"] == "100 % 9 ÷ 9"


def test_the_page_says_that_an_hour_has_no_stickiness(visited, client):
    address = ratio_url("stickiness")
    empty = text(page(client, address, range="2d", period="hour").find(".//*[@class='app-metrics-empty']"))
    assert empty == "There is no ratio of an hour, because it covers whole days."


@pytest.mark.parametrize("name", RANGES)
def test_every_range_of_stickiness_shows_some(visited, client, name):
    assert page(client, ratio_url("stickiness"), range=name).find(f".//{SVG}") is not None


@pytest.mark.parametrize(("days", "period", "most"), [(1, "day", 20), (30, "day", 20), (30, "week", 5)])
def test_days_that_are_read_for_each_point_limit_the_points(visited, client, monkeypatch, settings, days, period, most):
    settings.APP_METRICS_RATIOS = {"stickiness": {**STICKINESS, "to": {**STICKINESS["to"], "days": days}}}
    monkeypatch.setattr(forms, "MOST_SPLIT_POINTS", 40)
    shown = page(client, ratio_url("stickiness"), period=period, start="2026-01-01")
    assert f"at most {most} points" in text(shown.find(".//*[@id='content-main']"))


def test_a_range_whose_days_were_counted_only_partly_is_no_base(visited, client):
    def change(start, end="2026-11-22"):
        root = page(client, ratio_url("stickiness"), start=start, end=end)
        facts = {text(each.find("dt")): plain(text(each.find("dd"))) for each in root.iterfind(".//dl/div")}
        return facts["Change"].split()[0]

    # Counting began on 24 September, and nobody came in the 30 days from the next day on.
    assert change("2026-11-22") == "±0"
    assert change("2026-10-25") == "new"
    assert change("2026-10-24") == "n/a"
    # The 30 days up to the end of the four days before these begin on 20 September.
    assert change("2026-10-20", "2026-10-23") == "n/a"
