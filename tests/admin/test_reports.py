"""Reports in the admin: previews, test mails, deliveries, and declared sets, which only the settings change."""

import re
import smtplib
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.admin.reports import MetricSetAdmin
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Delivery, MetricSet, Milestone, Schedule, Unsubscription
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.declared_sets import declare
from app_metrics.reports.sending import send_reports

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WRITES = re.compile("INSERT|UPDATE|DELETE|REPLACE|SAVEPOINT")
PAGES = ("report", "mail", "test")


@pytest.fixture
def client(database):
    """A superuser's browser, at noon on Monday, 1 June."""
    with freeze_time(NOON):
        user = User.objects.create_superuser("ada", "ada@example.com", "secret")
        browser = Client()
        browser.force_login(user)
        yield browser


@pytest.fixture
def metric_set(client):
    orders = create_metric("Orders & <script>alert(1)</script>", "orders")
    for day in (30, 31):
        metric("orders", day, at=datetime(2026, 5, day, 12, tzinfo=UTC))
    aggregate()
    return create_metric_set("Mine & <script>alert(2)</script>", [orders], ["x@example.com"], send_weekly=True)


@pytest.fixture
def declared(client, settings):
    create_metric("Orders", "orders")
    settings.APP_METRICS_SETS = {"Growth": {"metrics": ["orders"], "recipients": ["t@example.com"], "send": ["daily"]}}
    declare()
    return MetricSet.objects.get(name="Growth")


def page(name, *arguments):
    return reverse(f"admin:app_metrics_{name}", args=arguments)


def report_page(metric_set, name="report", period="day"):
    return page(f"metricset_{name}", getattr(metric_set, "pk", metric_set), period)


def ask(client, address):
    """Open a page; use POST for the test mail, which accepts nothing else."""
    return client.post(address) if address.endswith("/test/") else client.get(address)


def staff(*codenames):
    user, _ = User.objects.get_or_create(username="guest", email="guest@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    browser = Client()
    browser.force_login(user)
    return browser


def told(response):
    return [(message.level_tag, str(message)) for message in response.context["messages"]]


def send_test(client, metric_set, period="day"):
    return client.post(report_page(metric_set, "test", period), follow=True)


def rows():
    return [model.objects.count() for model in (Delivery, Schedule, Milestone, Unsubscription, MetricSet)]


# Access


@pytest.mark.parametrize("name", PAGES)
def test_anonymous_visitors_of_report_pages_are_redirected_to_the_login(name, metric_set):
    address = report_page(metric_set, name)
    response = ask(Client(), address)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")
    assert mail.outbox == []


@pytest.mark.parametrize("name", PAGES)
def test_a_set_that_is_missing_is_forbidden_like_any_other_without_permission(name, metric_set):
    for browser in (staff(), staff("view_metric", "change_delivery")):
        for pk in (metric_set.pk, 10**6, "nonsense"):
            assert ask(browser, report_page(pk, name)).status_code == 403
    assert mail.outbox == []


@pytest.mark.parametrize("name", PAGES)
def test_the_next_report_needs_the_permission_to_view_metrics(name, metric_set):
    browser = staff("view_metricset", "change_metricset")
    assert ask(browser, report_page(metric_set, name)).status_code == 403
    assert report_page(metric_set) not in browser.get(page("metricset_change", metric_set.pk)).content.decode()
    assert mail.outbox == []


def test_viewers_can_see_the_next_report_but_not_send_it(metric_set):
    browser = staff("view_metricset", "view_metric")
    content = browser.get(report_page(metric_set)).content.decode()
    assert "/test/" not in content
    assert browser.get(report_page(metric_set, "mail")).status_code == 200
    assert browser.post(report_page(metric_set, "test")).status_code == 403
    assert mail.outbox == []


def test_users_who_may_change_sets_can_send_a_test_mail(metric_set):
    browser = staff("change_metricset", "view_metric")
    assert report_page(metric_set, "test") in browser.get(report_page(metric_set)).content.decode()
    assert told(send_test(browser, metric_set)) == [("success", "The report was sent to guest@example.com.")]
    assert [each.to for each in mail.outbox] == [["guest@example.com"]]


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_a_test_mail_is_sent_by_post_alone(method, client, metric_set):
    response = getattr(client, method)(report_page(metric_set, "test"))
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert mail.outbox == []


def test_a_test_mail_needs_the_csrf_token_that_the_page_has(metric_set):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(username="ada"))
    assert browser.post(report_page(metric_set, "test")).status_code == 403
    content = browser.get(report_page(metric_set)).content.decode()
    form = content[content.index(f'action="{report_page(metric_set, "test")}"') :]
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', form)[1]
    assert mail.outbox == []
    assert browser.post(report_page(metric_set, "test"), {"csrfmiddlewaretoken": token}).status_code == 302
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("pk", [10**6, 10**30, "nonsense", "1/2", "-1", "0"])
def test_an_unknown_set_is_not_found(name, pk, client, metric_set):
    assert ask(client, report_page(pk, name)).status_code == 404


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("period", ["hour", "year", "DAY", "nonsense", "<script>"])
def test_an_unknown_period_is_not_found(name, period, client, metric_set):
    assert ask(client, report_page(metric_set, name, period)).status_code == 404
    assert mail.outbox == []


