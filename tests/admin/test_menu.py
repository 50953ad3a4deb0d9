"""The admin's menu shows four entries at most to readers of the health page, which links to everything else."""

import html5lib
import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from app_metrics.admin.reports import DeliveryAdmin
from app_metrics.models import Delivery

HEALTH = "admin:app_metrics_dashboard_health"
OWN_PAGE = "/admin/app_metrics/"
OFF_MENU = {
    "aggregationrun": "Aggregation runs",
    "annotation": "Annotations",
    "backfill": "Backfills",
    "delivery": "Deliveries",
    "importedfile": "Imported files",
    "item": "Pending items",
    "milestone": "Milestones",
    "notice": "Notifications",
    "quarantineditem": "Quarantined items",
    "total": "Totals",
    "unsubscription": "Unsubscriptions",
}
RECORDS = "nav[@aria-labelledby='records']"
RULES = {"Too few": {"metric": "orders", "period": "day", "below": 1}}


@pytest.fixture
def ada(db):
    """A superuser's browser."""
    return browser_of(User.objects.create_superuser("ada"))


def browser_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def staff_with(*permissions):
    """Return the browser of a user with these permissions and no others."""
    user = User.objects.create_user("guest", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=permissions, content_type__app_label="app_metrics")
    )
    assert user.user_permissions.count() == len(permissions)
    return browser_of(user)


def address(model):
    return reverse(f"admin:app_metrics_{model}_changelist")


def links(browser, url, path):
    """Return the texts of the links below the elements that `path` finds, by address."""
    response = browser.get(url)
    assert response.status_code == 200
    root = html5lib.parse(response.content.decode(), namespaceHTMLElements=False)
    return {link.get("href"): "".join(link.itertext()).strip() for link in root.findall(f".//{path}//a")}


def menu(browser, url):
    """Return the addresses and texts of this app's entries on the menu."""
    return {href: text for href, text in links(browser, url, "th[@scope='row']").items() if href.startswith(OWN_PAGE)}


@pytest.mark.parametrize(("rules", "alerts"), [({}, set()), (RULES, {"Alerts"})], ids=["no rules", "rules"])
@pytest.mark.parametrize("page", ["index", "app_list", "auth_group_changelist"])
def test_the_menu_shows_alerts_only_if_rules_exist(page, rules, alerts, ada, settings):
    settings.APP_METRICS_ALERTS = rules
    url = OWN_PAGE if page == "app_list" else reverse(f"admin:{page}")
    assert {*menu(ada, url).values()} == {"Dashboard", "Metrics", "Metric sets"} | alerts


@pytest.mark.parametrize("model", [*OFF_MENU, "alert"])
def test_the_menu_shows_other_lists_to_users_who_cannot_see_the_health_page(model, db):
    reader = staff_with(f"view_{model}")
    assert reader.get(reverse(HEALTH)).status_code == 403
    for url in (reverse("admin:index"), OWN_PAGE, address(model)):
        assert menu(reader, url) == {address(model): {**OFF_MENU, "alert": "Alerts"}[model]}


def test_the_menu_of_a_site_without_the_dashboard_shows_all_lists(db, rf):
    site = AdminSite("bare")
    site.register(Delivery, DeliveryAdmin)
    request = rf.get("/")
    request.user = User.objects.create_superuser("ada")
    (app,) = site.get_app_list(request)
    assert [str(each["name"]) for each in app["models"]] == ["Deliveries"]


@pytest.mark.parametrize("model", [*OFF_MENU, "alert"])
def test_a_list_that_is_not_on_the_menu_keeps_its_address_and_its_permission(model, db):
    assert staff_with().get(address(model)).status_code == 403
    User.objects.all().delete()
    assert staff_with(f"view_{model}").get(address(model)).status_code == 200


def test_the_health_page_links_to_every_list_that_is_not_on_the_menu(ada, settings):
    settings.APP_METRICS_ALERTS = RULES
    expected = {address(model): title for model, title in OFF_MENU.items()}
    found = links(ada, reverse(HEALTH), RECORDS)
    assert found == expected
    assert list(found.values()) == sorted(found.values())
    settings.APP_METRICS_ALERTS = {}
    assert links(ada, reverse(HEALTH), RECORDS) == {**expected, address("alert"): "Alerts"}
    assert {ada.get(url).status_code for url in found} == {200}


def test_accented_titles_stand_beside_the_plain_ones(ada, settings):
    settings.LANGUAGE_CODE = "fr"
    found = list(links(ada, reverse(HEALTH), RECORDS).values())
    pending = found.index("Éléments en attente")
    assert found[pending - 1 : pending + 3] == [
        "Désabonnements",
        "Éléments en attente",
        "Éléments en quarantaine",
        "Envois",
    ]


def test_the_health_page_links_only_to_lists_that_the_user_may_view(db):
    reader = staff_with("view_metric", "view_delivery", "view_total")
    found = links(reader, reverse(HEALTH), RECORDS)
    assert found == {address("delivery"): "Deliveries", address("total"): "Totals"}


def test_the_health_page_has_no_empty_list_of_links(db):
    reader = staff_with("view_metric", "view_metricset")
    assert "Records" not in reader.get(reverse(HEALTH)).content.decode()
