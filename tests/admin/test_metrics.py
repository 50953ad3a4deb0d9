"""The admin's pages of metrics, metric sets, totals, items and runs."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from freezegun import freeze_time

from app_metrics import gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.summary import Summary, single
from app_metrics.models import Annotation, Item, Metric, MetricSet, QuarantinedItem, Total
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.recording.metrics import record
from tests.support.latin1 import latin1_columns

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
MODELS = ("metric", "metricset", "total", "item", "quarantineditem", "aggregationrun")


@pytest.fixture
def client(database):
    """A superuser's browser, at noon on 31 May."""
    with freeze_time(NOON):
        user = User.objects.create_superuser("ada", "ada@example.com", "secret")
        browser = Client()
        browser.force_login(user)
        yield browser


def page(model, name="changelist", *arguments):
    return reverse(f"admin:app_metrics_{model}_{name}", args=arguments)


def rows(client, model, **query):
    """Return the objects that a changelist shows, in its order."""
    response = client.get(page(model), query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def slugs(client, **query):
    return [each.slug for each in rows(client, "metric", **query)]


@pytest.mark.parametrize("slug", ["", "日本"])
def test_a_name_that_makes_no_slug_needs_one_in_the_form(slug, client):
    values = {"name": "日本", "kind": "counter"}
    response = client.post(page("metric", "add"), {**values, "slug": slug})
    assert response.status_code == 200
    assert response.context["adminform"].form.errors.keys() == {"slug"}
    assert client.post(page("metric", "add"), {**values, "slug": "japan"}).status_code == 302
    assert Metric.objects.get().slug == "japan"


@pytest.fixture
def catalogue(client):
    """Three metrics, two of them recorded today and earlier this month, aggregated and pending."""
    for slug, kind, today, earlier in (
        ("logins", "counter", 30, 0),
        ("queue", "gauge", 2, 100),
        ("idle", "timer", 0, 0),
    ):
        create_metric(slug.title(), slug, kind, description=f"All {slug} there are")
        if today:
            metric(slug, today - 1, at=NOON)
            metric(slug, earlier, at=NOON.replace(day=3))
    aggregate()
    for second, slug in enumerate(("logins", "queue"), start=1):
        with freeze_time(NOON.replace(second=second)):
            metric(slug)
    return Metric.objects.in_bulk(field_name="slug")


def test_metrics_show_today_and_this_month_including_pending_items(client, catalogue):
    shown = {each.slug: tuple(each.numbers.values()) for each in rows(client, "metric")}
    assert shown == {"logins": (30, 30), "queue": (1, 1), "idle": (None, None)}
    content = client.get(page("metric")).content.decode()
    assert (
        content.count('<td class="field-today">30</td>') == content.count('<td class="field-this_month">30</td>') == 1
    )


def test_the_list_shows_the_last_value_of_a_gauge_and_the_mean_of_a_timer(client):
    for seconds in (1, 3):
        record("answer_seconds", "timer", seconds)
    gauge("queue", 40, at=NOON.replace(hour=11))
    gauge("queue", 25)
    aggregate()
    record("answer_seconds", "timer", 5)
    content = client.get(page("metric")).content.decode()
    today = re.findall('<td class="field-today">(.*?)</td>', content)
    assert today == re.findall('<td class="field-this_month">(.*?)</td>', content) == ["3\xa0s", "25"]


def test_the_list_does_not_sort_by_numbers_which_sums_in_sql_would_not_be(client, catalogue):
    content = client.get(page("metric")).content.decode()
    assert "sortable column-name" in content
    assert "sortable column-today" not in content
    assert "sortable column-this_month" not in content


def test_numbers_are_shown_without_empty_decimals(client):
    metric("orders", 1_234_567)
    gauge("load", 0.25)
    aggregate()
    content = client.get(page("metric")).content.decode()
    assert ">1,234,567<" in content
    assert ">0.25<" in content


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "LOGIN"}, ["logins"]),
        ({"q": "there are"}, ["idle", "logins", "queue"]),
        ({"q": "nothing"}, []),
        ({"kind__exact": "gauge"}, ["queue"]),
        ({"o": "-2"}, ["queue", "logins", "idle"]),
    ],
    ids=str,
)
def test_metrics_are_searched_filtered_and_ordered(client, catalogue, query, found):
    assert slugs(client, **query) == found


def test_metrics_are_filtered_by_their_set(client, catalogue):
    create_metric_set("Mine", [catalogue["idle"], catalogue["queue"]])
    other = create_metric_set("Other", [catalogue["idle"]])
    assert slugs(client, sets__id__exact=other.pk) == ["idle"]


