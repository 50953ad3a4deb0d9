"""What the health page says about recording, aggregation, mail and the settings."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape
from freezegun import freeze_time

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.autopilot.jobs import AGGREGATE
from app_metrics.autopilot.lease import note_scheduled
from app_metrics.conf import AppMetricsConf
from app_metrics.contrib.configured import configured_rules
from app_metrics.core import dropped, forking
from app_metrics.core.dropped import DROPPED_SLUG
from app_metrics.core.summary import COUNTER
from app_metrics.dashboard import configuration
from app_metrics.dashboard.configuration import changed_settings, effective, packages
from app_metrics.dashboard.health import REASONS, examine
from app_metrics.models import AggregationRun, Alert, Delivery, Item, Metric, Notice, QuarantinedItem, Schedule
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.notifications.outbox import STOPPED
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import get_backend, replaced_backend

HOSTILE = "</script><img src=x onerror=alert(1)>"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADDRESS = "/admin/app_metrics/dashboard/health/"
SECRET = "0123456789abcdef" * 4
PASSWORD = f"redis://:{SECRET}@example.com"
NEEDED_BY_THE_PAGE = {"APP_METRICS_DATABASE"}


def at(**ago):
    return freeze_time(NOW - timedelta(**ago))


def examined():
    with at():
        return examine()


# Aggregation


def test_an_empty_database_has_no_health_problems(database):
    found = examined()
    assert not found.aggregating.is_late
    assert found.aggregating.run is None
    assert not found.has_dropped_lately
    assert found.deliveries.are_well
    assert found.notifications.are_well


def happened(ran, recorded):
    """Run an aggregation and record a metric, each at the given number of hours ago; None skips it."""
    if ran is not None:
        with at(hours=ran):
            aggregate()
    if recorded is not None:
        with at(hours=recorded):
            metric("orders")


@pytest.mark.parametrize(
    ("ran", "recorded", "is_late"),
    [
        (None, None, False),
        (400, None, False),
        (None, 1, False),
        (None, 25, True),
        (2, 1, False),
        (25, 23, True),
        (23, 25, True),
        (400, 1, True),
    ],
)
def test_with_a_scheduler_the_aggregation_is_late_after_a_day(ran, recorded, is_late, database):
    happened(ran, recorded)
    with at():
        note_scheduled(AGGREGATE)
        aggregating = examine().aggregating
        assert aggregating.is_late == is_late
        assert aggregating.backlog.age == (recorded or 0) * 3600


@pytest.mark.parametrize(("hours", "is_late"), [(0.24, False), (0.26, True)])
def test_without_a_scheduler_the_aggregation_is_late_after_a_quarter_of_an_hour(hours, is_late, superuser):
    happened(None, hours)
    with at():
        superuser.force_login(User.objects.get())
        shown = text_of(superuser.get(ADDRESS))
    assert shown.count("the last aggregation was more than a day ago") == shown.count("Needs attention") == is_late


def test_the_page_asks_once_who_aggregates_and_what_is_pending(superuser):
    metric("orders")
    with CaptureQueriesContext(connections[Metric.objects.db]) as queries:
        superuser.get(ADDRESS)
    asked = [query["sql"] for query in queries]
    assert sum("app_metrics_recurringjob" in sql for sql in asked) == 1
    assert sum("app_metrics_item" in sql and "ORDER BY" in sql and "LIMIT" in sql for sql in asked) == 1


def test_the_health_page_shows_the_last_run_and_the_quarantine(database):
    metric("orders")
    metric("visits")
    Item.objects.filter(slug="visits").update(kind="nonsense")
    with at():
        aggregate()
    found = examined().aggregating
    assert (found.run.items, found.run.quarantined, found.run.finished_at) == (2, 1, NOW)
    assert found.quarantined == 1


# Dropped events


def test_drops_are_shown_by_reason_for_this_week_and_all_time(database):
    for days, reason, number in ((10, "refused", 5), (6, "refused", 2), (7, "failed_rule", 3), (0, "failed_rule", 1)):
        with at(days=days):
            metric(DROPPED_SLUG, number, labels={"reason": reason})
        if days > 6:
            aggregate()
    found = examined()
    assert [each[:1] + each[3:] for each in found.dropped] == [("refused", 2, 7), ("failed_rule", 1, 4)]
    assert found.has_dropped_lately
    with freeze_time(NOW + timedelta(days=7)):
        assert not examine().has_dropped_lately


def test_every_reason_there_is_has_a_meaning_and_an_advice():
    reasons = {value for name, value in vars(dropped).items() if name.isupper() and isinstance(value, str)}
    assert REASONS.keys() == reasons - {DROPPED_SLUG, COUNTER}


@pytest.mark.parametrize("labels", ["{", "[]", '{"overflow":"true"}', "{}"])
def test_unknown_reasons_of_drops_are_shown_as_they_are(labels, database):
    metric(DROPPED_SLUG, 2)
    Item.objects.update(labels=labels)
    (dropped,) = examine().dropped
    assert (dropped.reason, dropped.meaning, dropped.ever) == (labels, "", 2)


# Labels, kinds, the retry queue


def test_metrics_with_too_many_label_sets_or_two_kinds_are_named(database, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    for plan in ("free", "pro"):
        metric("orders", labels={"plan": plan})
    metric("visits", labels={"plan": "free"})
    metric("load")
    aggregate()
    gauge("load", 1.5)
    aggregate()
    found = examine()
    assert [each.slug for each in found.overflown] == ["orders"]
    assert [each.slug for each in found.second_kinds] == ["load"]


class Unreachable(MetricsBackend):
    def write(self, batch):
        raise ConnectionError("nobody there")


@pytest.mark.django_db
def test_batches_that_wait_in_this_process_are_counted(settings):
    with replaced_backend(Unreachable()):
        assert examine().kept == 0
        for _ in range(3):
            with collect():
                metric("orders")
        assert examine().kept == 3


def test_batches_that_wait_for_a_destination_of_a_composite_are_counted(settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = [f"{__name__}.Unreachable", "app_metrics.backends.dummy"]
    with collect():
        metric("orders")
    assert get_backend().kept == 1


def test_a_forked_process_forgets_the_pending_batches_of_its_parent():
    with replaced_backend(Unreachable()):
        with collect():
            metric("orders")
        forking._start_afresh()
        assert get_backend().kept == 0


def test_the_page_says_that_a_journal_takes_no_batches(superuser, monkeypatch):
    monkeypatch.setattr("app_metrics.dashboard.health.unjournalled", lambda: 2)
    assert not examine().has_written_all
    assert "could not take the latest 2 batches" in text_of(superuser.get(ADDRESS))


def test_a_backend_that_cannot_be_loaded_has_an_unknown_retry_queue(database, settings):
    settings.APP_METRICS_BACKEND = "nowhere.at.all"
    assert examine().kept is None


# Mails


@pytest.fixture
def mails(database):
    """Four deliveries, one of them failed and one undecided, and four notifications alike."""
    metric_set = create_metric_set(HOSTILE, [create_metric("Orders", "orders")], ["x@example.com"])
    for number, status in enumerate(("sent", "failed", "undecided", "waiting")):
        shared = {"status": status, "address": "x@example.com", "planned_at": NOW - timedelta(days=5)}
        start = date(2026, 11, 1) + timedelta(days=number)
        Delivery.objects.create(metric_set=metric_set, period="day", start=start, error="refused", **shared)
        Notice.objects.create(subject=HOSTILE, text="", error="refused", **shared)


def test_mails_that_failed_or_are_undecided_are_counted_and_the_latest_named(mails):
    found = examined()
    for each in (found.deliveries, found.notifications):
        assert (each.failed, each.undecided, each.are_well) == (1, 1, False)
        assert [mail.status for mail in each.latest] == ["undecided", "failed"]


@pytest.mark.parametrize("status", ["failed", "undecided"])
@pytest.mark.parametrize("model", [Delivery, Notice])
def test_a_recent_failed_mail_needs_attention(status, model, mails):
    Delivery.objects.exclude(status="sent").delete()
    Notice.objects.exclude(status="sent").delete()
    model.objects.update(status=status)
    found = examined()
    assert not (found.deliveries if model is Delivery else found.notifications).are_well
    with freeze_time(NOW + timedelta(days=3)):
        old = examine()
    assert old.deliveries.are_well
    assert old.notifications.are_well


# Rules and settings


def test_rules_without_a_recorded_metric_are_listed(database, settings):
    settings.APP_METRICS_URLS = {"*": "requests", "admin:index": ["visits", "waiting", "never"]}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": "documents"}}
    settings.APP_METRICS_WEBSOCKETS = {"ws/*": {"slug": "chats", "received": "messages", "sent": "answers"}}
    settings.APP_METRICS_AUTH = True
    metric("visits", at=datetime(2020, 1, 1, tzinfo=UTC))
    metric("logins")
    metric("chats")
    metric("answers")
    aggregate()
    metric("waiting")
    create_metric("Documents", "documents")
    silent = [(rule.origin, rule.slug) for rule in examine().silent]
    assert silent == [
        *[("APP_METRICS_AUTH", slug) for slug in ("failed_logins", "logouts", "signups")],
        ("APP_METRICS_MODELS['testapp.Document']['created']", "documents"),
        ("APP_METRICS_URLS['*']", "requests"),
        ("APP_METRICS_URLS['admin:index']", "never"),
        ("APP_METRICS_WEBSOCKETS['ws/*']", "messages"),
    ]


def test_mistakes_in_rules_are_found(database, settings):
    settings.APP_METRICS_URLS = {"page": {"slug": "views", "method": "GET"}}
    settings.APP_METRICS_MODELS = {"auth.Usr": {"created": "signups"}}
    settings.APP_METRICS_SIGNALS = {"nowhere.at.all": "events"}
    assert [mistake.code for mistake in examine().mistakes] == ["E006", "E003", "E005"]


def test_only_settings_that_differ_from_their_defaults_are_listed(settings):
    settings.APP_METRICS_AUTOPILOT = True
    assert changed_settings() == []
    settings.APP_METRICS_CHUNK_SIZE = 500
    settings.APP_METRICS_WEEK_START = "monday"
    assert changed_settings() == [("APP_METRICS_CHUNK_SIZE", "500", True)]


def test_only_numbers_and_switches_are_shown_with_their_values(settings):
    settings.APP_METRICS_AUTOPILOT = True
    settings.APP_METRICS_TIMEOUT = 1.5
    settings.APP_METRICS_STRICT = True
    settings.APP_METRICS_BACKEND = None
    settings.APP_METRICS_BASE_URL = SECRET
    settings.APP_METRICS_REDIS_CLIENT = lambda: SECRET
    settings.APP_METRICS_API_TOKENS = [SECRET, SECRET]
    settings.APP_METRICS_ALERTS = {SECRET: {"metric": SECRET}}
    assert {part.name.removeprefix("APP_METRICS_"): part.value for part in changed_settings()} == {
        "TIMEOUT": "1.5",
        "STRICT": "True",
        "BACKEND": "None",
        "BASE_URL": "is set",
        "REDIS_CLIENT": "is set",
        "API_TOKENS": "2 entries",
        "ALERTS": "1 entry",
    }


def test_the_health_page_shows_no_values_of_settings(superuser):
    names = AppMetricsConf._meta.defaults.keys() - NEEDED_BY_THE_PAGE
    values = PASSWORD, [PASSWORD], {"page": PASSWORD}, PASSWORD.encode()
    for changed in [dict.fromkeys(names, value) for value in values] + [{name: PASSWORD} for name in names]:
        with override_settings(**changed):
            assert SECRET not in text_of(superuser.get(ADDRESS)), changed


def test_a_mistake_in_a_rule_is_named_without_the_values_of_the_rule(superuser, settings):
    rules = [{"slug": "views", "labels": {}, key: PASSWORD} for key in ("slug", "num", "labels", "when", "method")]
    rules += [PASSWORD, [PASSWORD], {"slug": "views", PASSWORD: 1}]
    settings.APP_METRICS_URLS = {"page": rules}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": rules}, "auth.User": PASSWORD}
    settings.APP_METRICS_SIGNALS = {"django.test.signals.setting_changed": rules}
    shown = text_of(superuser.get(ADDRESS))
    assert SECRET not in shown
    for mistake in configured_rules()[1]:
        assert f"<code>{escape(mistake.origin)}</code> (app_metrics.{mistake.code})" in shown


def test_a_backend_that_cannot_be_loaded_is_not_repeated(superuser, settings):
    settings.APP_METRICS_BACKEND = PASSWORD
    shown = text_of(superuser.get(ADDRESS))
    assert shown.count("The backend cannot be loaded.") == 2
    assert SECRET not in shown


def test_the_effective_configuration_is_shown(database, settings, monkeypatch):
    settings.APP_METRICS_WEEK_START = "sunday"
    settings.APP_METRICS_TIME_ZONE = "Asia/Tokyo"
    parts = {part.name: part for part in effective()}
    assert parts["Backend"].value == "app_metrics.backends.db.MetricsBackend"
    assert parts["Database"].value == f"{database} ({connections[database].display_name})"
    assert parts["Metrics time zone"].value == "Asia/Tokyo"
    assert parts["First day of the week"].value == "Sunday"
    assert parts["Middleware"].is_there
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    assert not list(effective())[-1].is_there
    monkeypatch.setattr(configuration, "find_spec", {"css_inline": 1}.get)
    assert [(part.name, part.is_there) for part in packages()] == [
        ("css_inline", True),
        ("prometheus_client", False),
    ]


# The page


@pytest.fixture
def looker(client, database):
    """The browser of a user who may only view metrics."""
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_metric"))
    client.force_login(user)
    return client


@pytest.fixture
def superuser(client, database):
    """A superuser's browser."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def fill(times):
    for number in range(times):
        with at(hours=number):
            metric(f"metric-{number}", labels={"plan": str(number)})
            metric(DROPPED_SLUG, labels={"reason": f"{HOSTILE}{number}"})
    QuarantinedItem.objects.create(payload="", reason=HOSTILE)


