"""A site with a read replica: what belongs to a write is read where it is written, pages and the API from the replica.

The replica is a copy that never changes, or one without any lag. Each command must do the same with both, and read
nothing from either.
"""

import csv
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import (
    Alert,
    Annotation,
    Backfill,
    Delivery,
    Metric,
    MetricSet,
    Milestone,
    Notice,
    Total,
    Unsubscription,
)
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.models.primary import primary
from app_metrics.reports.declared_sets import declare
from app_metrics.reports.recipients import Recipient, stop_url
from app_metrics.storage.ledger import old_rows
from tests.support.replicas import frozen, replicated
from tests.testapp.models import Order

DAY = timedelta(days=1)
PAGES = (
    "/admin/app_metrics/dashboard/",
    "/admin/app_metrics/dashboard/metric/orders/",
    "/admin/app_metrics/dashboard/metric/orders/?format=csv",
    "/admin/app_metrics/dashboard/health/",
    "/admin/app_metrics/dashboard/unused/",
    "/admin/app_metrics/metric/",
    "/admin/app_metrics/metricset/{set}/report/day/",
    "/metrics/api/metrics/",
    "/metrics/api/metrics/orders/series/",
    "/metrics/api/metrics/orders/totals/",
    "/metrics/prometheus/",
)

pytestmark = pytest.mark.urls("tests.support.unsubscribe_urls")


@pytest.fixture
def boss(transactional_db: None, settings: Any) -> User:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.APP_METRICS_BASE_URL = "https://shop.example"
    return User.objects.create_superuser("ada", "ada@example.com", "secret")


@pytest.fixture(params=["frozen", "without lag"])
def replica(request: pytest.FixtureRequest, boss: User, settings: Any, tmp_path: Path) -> Iterator[Any]:
    """The connection to a replica; a frozen one knows only a user."""
    with replicated(settings, frozen(tmp_path) if request.param == "frozen" else None) as connection:
        yield connection


@pytest.fixture
def site(replica: Any) -> Iterator[None]:
    """A site whose code under test must not read from the replica."""
    with CaptureQueriesContext(replica) as queries:
        yield
    assert [query["sql"] for query in queries] == []


@pytest.fixture
def browser(boss: User) -> Client:
    browser = Client()
    browser.force_login(boss)
    return browser