@pytest.mark.parametrize("model", ["metric", "metricset", "total", "item", "quarantineditem", "aggregationrun"])
def test_a_list_takes_as_many_queries_for_50_objects_as_for_5(client, database, model):
    counts = []
    for number in (5, 50):
        for each in range(number):
            slug = f"slug-{number}-{each}"
            create_metric_set(f"Set {slug}", [create_metric(slug, slug)])
            metric(slug)
            QuarantinedItem.objects.create(payload="{}", reason="bad")
        aggregate()
        for each in range(number):
            metric(f"slug-{number}-{each}")
        with CaptureQueriesContext(connections[database]) as queries:
            rows(client, model)
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", ["gauge", "unique"])
def test_a_metric_is_made_with_a_form_and_its_slug_is_then_fixed(kind, client):
    values = {"name": "New", "slug": "new", "kind": kind, "unit": "s", "description": "d"}
    assert client.post(page("metric", "add"), values).status_code == 302
    made = Metric.objects.get()
    assert (made.name, made.slug, made.kind, made.unit, made.description) == tuple(values.values())
    change = page("metric", "change", made.pk)
    assert client.post(change, {**values, "name": "Newer", "slug": "other"}).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.slug) == ("Newer", "new")


@pytest.mark.parametrize("model", ["metric", "metricset", "annotation"])
def test_every_field_of_a_form_has_a_help_text(client, model):
    fields = client.get(page(model, "add")).context["adminform"].form.fields
    assert [name for name, field in fields.items() if not field.help_text] == []


def test_the_recipients_of_a_set_are_users_and_e_mail_addresses(client):
    fields = client.get(page("metricset", "add")).context["adminform"].form.fields
    assert [str(fields[name].label) for name in ("email_recipients", "email_addresses")] == [
        "Users",
        "E-mail addresses",
    ]


@pytest.mark.parametrize("slug", ["no slug", "", "logins"])
def test_a_form_refuses_an_invalid_or_taken_slug(client, catalogue, slug):
    response = client.post(page("metric", "add"), {"name": "New", "slug": slug, "kind": "counter"})
    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == ["slug"]
    assert Metric.objects.count() == 3


