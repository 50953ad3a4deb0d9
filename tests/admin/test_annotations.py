"""Annotations in the admin, and on the page of a metric."""

from datetime import datetime
from zoneinfo import ZoneInfo

import html5lib
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.models import Annotation
from app_metrics.models.creation import create_annotation, create_metric
from tests.admin.test_menu import staff_with

NOON = datetime(2026, 11, 23, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
ADD, LIST = (f"admin:app_metrics_annotation_{page}" for page in ("add", "changelist"))


@pytest.fixture
def orders(database):
    with freeze_time(NOON):
        metric("orders", 5)
        yield create_metric("Orders", "orders")


@pytest.fixture
def ada(orders):
    browser = Client()
    browser.force_login(User.objects.create_superuser("ada"))
    return browser


def page(browser):
    response = browser.get(reverse("admin:app_metrics_dashboard_metric", args=["orders"]))
    assert response.status_code == 200
    return html5lib.parse(response.content.decode(), namespaceHTMLElements=False)


def text(element):
    return " ".join("".join(element.itertext()).split())


def links(root):
    return {text(each): each.get("href") for each in root.findall(".//*[@id='content-main']//a")}


def form(**fields):
    return {"text": "Sale", "at_0": "2026-11-23", "at_1": "09:00", "url": "", "metric": "", **fields}


@pytest.mark.parametrize(("language", "names"), [("en", ["Date", "Time"]), ("de", ["Datum", "Uhrzeit"])])
def test_the_inputs_of_the_date_and_the_time_have_a_name(language, names, ada, settings):
    settings.LANGUAGE_CODE = language
    answer = ada.get(reverse(ADD))
    root = html5lib.parse(answer.content.decode(), namespaceHTMLElements=False)
    assert [root.find(f".//input[@name='at_{number}']").get("aria-label") for number in (0, 1)] == names


def test_an_annotation_is_added_changed_and_deleted(ada, orders):
    assert ada.post(reverse(ADD), form(metric=orders.pk, url="https://example.com/")).status_code == 302
    made = Annotation.objects.get()
    assert (made.text, made.metric, made.moment) == ("Sale", orders, NOON.replace(hour=9, minute=0))
    assert (
        ada.post(reverse("admin:app_metrics_annotation_change", args=[made.pk]), form(text="Fair")).status_code == 302
    )
    made.refresh_from_db()
    assert (made.text, made.metric) == ("Fair", None)
    assert "Fair" in ada.get(reverse(LIST), {"q": "fair"}).content.decode()
    ada.post(reverse("admin:app_metrics_annotation_delete", args=[made.pk]), {"post": "yes"})
    assert not Annotation.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "javascript:alert(1)"},
        {"text": " "},
        {"text": "x" * 201},
        {"at_0": "soon"},
        {"at_0": "0999-01-01"},
        {"at_0": "9999-12-31", "at_1": "23:59"},
    ],
)
def test_the_form_refuses_a_bad_field(fields, ada):
    response = ada.post(reverse(ADD), form(**fields))
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not Annotation.objects.exists()


def test_the_page_of_a_metric_lists_its_annotations_with_their_numbers_and_links(ada):
    create_annotation("Release <4.2>", NOON.replace(hour=9), "https://example.com/?a=1&b=2")
    create_annotation("Sale", NOON.replace(day=22))
    root = page(ada)
    listed = [(each.get("value"), text(each)) for each in root.findall(".//ol[@class='app-metrics-annotations']/li")]
    assert listed == [
        ("1", "Sunday, 22 November 2026, 12:30 p.m.: Sale"),
        ("2", "Monday, 23 November 2026, 9:30 a.m.: Release <4.2>"),
    ]
    assert links(root)["Release <4.2>"] == "https://example.com/?a=1&b=2"
    heads = [text(each) for each in root.findall(".//table/thead/tr/th")]
    assert heads[-1] == "Annotations"
    rows = [[text(each) for each in row] for row in root.findall(".//table/tbody/tr")]
    assert [row[-1] for row in rows[-3:]] == ["", "Sale", "Release <4.2>"]


def test_the_list_has_the_colon_of_its_language(ada, settings):
    settings.LANGUAGE_CODE = "fr"
    create_annotation("Soldes", NOON.replace(hour=9))
    (listed,) = page(ada).findall(".//ol[@class='app-metrics-annotations']/li")
    assert text(listed) == "lundi 23 novembre 2026, 09:30 : Soldes"