# The preview


@pytest.mark.parametrize(
    ("period", "heading"), [("day", "31 May 2026"), ("week", "25 May"), ("month", "May 2026")], ids=lambda each: each
)
def test_the_next_report_is_shown_as_text_and_as_mail(period, heading, client, metric_set):
    content = client.get(report_page(metric_set, period=period)).content.decode()
    framed = client.get(report_page(metric_set, "mail", period)).content.decode()
    assert f'src="{report_page(metric_set, "mail", period)}"' in content
    for shown in (content, framed):
        assert heading in shown
        assert "Orders &amp; &lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert "<script>alert" not in shown


def test_the_page_leads_to_the_reports_of_the_other_periods_and_back_to_the_set(client, metric_set):
    content = client.get(report_page(metric_set, period="week")).content.decode()
    for period in ("day", "month"):
        assert f'<a href="{report_page(metric_set, period=period)}">' in content
    assert f'<a href="{report_page(metric_set, period="week")}" aria-current="page">' in content
    assert f'<a href="{page("metricset_change", metric_set.pk)}">' in content
    assert report_page(metric_set) in client.get(page("metricset_change", metric_set.pk)).content.decode()


@pytest.mark.parametrize(("sent", "period"), [({"send_monthly": True}, "month"), ({}, "day")], ids=["month", "none"])
def test_a_set_leads_to_the_first_report_that_it_sends(sent, period, client, database):
    made = create_metric_set("Mine", [], send_daily=False, **sent)
    assert report_page(made, period=period) in client.get(page("metricset_change", made.pk)).content.decode()


@pytest.mark.parametrize("name", ["report", "mail"])
def test_a_preview_changes_nothing_and_writes_nothing(name, client, metric_set, database):
    before = rows()
    with CaptureQueriesContext(connections[database]) as queries:
        assert client.get(report_page(metric_set, name)).status_code == 200
    assert not [query["sql"] for query in queries if WRITES.match(query["sql"])]
    assert rows() == before
    assert mail.outbox == []


def test_a_preview_has_the_milestones_of_its_period_reported_or_not_and_no_later_ones(client, metric_set):
    yesterday = NOON - timedelta(days=1)
    Milestone.objects.create(slug="orders", value=1000, total=1000, reached_at=yesterday)
    with freeze_time(NOON.replace(hour=1)):
        send_reports()
    # One was committed after those reports; the other was reached after their period.
    Milestone.objects.create(slug="orders", value=1500, total=1500, reached_at=yesterday)
    Milestone.objects.create(slug="orders", value=2000, total=2000, reached_at=NOON.replace(hour=5))
    for name in ("report", "mail"):
        content = client.get(report_page(metric_set, name)).content.decode()
        assert "1,000" in content
        assert "1,500" in content
        assert "2,000" not in content


def test_the_mail_stands_in_a_frame_of_this_site_alone_and_runs_and_loads_nothing(client, metric_set, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.clickjacking.XFrameOptionsMiddleware"]
    response = client.get(report_page(metric_set, "mail"))
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert set(response["Content-Security-Policy"].split("; ")) == {
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "frame-ancestors 'self'",
        "sandbox",
    }
    assert "no-store" in response["Cache-Control"]
    assert re.search(r"<iframe [^>]*\bsandbox>", client.get(report_page(metric_set)).content.decode())
    assert client.get(report_page(metric_set))["X-Frame-Options"] == "DENY"


def test_the_pages_have_no_inline_script_or_style(client, metric_set):
    send_reports()
    for address in (report_page(metric_set), page("metricset_change", metric_set.pk)):
        content = client.get(address).content.decode()
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*(src=|application/json))", content)
        assert "/static/app_metrics/admin.css" in content