def test_a_metric_recorded_under_a_second_kind_and_one_with_too_many_label_sets_say_so(client, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    for plan in ("free", "pro"):
        metric("orders", labels={"plan": plan})
    gauge("orders", 1, at=NOON.replace(minute=1))
    metric("logins")
    aggregate()
    content = client.get(page("metric")).content.decode()
    assert '<td class="field-second_kind">gauge</td>' in content
    assert re.findall('<td class="field-is_capped">(.*?)</td>', content) == ["", "yes"]


@pytest.mark.parametrize("through", ["page", "action"])
def test_deleting_a_metric_counts_its_totals_without_listing_them(client, catalogue, through):
    logins = catalogue["logins"]
    totals = Total.objects.filter(metric=logins).count()
    Annotation.objects.create(text="Sale", metric=logins)
    if through == "page":
        address, values = page("metric", "delete", logins.pk), {}
    else:
        address, values = page("metric"), {"action": "delete_selected", "_selected_action": logins.pk}
    question = client.post(address, values) if values else client.get(address)
    counts = {str(name): number for name, number in question.context["model_count"]}
    assert (counts["totals"], counts["annotations"]) == (totals, 1)
    assert len(question.content) < 20_000
    assert client.post(address, {**values, "post": "yes"}).status_code == 302
    assert not Metric.objects.filter(slug="logins").exists()
    assert set(Total.objects.values_list("metric__slug", flat=True)) == {"queue"}


@pytest.mark.parametrize(("codenames", "status"), [((), 403), (("delete_annotation",), 302)])
def test_deleting_a_metric_with_annotations_needs_the_permission_to_delete_these(client, catalogue, codenames, status):
    guest = User.objects.create_user("guest", is_staff=True)
    wanted = ("view_metric", "delete_metric", *codenames)
    guest.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(guest)
    Annotation.objects.create(text="Sale", metric=catalogue["logins"])
    assert client.post(page("metric", "delete", catalogue["idle"].pk), {"post": "yes"}).status_code == 302
    assert client.post(page("metric", "delete", catalogue["logins"].pk), {"post": "yes"}).status_code == status
    assert Annotation.objects.exists() == (status == 403)


def test_a_metric_set_is_made_with_metrics_and_recipients(client, catalogue):
    bob = User.objects.create_user("bob", "bob@example.com")
    values = {
        "name": "Mine", "metrics": [catalogue["idle"].pk, catalogue["queue"].pk], "email_recipients": [bob.pk],
        "send_weekly": "on",
    }  # fmt: skip
    assert client.post(page("metricset", "add"), values).status_code == 302
    made = MetricSet.objects.get()
    assert set(made.metrics.all()) == {catalogue["idle"], catalogue["queue"]}
    assert list(made.email_recipients.all()) == [bob]
    assert (made.send_daily, made.send_weekly, made.send_monthly) == (False, True, False)
    assert rows(client, "metricset", q="min", send_weekly__exact=1) == [made]
    assert rows(client, "metricset", send_daily__exact=1) == []


def test_recipients_are_completed_from_the_users(client):
    bob = User.objects.create_user("bob", "bob@example.com")
    assert b"admin-autocomplete" in client.get(page("metricset", "add")).content
    query = {"term": "bo", "app_label": "app_metrics", "model_name": "metricset", "field_name": "email_recipients"}
    assert client.get(reverse("admin:autocomplete"), query).json()["results"] == [{"id": str(bob.pk), "text": "bob"}]


def test_an_admin_without_users_passes_the_checks_and_offers_a_plain_list(client):
    registered = admin.site._registry[User]
    admin.site.unregister(User)
    try:
        assert run_checks(tags=["admin"]) == []
        content = client.get(page("metricset", "add")).content
    finally:
        admin.site.register(User, type(registered))
    assert b"admin-autocomplete" not in content
    assert b'<select name="email_recipients"' in content


@pytest.mark.parametrize("model", ["total", "item", "aggregationrun"])
def test_rows_that_only_the_package_writes_are_read_only(client, catalogue, model):
    shown = rows(client, model)[0]
    change = page(model, "change", shown.pk)
    assert client.get(change).status_code == 200
    assert b'name="_save"' not in client.get(change).content
    for address in (page(model, "add"), change, page(model, "delete", shown.pk)):
        assert client.post(address, {"count": 99, "post": "yes"}).status_code == 403
    assert shown in rows(client, model)


def test_lists_and_pages_show_numbers_without_empty_decimals(client):
    metric("orders", Decimal("1234.50"))
    gauge("queue", 0)
    aggregate()
    metric("orders", Decimal("1234.50"))
    shown = [client.get(page(each)).content.decode() for each in ("total", "item")]
    shown.append(client.get(page("total", "change", Total.objects.latest("pk").pk)).content.decode())
    shown.append(client.get(page("item", "change", Item.objects.get().pk)).content.decode())
    for text in shown:
        assert re.search(r">(1234\.5|1,234\.5|0)<", text)
        assert not re.search(r"\.\d*0<", text)


@pytest.mark.every_database
def test_lists_of_tables_made_under_latin1_are_searched_for_any_character(transactional_database):
    metric("orders")
    aggregate()
    create_metric_set("Orders", Metric.objects.all())
    browser = Client()
    browser.force_login(User.objects.create_superuser("ada", "ada@example.com", "secret"))
    with latin1_columns(connections[transactional_database]):
        for model, found in (("metric", 1), ("metricset", 1), ("total", 5)):
            assert [len(rows(browser, model, q=text)) for text in ("１", "ORD")] == [0, found]


def test_totals_are_searched_filtered_and_say_when_they_start(client, catalogue):
    found = rows(client, "total", q="logins", period__exact="hour")
    assert [each.starts_at.isoformat() for each in found] == ["2026-05-31T14:00:00+02:00", "2026-05-03T14:00:00+02:00"]
    assert {each.period for each in rows(client, "total", start__year=2026, start__month=5)} >= {"day", "month"}


def test_pending_items_are_shown_the_latest_first(client, catalogue):
    assert [each.slug for each in rows(client, "item")] == ["queue", "logins"]
    assert [each.slug for each in rows(client, "item", q="logins")] == ["logins"]


def test_an_action_counts_quarantined_items_that_can_be_read_now(client):
    good = {"slug": "orders", "kind": "counter", "labels": "{}", "day": "2026-05-31", "hour": "12", "count": "1"}
    good |= dict.fromkeys(("total", "minimum", "maximum", "last"), "3") | {"last_at": "5"}
    for payload in (json.dumps(good), "damaged"):
        QuarantinedItem.objects.create(payload=payload, reason="unknown")
    chosen = list(QuarantinedItem.objects.values_list("pk", flat=True))
    answer = client.post(page("quarantineditem"), {"action": "count_again", "_selected_action": chosen}, follow=True)
    assert "1 item is pending again." in answer.content.decode()
    assert "1 item cannot be read." in answer.content.decode()
    assert Item.objects.get(slug="orders").total == 3
    assert QuarantinedItem.objects.count() == 1


def test_quarantined_items_can_be_read_and_deleted_but_not_written(client):
    Item.objects.create(
        id=UUID(int=1), slug="orders", kind="<script>", labels="{}", day="2026-05-31", hour=1,
        **Summary(*single(1, at=0))._asdict(),
    )  # fmt: skip
    aggregate()
    (bad,) = rows(client, "quarantineditem", q="not a kind")
    content = client.get(page("quarantineditem", "change", bad.pk)).content
    assert b"is not a kind of metric" in content
    assert b"<script> is" not in content
    assert client.get(page("quarantineditem", "add")).status_code == 403
    client.post(page("quarantineditem", "change", bad.pk), {"reason": "none"})
    assert QuarantinedItem.objects.get().reason == bad.reason
    assert client.post(page("quarantineditem", "delete", bad.pk), {"post": "yes"}).status_code == 302
    assert not QuarantinedItem.objects.exists()


@pytest.mark.parametrize("model", MODELS)
def test_access_follows_the_permissions_of_the_user(client, catalogue, model):
    guest = User.objects.create_user("guest", is_staff=True)
    client.force_login(guest)
    assert client.get(page(model)).status_code == 403
    assert client.get(page(model, "add")).status_code == 403
    guest.user_permissions.add(Permission.objects.get(codename=f"view_{model}"))
    assert client.get(page(model)).status_code == 200
    assert client.get(page(model, "add")).status_code == 403
    client.logout()
    assert client.get(page(model)).status_code == 302