def test_a_script_in_an_address_is_no_link(ada):
    Annotation.objects.create(text="Click", at=NOON, url="javascript:alert(1)")
    root = page(ada)
    assert "Click" in text(root)
    assert "Click" not in links(root)


def test_the_page_of_a_metric_without_annotations_has_neither_list_nor_column(ada):
    root = page(ada)
    assert root.findall(".//ol[@class='app-metrics-annotations']") == []
    assert "Annotations" not in [text(each) for each in root.findall(".//table/thead/tr/th")]


def test_the_page_of_a_metric_leads_to_a_form_about_it(ada, orders):
    address = links(page(ada))["Add an annotation"]
    root = html5lib.parse(ada.get(address).content.decode(), namespaceHTMLElements=False)
    (chosen,) = root.findall(".//select[@name='metric']/option[@selected]")
    assert chosen.get("value") == str(orders.pk)


@pytest.mark.parametrize(
    ("permissions", "shown"),
    [
        (["view_metric"], set()),
        (["view_metric", "add_annotation"], {"Add an annotation"}),
        (["view_metric", "view_annotation"], {"All annotations"}),
        (["view_metric", "change_annotation"], {"All annotations"}),
    ],
)
def test_the_page_of_a_metric_links_to_what_the_user_may_do(permissions, shown, orders):
    assert {"Add an annotation", "All annotations"} & links(page(staff_with(*permissions))).keys() == shown


# The action of the list of metrics

METRICS = "admin:app_metrics_metric_changelist"


def chosen(*metrics, **fields):
    return {"action": "annotate", "_selected_action": [each.pk for each in metrics], **fields}


def sent(root):
    """Return what the form of a page sends, without the token."""
    found = {}
    for each in root.findall(".//*[@id='content-main']//input[@name]"):
        found.setdefault(each.get("name"), []).append(each.get("value") or "")
    del found["csrfmiddlewaretoken"]
    return found


def test_the_action_annotates_each_of_the_chosen_metrics(ada, orders):
    visits = create_metric("Visits")
    create_metric("Other")
    response = ada.post(reverse(METRICS), chosen(orders, visits))
    assert "Orders" in response.content.decode()
    assert not Annotation.objects.exists()
    fields = sent(html5lib.parse(response.content.decode(), namespaceHTMLElements=False))
    assert ada.post(reverse(METRICS), {**fields, "text": "Sale"}).status_code == 302
    made = [(each.text, each.metric, each.moment) for each in Annotation.objects.order_by("metric__name")]
    assert made == [("Sale", orders, NOON), ("Sale", visits, NOON)]
    assert LogEntry.objects.filter(content_type__model="annotation").count() == 2


def test_the_action_shows_what_is_wrong_and_annotates_nothing(ada, orders):
    fields = chosen(orders, annotated="1", text="", at_0="2026-11-23", at_1="09:00", url="x")
    page = ada.post(reverse(METRICS), fields).content.decode()
    assert "This field is required." in page
    assert "begins with http:// or https://" in page
    assert not Annotation.objects.exists()


def test_the_action_annotates_all_of_them_or_none(ada, orders, monkeypatch):
    def refuse(self, *args, **options):
        if self.metric == orders:
            raise DatabaseError("refused")
        save(self, *args, **options)

    save = Annotation.save
    monkeypatch.setattr(Annotation, "save", refuse)
    fields = chosen(create_metric("Another"), orders, annotated="1", text="Sale", at_0="2026-11-23", at_1="09:00")
    with pytest.raises(DatabaseError):
        ada.post(reverse(METRICS), fields)
    assert not Annotation.objects.exists()


def test_the_action_needs_the_permission_to_add_annotations(orders):
    actions = ".//select[@name='action']/option"
    for permissions, is_offered in ((["change_metric"], False), (["change_metric", "add_annotation"], True)):
        User.objects.all().delete()
        response = staff_with(*permissions).get(reverse(METRICS))
        root = html5lib.parse(response.content.decode(), namespaceHTMLElements=False)
        assert ("annotate" in [each.get("value") for each in root.findall(actions)]) is is_offered