def test_the_frame_has_no_link_that_stops_somebodys_mail(client, metric_set, settings):
    settings.APP_METRICS_BASE_URL = "https://example.com"
    settings.ROOT_URLCONF = "tests.support.unsubscribe_urls"
    send_test(client, metric_set)
    (sent,) = mail.outbox
    for shown in (sent.body, sent.alternatives[0][0], client.get(report_page(metric_set, "mail")).content.decode()):
        assert re.findall("/unsubscribe/[^/]*/", shown) == ["/unsubscribe/sample/"]
    assert "List-Unsubscribe" not in sent.extra_headers


# The test mail


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_a_test_mail_goes_to_oneself_and_is_no_delivery(period, client, metric_set):
    before = rows()
    response = send_test(client, metric_set, period)
    assert response.redirect_chain == [(report_page(metric_set, period=period), 302)]
    assert told(response) == [("success", "The report was sent to ada@example.com.")]
    (sent,) = mail.outbox
    assert sent.to + sent.cc + sent.bcc == ["ada@example.com"]
    assert "alert(1)" in sent.body
    assert sent.alternatives[0][1] == "text/html"
    assert rows() == before


def test_a_test_mail_keeps_no_report_from_being_sent(client, metric_set):
    send_test(client, metric_set)
    assert send_reports().sent == 2
    send_test(client, metric_set)
    assert len(mail.outbox) == 4


@pytest.mark.parametrize("address", ["", " "])
def test_a_test_mail_to_a_user_without_an_address_shows_an_error(address, client, metric_set):
    User.objects.update(email=address)
    assert told(send_test(client, metric_set)) == [("error", "Your account has no e-mail address.")]
    assert mail.outbox == []


def test_a_mail_server_that_fails_is_a_message(client, metric_set, monkeypatch):
    def refuse(*arguments, **options):
        raise smtplib.SMTPRecipientsRefused({"ada@example.com": (550, b"no <script> such user")})

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    response = send_test(client, metric_set)
    ((level, text),) = told(response)
    assert level == "error"
    assert text.startswith("The mail was not sent: SMTPRecipientsRefused: ")
    assert b"no <script> such" not in response.content


def test_an_address_with_a_line_break_is_refused(client, metric_set):
    User.objects.update(email="ada@example.com\r\nBcc: eve@example.com")
    ((level, text),) = told(send_test(client, metric_set))
    assert (level, mail.outbox) == ("error", [])
    assert "\n" not in text


# Declared sets