def run(name: str, *arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def stored(period: str = "year") -> dict[tuple[str, str], int]:
    """Return what totals of a period count, by slug and label set."""
    counts: dict[tuple[str, str], int] = {}
    for slug, labels, count in (
        primary(Total.objects).filter(period=period).values_list("metric__slug", "labels", "count")
    ):
        counts[slug, labels] = counts.get((slug, labels), 0) + count
    return counts


def first(model: type[Any]) -> Any:
    return primary(model.objects).get()


def test_an_aggregation_reads_from_the_primary(site: None, settings: Any) -> None:
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    for plan in ("a", "b", "c"):
        metric("orders", labels={"plan": plan})
        run("metrics_aggregate")

    named = {("orders", '{"plan":"a"}'): 1, ("orders", '{"plan":"b"}'): 1, ("orders", '{"overflow":"true"}'): 1}
    assert stored() == named
    assert run("metrics_aggregate", "--dry-run").startswith("0 items are pending")


def test_the_checks_find_nothing(site: None) -> None:
    metric("orders")
    assert run_checks(databases=["default"]) == []


def test_a_metric_that_is_saved_without_a_slug_gets_a_free_one(site: None) -> None:
    assert [Metric.objects.create(name="foo bar").slug for _ in range(2)] == ["foo-bar", "foo-bar-2"]


def test_milestones_and_alerts_are_found_and_mailed_once(site: None, settings: Any) -> None:
    team = ["team@example.com"]
    settings.APP_METRICS_MILESTONES = {"orders": {"at": [3], "recipients": team}}
    settings.APP_METRICS_ALERTS = {
        "few": {"metric": "orders", "period": "day", "below": 5, "recipients": team, "quiet": 0}
    }
    metric("orders", 0, at=timezone.now() - 2 * DAY)  # counting began before the day that the alert looks at
    metric("orders", at=timezone.now() - DAY)
    run("metrics_aggregate")
    metric("orders", 3)
    said = run("metrics_aggregate", "--then-alerts")
    assert "Evaluated 1 alert, 1 fired" in said
    run("metrics_aggregate", "--then-alerts")
    assert "0 fired" in run("metrics_check_alerts")

    assert (first(Milestone).total, first(Alert).value) == (4, 1)
    assert primary(Notice.objects).filter(status="sent").count() == len(mail.outbox) == 2


def test_mail_goes_to_declared_and_created_sets_once(site: None, settings: Any, boss: User) -> None:
    metric("orders", 5, at=timezone.now() - DAY)
    aggregate()
    settings.APP_METRICS_SETS = {"Growth": {"metrics": ["orders"], "recipients": ["t@example.com"], "send": ["daily"]}}
    with freeze_time(timezone.now() - DAY):
        declare()
    create_metric_set("Mine", [first(Metric)], [boss])

    assert "2 reports and 0 notifications would be sent" in run("metrics_send_mail", "--dry-run")
    for name in ("Growth", "Mine"):
        assert "orders" in run("metrics_send_mail", "--preview", name)
    assert "Sent 2 reports" in run("metrics_send_mail")
    assert "Sent 0 reports" in run("metrics_send_mail")
    assert "Sent 2 reports" in run("metrics_send_mail", "--force")

    assert sorted(address for each in mail.outbox for address in each.to) == [
        "ada@example.com", "ada@example.com", "t@example.com", "t@example.com",
    ]  # fmt: skip
    assert all("orders" in each.body for each in mail.outbox)
    settings.APP_METRICS_SETS = {}
    run("metrics_send_mail")
    assert not primary(MetricSet.objects).get(name="Growth").declared


def test_a_set_is_declared_at_migrate(site: None, settings: Any) -> None:
    create_metric("Orders", "orders")
    settings.APP_METRICS_SETS = {"Growth": {"metrics": ["orders"]}}
    run("migrate", verbosity=0)
    run("migrate", verbosity=0)
    assert [each.slug for each in primary(first(MetricSet).metrics)] == ["orders"]


def test_an_export_can_be_imported(site: None, tmp_path: Path) -> None:
    metric("orders", 5, labels={"plan": "pro"})
    path = tmp_path / "totals.csv"
    run("metrics_export", f"--output={path}")
    with path.open(newline="") as stream:
        assert {(row["slug"], row["count"]) for row in csv.DictReader(stream)} == {("orders", "1")}
    before = stored()
    first(Metric).delete()

    assert "Imported 5 of 5 lines" in run("metrics_import", str(path))
    assert "nothing was changed" in run("metrics_import", str(path))
    assert stored() == before


def test_history_is_filled_and_verified(site: None, settings: Any) -> None:
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    past = timezone.now() - 30 * DAY
    Order.objects.bulk_create([Order(placed_at=past + DAY * number) for number in range(12)])

    assert "Read 12 rows, added 12 events" in run("metrics_backfill", "orders")
    assert "added 0 events" in run("metrics_backfill", "orders", "--again")
    assert "12 rows compared, all days agree" in run("metrics_verify")
    assert first(Backfill).events == 12


def test_old_totals_and_ledger_rows_are_pruned(site: None, settings: Any) -> None:
    settings.APP_METRICS_RETENTION = {"day": 10}
    metric("orders", at=timezone.now() - 40 * DAY)
    aggregate()
    assert "1 total by day" in run("metrics_prune", "--dry-run")
    run("metrics_prune")
    assert stored("day") == {}
    assert old_rows().count() == 0


def test_a_metric_is_shown_after_its_first_aggregation(site: None) -> None:
    metric("orders", 7)
    aggregate()
    metric("orders", 8)
    assert re.search(r"\b15\b.*\b2$", run("metrics_show", "orders", "--last=1"), re.MULTILINE)


def test_the_link_in_a_mail_unsubscribes(replica: Any) -> None:
    metric_set = create_metric_set("Mine", [create_metric("Orders", "orders")], ["t@example.com"])
    link = stop_url(metric_set, Recipient("t@example.com", "t@example.com"))
    assert link is not None
    assert Client().post(link.removeprefix("https://shop.example")).status_code == 200
    assert first(Unsubscription).address == "t@example.com"


def test_the_admin_reads_from_the_primary(replica: Any, browser: Client) -> None:
    forms: Callable[..., dict[str, Any]] = lambda **values: {  # noqa: E731
        **values, "unsubscriptions-TOTAL_FORMS": 0, "unsubscriptions-INITIAL_FORMS": 0,
    }  # fmt: skip

    def post(page: str, data: dict[str, Any]) -> None:
        response = browser.post(f"/admin/app_metrics/{page}/", data)
        assert response.status_code == 302, response.content.decode()

    post("metric/add", {"name": "Orders", "slug": "orders", "kind": "counter"})
    orders = first(Metric)
    post(f"metric/{orders.pk}/change", {"name": "Sales", "kind": "counter"})
    assert first(Metric).name == "Sales"
    post("metricset/add", forms(name="Mine", metrics=[orders.pk], send_daily="on"))
    mine = first(MetricSet)
    Unsubscription.objects.create(metric_set=mine, recipient="t@example.com", address="t@example.com")
    stopped = first(Unsubscription).pk
    inline = {
        "unsubscriptions-TOTAL_FORMS": 1,
        "unsubscriptions-INITIAL_FORMS": 1,
        "unsubscriptions-0-id": stopped,
        "unsubscriptions-0-metric_set": mine.pk,
        "unsubscriptions-0-DELETE": "on",
    }
    post(f"metricset/{mine.pk}/change", {"name": "Ours", "metrics": [orders.pk], **inline})
    assert (first(MetricSet).name, primary(Unsubscription.objects).count()) == ("Ours", 0)

    row = {"recipient": "t@example.com", "address": "t@example.com", "planned_at": timezone.now(), "period": "day"}
    delivery = Delivery.objects.create(metric_set=mine, start=timezone.now() - DAY, status="failed", **row)
    again = {"action": "send_again", "_selected_action": [delivery.pk]}
    post("delivery", again)
    assert first(Delivery).status == "waiting"

    happened = {"text": "Sale", "at_0": "2026-11-23", "at_1": "09:00"}
    post("annotation/add", happened)
    post(f"annotation/{first(Annotation).pk}/change", {**happened, "text": "Fair"})
    assert first(Annotation).text == "Fair"
    post("metric", {**happened, "action": "annotate", "_selected_action": [orders.pk], "annotated": "1"})
    assert primary(Annotation.objects).count() == 2

    post(f"metricset/{mine.pk}/delete", {"post": "yes"})
    post("metric", {"action": "delete_selected", "_selected_action": [orders.pk], "post": "yes"})
    assert not primary(MetricSet.objects).exists()
    assert not primary(Metric.objects).exists()


def test_pages_and_the_api_read_only_from_the_replica(
    boss: User, browser: Client, settings: Any, tmp_path: Path
) -> None:
    settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": "logins"}
    metric("orders", 5, labels={"plan": "pro"})
    aggregate()
    mine = create_metric_set("Mine", [first(Metric)], [boss])
    with replicated(settings, frozen(tmp_path)) as replica:
        with collect():
            metric("orders", 7)
        aggregate()
        for page in PAGES:
            with CaptureQueriesContext(connections["default"]) as written, CaptureQueriesContext(replica) as read:
                response = browser.get(page.format(set=mine.pk))
            assert response.status_code == 200, page
            assert not [query["sql"] for query in written if "app_metrics_" in query["sql"]], page
            assert any("app_metrics_" in query["sql"] for query in read), page
        assert browser.get(PAGES[-2]).json()["summary"]["total"] == "5"