def test_the_page_is_inert_in_order_and_writes_nothing(superuser, mails, settings):
    settings.APP_METRICS_URLS = {HOSTILE: {"slug": "views", "labels": {HOSTILE: 5}}, "page": [HOSTILE, "views"]}
    settings.APP_METRICS_SETS = {HOSTILE: {}}
    create_metric(HOSTILE, "orders-2")
    Metric.objects.update(second_kind="gauge")
    fill(3)
    aggregate()
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    with at():
        superuser.force_login(User.objects.get())
        before = Item.objects.count(), AggregationRun.objects.get().finished_at
        shown = text_of(superuser.get(ADDRESS))
        assert (Item.objects.count(), AggregationRun.objects.get().finished_at) == before
    assert "<img src=x" not in shown
    assert shown.count("&lt;img src=x") > 5
    assert not re.search(r"<style|style=|<script(?! src)| on\w+=\"", shown)
    assert re.findall(r"<th(?![^>]*scope)[ >]", shown) == []
    levels = [int(level) for level in re.findall(r"<h(\d)", shown)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_health_page_shows_spooled_and_damaged_files(superuser, settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path
    assert "spool" not in text_of(superuser.get(ADDRESS)).replace("APP_METRICS_SPOOL_DIR", "").replace(
        str(tmp_path), ""
    )
    assert examine().has_written_all
    (tmp_path / "1.batches").write_bytes(b"x" * 2048)
    assert "The spool of this machine holds 2.0\xa0KB of pending batches." in text_of(superuser.get(ADDRESS))
    assert not examine().has_written_all
    (tmp_path / "1.batches").rename(tmp_path / "1.damaged")
    shown = text_of(superuser.get(ADDRESS))
    assert "1 spool file holds batches that could not be counted." in shown
    assert "The spool of this machine holds" not in shown
    assert not examine().has_written_all


def test_every_problem_is_shown_with_a_remedy(superuser, mails, settings):
    with at():
        superuser.force_login(User.objects.get())
        aggregate()
    with freeze_time(NOW + timedelta(hours=30)):
        shown = text_of(superuser.get(ADDRESS))
    assert shown.count("Needs attention") == shown.count("What to do:") == 1  # the mails
    with at():
        metric("orders")
        metric(DROPPED_SLUG, labels={"reason": "refused"})
    QuarantinedItem.objects.create(payload="", reason="bad")
    Metric.objects.update(second_kind="gauge")
    settings.APP_METRICS_URLS = {"page": {}}
    settings.APP_METRICS_BACKEND = "nowhere.at.all"
    with freeze_time(NOW + timedelta(hours=30)):
        shown = text_of(superuser.get(ADDRESS))
    assert shown.count("Needs attention") == 7
    assert "Fine" not in re.sub(r"<[^>]*>", " ", shown.partition("content-main")[2])


def test_mails_are_neither_shown_nor_linked_without_permission(looker, mails):
    QuarantinedItem.objects.create(payload="", reason="bad")
    with at():
        looker.force_login(User.objects.get())
        shown = text_of(looker.get(ADDRESS))
    assert "1 failed" in shown
    assert "x@example.com" not in shown
    assert not re.search(r'href="[^"]*(delivery|notice|quarantineditem)/', shown)


def test_permitted_users_see_the_latest_failed_mails_and_links_to_all(superuser, mails):
    shown = text_of(superuser.get(ADDRESS))
    for model in ("delivery", "notice"):
        for status in ("failed", "undecided"):
            link = re.search(f'href="([^"]*/{model}/[^"]*={status})"', shown)
            assert superuser.get(link[1]).context["cl"].result_count == 1
    assert shown.count("<td>refused</td>") == 4


def test_the_reason_of_a_mail_is_in_the_readers_language(superuser, mails, settings):
    Delivery.objects.update(error=STOPPED)
    settings.LANGUAGE_CODE = "de"
    assert "Der Versand brach ab" in text_of(superuser.get(ADDRESS))


def test_the_number_of_queries_does_not_grow(looker, settings):
    counts = []
    for number in (2, 30):
        settings.APP_METRICS_URLS = {"admin:index": [f"metric-{each}" for each in range(number)]}
        fill(number)
        if number > 2:
            aggregate()
            Metric.objects.update(second_kind="gauge")
        with at(), CaptureQueriesContext(connections[Metric.objects.db]) as queries:
            examine()
        counts.append(len(queries))
    # While events with labels are pending, two more find out which label sets are beyond the cap.
    assert counts[0] - 2 == counts[1] <= 15


def test_the_page_names_dates_that_a_wrong_clock_set_in_the_future(superuser, settings):
    assert "Clocks" not in superuser.get(ADDRESS).content.decode()
    settings.APP_METRICS_ALERTS = {"No orders": {"metric": "orders", "period": "day", "below": 1}}
    late = timezone.now() + timedelta(days=365)
    for name in ("No orders", "An alert without a rule"):
        Alert.objects.create(name=name, reported_at=late)
    growth = create_metric_set("Growth", [])
    Schedule.objects.create(metric_set=growth, period="day", through=late.date(), planned_at=late)
    content = superuser.get(ADDRESS).content.decode()
    assert re.search(rf"<li>Growth, day: [^<]*{late.year}</li>", content)
    assert re.search(rf"<li>No orders: [^<]*{late.year}[^<]*</li>", content)
    assert "An alert without a rule" not in content


def test_a_last_aggregation_in_the_future_says_nothing_about_pending_items(database):
    AggregationRun.objects.create(finished_at=NOW + timedelta(days=365), seconds=1, items=1, quarantined=0)
    with at(hours=1):
        metric("orders")
    assert examined().aggregating.is_late


@pytest.mark.parametrize("staff", [None, False, True])
def test_the_page_needs_the_permission_to_view_metrics(staff, client, database):
    if staff is not None:
        client.force_login(User.objects.create_user("other", is_staff=staff))
    response = client.get(ADDRESS)
    assert response.status_code == (403 if staff else 302)
    assert staff or "/admin/login/" in response["Location"]