def test_a_declared_set_is_shown_and_cannot_be_changed_or_deleted(client, declared):
    change, delete = page("metricset_change", declared.pk), page("metricset_delete", declared.pk)
    response = client.get(change)
    assert response.status_code == 200
    assert b'name="_save"' not in response.content
    assert "t@example.com" in response.content.decode()
    assert client.post(change, {"name": "Mine"}).status_code == 403
    assert client.post(delete, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": declared.pk}
    client.post(page("metricset_changelist"), {**chosen, "post": "yes"})
    assert MetricSet.objects.get().declared
    assert MetricSet.objects.get().name == "Growth"


def test_a_declared_set_in_a_selection_prevents_its_deletion(client, declared):
    other = create_metric_set("Other", [])
    chosen = {"action": "delete_selected", "_selected_action": [declared.pk, other.pk]}
    question = client.post(page("metricset_changelist"), chosen)
    assert list(question.context["perms_lacking"]) == ["metric set"]
    assert client.post(page("metricset_changelist"), {**chosen, "post": "yes"}).status_code == 403
    assert MetricSet.objects.count() == 2


def test_a_declared_set_can_be_previewed_and_sent_to_oneself(client, declared):
    assert client.get(report_page(declared)).status_code == 200
    assert client.get(report_page(declared, "mail")).status_code == 200
    assert told(send_test(client, declared)) == [("success", "The report was sent to ada@example.com.")]


def test_a_set_that_left_the_settings_can_be_changed(client, declared, settings):
    settings.APP_METRICS_SETS = {}
    declare()
    values = {
        "name": "Mine now", "email_addresses": "t@example.com", "send_daily": "on",
        "unsubscriptions-TOTAL_FORMS": 0, "unsubscriptions-INITIAL_FORMS": 0,
    }  # fmt: skip
    assert client.post(page("metricset_change", declared.pk), values).status_code == 302
    declared.refresh_from_db()
    assert (declared.name, declared.periods, declared.declared) == ("Mine now", ["day"], False)


# Sets of the admin


def test_a_new_set_has_neither_deliveries_nor_a_report_yet(client):
    content = client.get(page("metricset_add")).content.decode()
    assert "Latest deliveries" not in content
    assert "Next report" not in content
    assert "unsubscriptions-TOTAL_FORMS" not in content


def test_the_form_refuses_invalid_addresses(client):
    response = client.post(page("metricset_add"), {"name": "Mine", "email_addresses": "a@example.com\r\nnobody\r\n"})
    assert response.context["adminform"].form.errors == {"email_addresses": ["“nobody” is not an e-mail address."]}
    good = {"name": "Mine", "email_addresses": "a@example.com\r\n\r\nb@example.com\r\n"}
    assert client.post(page("metricset_add"), good).status_code == 302


def test_a_set_shows_its_latest_deliveries(client, metric_set, database):
    change = page("metricset_change", metric_set.pk)
    assert "None yet." in client.get(change).content.decode()
    other = create_metric_set("Other", [], ["other@example.com"])
    send_reports()
    Delivery.objects.filter(metric_set=metric_set, period="week").update(status="failed", error="<b>no</b> such user")
    content = client.get(change).content.decode()
    assert "other@example.com" not in content
    shown = re.findall(r"<td>(.*?)</td>", content[content.index("app-metrics-deliveries") :])
    assert shown[:4] == ["week", "25 May 2026", "x@example.com", "failed: &lt;b&gt;no&lt;/b&gt; such user"]
    assert shown[4:8] == ["day", "31 May 2026", "x@example.com", "sent"]
    every = re.search('href="([^"]+)">All deliveries', content)[1]
    listed = client.get(every).context["cl"].result_list
    assert {each.metric_set for each in listed} == {metric_set} != {other}


def test_a_set_shows_at_most_ten_deliveries(client, metric_set):
    Delivery.objects.bulk_create(
        Delivery(
            metric_set=metric_set, period="day", start=date(2026, 5, 1 + number), recipient="x", address="x",
            planned_at=NOON,
        )
        for number in range(12)
    )  # fmt: skip
    content = client.get(page("metricset_change", metric_set.pk)).content.decode()
    assert content.count("<td>day</td>") == 10
    assert "12 May 2026" in content
    assert "May 2, 2026" not in content


@pytest.mark.parametrize("through", ["page", "action"])
def test_deleting_a_set_counts_its_deliveries_without_listing_them(through, client, metric_set):
    send_reports()
    if through == "page":
        address, values = page("metricset_delete", metric_set.pk), {}
    else:
        address, values = page("metricset_changelist"), {
            "action": "delete_selected", "_selected_action": metric_set.pk,
        }  # fmt: skip
    question = client.post(address, values) if values else client.get(address)
    counted = {(str(name), number) for name, number in question.context["model_count"]}
    assert counted == {("metric sets", 1), ("deliveries", 2)}
    assert client.post(address, {**values, "post": "yes"}).status_code == 302
    assert not MetricSet.objects.exists()
    assert not Delivery.objects.exists()


def test_deleting_an_unsubscription_in_its_set_brings_the_mail_back(client, metric_set):
    gone = Unsubscription.objects.create(metric_set=metric_set, recipient="x@example.com", address="x@example.com")
    change = page("metricset_change", metric_set.pk)
    assert "x@example.com" in client.get(change).content.decode()
    values = {
        "name": "Mine", "email_addresses": "x@example.com", "send_daily": "on",
        "unsubscriptions-TOTAL_FORMS": 1, "unsubscriptions-INITIAL_FORMS": 1,
        "unsubscriptions-0-id": gone.pk, "unsubscriptions-0-metric_set": metric_set.pk,
        "unsubscriptions-0-address": "y@example.com",
    }  # fmt: skip
    assert client.post(change, values).status_code == 302
    assert Unsubscription.objects.get().address == "x@example.com"
    assert client.post(change, {**values, "unsubscriptions-0-DELETE": "on"}).status_code == 302
    assert not Unsubscription.objects.exists()


def test_unsubscriptions_of_declared_sets_can_be_deleted_and_none_can_be_made(client, declared):
    gone = Unsubscription.objects.create(metric_set=declared, recipient="t@example.com", address="t@example.com")
    assert list(client.get(page("unsubscription_changelist"), {"q": "t@ex"}).context["cl"].result_list) == [gone]
    assert client.get(page("unsubscription_add")).status_code == 403
    assert client.post(page("unsubscription_change", gone.pk), {"address": "y@example.com"}).status_code == 403
    delete = page("unsubscription_delete", gone.pk)
    assert staff("view_unsubscription").post(delete, {"post": "yes"}).status_code == 403
    assert Unsubscription.objects.get().address == "t@example.com"
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not Unsubscription.objects.exists()


# Deliveries


def send_again(client, deliveries):
    chosen = {"action": "send_again", "_selected_action": [each.pk for each in deliveries]}
    return client.post(page("delivery_changelist"), chosen, follow=True)


@pytest.fixture
def deliveries(metric_set):
    """Deliveries in each status for the day before, and older ones, one of them failed and too old to send."""
    return [
        Delivery.objects.create(
            metric_set=metric_set, period="day", start=start, recipient=f"{number}@example.com",
            address=f"{number}@example.com", planned_at=NOON, status=status,
        )
        for number, (status, start) in enumerate(
            [(each, date(2026, 5, 31)) for each in ("waiting", "sending", "sent", "failed", "undecided", "skipped")]
            + [("failed", date(2026, 5, 29)), ("failed", date(2026, 5, 28)), ("sent", date(2026, 5, 28))]
        )
    ]  # fmt: skip


def test_unsent_reports_can_be_queued_again_unless_they_are_too_old(client, deliveries):
    response = send_again(client, deliveries)
    assert told(response) == [
        ("info", "The next run will send 4 reports."),
        ("warning", "1 report is too old to send."),
    ]
    assert [each.status for each in Delivery.objects.order_by("pk")] == [
        "waiting", "sending", "sent", "waiting", "waiting", "waiting", "waiting", "failed", "sent",
    ]  # fmt: skip


def test_one_report_is_sent_again_without_a_warning(client, deliveries):
    assert told(send_again(client, deliveries[3:4])) == [("info", "The next run will send 1 report.")]


def test_a_report_that_is_queued_again_is_sent(client, metric_set):
    send_reports()
    mail.outbox.clear()
    Delivery.objects.filter(period="day").update(status="undecided")
    assert send_reports().sent == 0
    send_again(client, Delivery.objects.all())
    assert send_reports().sent == 1
    assert [each.to for each in mail.outbox] == [["x@example.com"]]


def test_sending_again_needs_the_permission_to_change_deliveries(deliveries):
    browser = staff("view_delivery", "change_metricset")
    assert b"send_again" not in browser.get(page("delivery_changelist")).content
    send_again(browser, deliveries)
    assert Delivery.objects.get(pk=deliveries[3].pk).status == "failed"
    browser = staff("view_delivery", "change_delivery")
    assert b"send_again" in browser.get(page("delivery_changelist")).content
    send_again(browser, deliveries)
    assert Delivery.objects.get(pk=deliveries[3].pk).status == "waiting"


def test_deliveries_can_be_found_and_not_changed(client, deliveries):
    def found(**query):
        return len(client.get(page("delivery_changelist"), query).context["cl"].result_list)

    assert (found(), found(q="3@ex"), found(status__exact="failed"), found(start__day=31)) == (9, 1, 3, 6)
    for name in ("change", "delete"):
        address = page(f"delivery_{name}", deliveries[0].pk)
        assert client.post(address, {"post": "yes", "status": "sent"}).status_code == 403
    assert client.get(page("delivery_add")).status_code == 403
    assert client.get(page("delivery_change", deliveries[0].pk)).status_code == 200


# Sites of projects


class StaffSite(admin.AdminSite):
    """A second admin of a project's own."""


staff_site = StaffSite(name="staff")
staff_site.register(MetricSet, MetricSetAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("staff/", staff_site.urls)]


@pytest.mark.urls(__name__)
def test_an_admin_of_another_name_keeps_to_its_own_pages(client, metric_set):
    send_reports()
    address = reverse("staff:app_metrics_metricset_report", args=[metric_set.pk, "day"])
    assert address.startswith("/staff/")
    pages = [address, reverse("staff:app_metrics_metricset_change", args=[metric_set.pk])]
    for each in pages:
        content = client.get(each).content.decode()
        assert set(re.findall(r'(?:href|src|action)="/(admin|staff)/', content)) == {"staff"}
    response = client.post(reverse("staff:app_metrics_metricset_test", args=[metric_set.pk, "day"]))
    assert response["Location"] == address
    assert len(mail.outbox) == 3
