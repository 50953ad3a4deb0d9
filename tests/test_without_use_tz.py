"""A site with `USE_TZ = False`, whose metrics are in another time zone: every command, page, door and backend.

The code differs by database: SQLite and MariaDB refuse aware datetimes there, PostgreSQL stores them.
"""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.test import Client
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Alert, Annotation, Dashboard, Delivery, Metric, MetricSet, Milestone, Notice
from app_metrics.models.creation import create_metric_set
from app_metrics.notifications.alerts import check_alerts
from app_metrics.signals import alert_fired, milestone_reached
from app_metrics.storage.ledger import old_rows, write_once
from app_metrics.transport import spool
from tests.support.contract import batch_of
from tests.support.totals import year_counts
from tests.testapp.models import Order

# A Saturday, and already Sunday, 00:30, in Tokyo (the metrics time zone). TIME_ZONE is UTC, as freezegun's naive times.
NOW = datetime(2026, 8, 1, 15, 30, tzinfo=UTC)
DAY = timedelta(days=1)
TEAM = ["team@example.com"]

pytestmark = [pytest.mark.every_database, pytest.mark.urls("tests.support.unsubscribe_urls")]


@pytest.fixture(autouse=True)
def site(database: str, settings: Any) -> Iterator[Any]:
    settings.USE_TZ, settings.TIME_ZONE = False, "UTC"
    settings.APP_METRICS_TIME_ZONE = "Asia/Tokyo"
    settings.APP_METRICS_BASE_URL = "https://shop.example"
    settings.APP_METRICS_MILESTONES = {"orders": {"at": [3], "recipients": TEAM}}
    settings.APP_METRICS_ALERTS = {
        "few": {"metric": "orders", "period": "hour", "below": 5, "recipients": TEAM, "quiet": 1},
    }
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "sales", "backfill": "placed_at"}}}
    settings.APP_METRICS_RETENTION = {"hour": 10}
    with freeze_time(NOW) as clock:
        yield clock


@pytest.fixture
def metric_set() -> MetricSet:
    """A set with a metric that was recorded an hour and two days ago, and reached a milestone."""
    metric("orders", at=NOW - 2 * DAY)
    aggregate()
    metric("orders", 4, at=NOW - timedelta(hours=1))
    aggregate()
    return create_metric_set("Mine", [Metric.objects.get(slug="orders")], TEAM)


def run(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_mail_alerts_and_milestones_work(metric_set: MetricSet, site: Any) -> None:
    heard = []
    for signal in (milestone_reached, alert_fired):
        signal.connect(lambda moment, **_: heard.append(moment), weak=False, dispatch_uid="heard")
    try:
        assert "1 report and 1 notification would be sent" in run("metrics_send_mail", "--dry-run")
        site.move_to(NOW + DAY)
        assert "reached 3 on Sunday, 2 August" in run("metrics_send_mail", "--preview", "Mine")
        site.move_to(NOW)
        assert "Sent 1 report and 1 notification" in run("metrics_send_mail")
        assert "Evaluated 1 alert, 1 fired" in run("metrics_aggregate", "--then-alerts")
        metric("orders", 50)
        site.tick(timedelta(minutes=40))
        assert "Evaluated 1 alert, 0 fired, 0 recovered" in run("metrics_check_alerts")
        site.tick(timedelta(minutes=20))
        assert "Evaluated 1 alert, 0 fired, 1 recovered" in run("metrics_check_alerts")
        assert "1 mail" not in run("metrics_send_mail")
    finally:
        for signal in (milestone_reached, alert_fired):
            signal.disconnect(dispatch_uid="heard")
    assert heard == [NOW]
    milestone, report, alert, recovered = [each.body for each in mail.outbox]
    assert "Detected: 2 August 2026, 12:30 a.m." in milestone + report
    assert "1 August 2026, 11 p.m.: 4" in alert
    assert "2 August 2026, midnight: 50" in recovered
    assert Milestone.objects.get().reached_at == datetime(2026, 8, 1, 15, 30)  # noqa: DTZ001


def test_an_alert_can_be_checked_at_an_aware_moment(metric_set: MetricSet) -> None:
    assert [each.name for each in check_alerts(NOW).fired] == ["few"]
    assert Alert.objects.get().evaluated_at == datetime(2026, 8, 1, 15, 30)  # noqa: DTZ001


def test_annotations_lie_in_the_days_of_the_metrics_time_zone(metric_set: MetricSet, settings: Any) -> None:
    settings.APP_METRICS_RELEASE = "4.2"
    run("metrics_aggregate")
    assert run("metrics_annotate", "Sale", "--at=2026-08-02T00:10") == "Annotated 2026-08-02 00:10: Sale\n"
    run("metrics_annotate", "Fair", "--at=2026-08-01T23:50")
    sunday = date(2026, 8, 2)
    found = Annotation.objects.within(sunday, sunday).latest_of([])
    assert [each.text for each in found] == ["Sale", "Release 4.2"]
    assert [each.moment for each in found] == [NOW - timedelta(minutes=20), NOW]


def test_the_other_commands_work(metric_set: MetricSet, tmp_path: Path) -> None:
    assert re.search(r"2026-08-01 23:00 +4 +1$", run("metrics_show", "orders", "--period=hour"), re.MULTILINE)
    run("metrics_export", f"--output={tmp_path / 'totals.csv'}")
    hours = [row["start"] for row in csv.DictReader((tmp_path / "totals.csv").open()) if row["period"] == "hour"]
    assert hours == ["2026-07-31T00:00:00+09:00", "2026-08-01T23:00:00+09:00"]
    Metric.objects.all().delete()
    assert "Imported 8 of 8 lines" in run("metrics_import", str(tmp_path / "totals.csv"))
    (tmp_path / "events.csv").write_text("2026-08-01T23:59,orders,1\n2026-08-01T15:00:00Z,orders,1\n")
    assert "Imported 2 of 2 lines" in run("metrics_import", str(tmp_path / "events.csv"))
    hour = Metric.objects.get(slug="orders").series("hour", NOW - DAY, NOW)
    assert [point.total for point in hour if point.count] == [5, 1]

    Order.objects.bulk_create([Order(placed_at=datetime(2026, 7, day, 17, 30)) for day in (1, 2)])  # noqa: DTZ001
    assert "added 2 events to 'sales': it is filled up to 2026-08-02 00:00" in run("metrics_backfill", "sales")
    assert "2 rows compared, all days agree" in run("metrics_verify")
    assert "Deleted 2 totals by hour" in run("metrics_prune")
    assert "0 items are pending" in run("metrics_aggregate", "--dry-run")


def test_every_page_and_endpoint_answers(metric_set: MetricSet, settings: Any) -> None:
    run("metrics_aggregate", "--then-alerts")
    run("metrics_send_mail")
    User.objects.create_superuser("ada", "ada@example.com", "secret")
    browser = Client()
    assert browser.login(username="ada", password="secret")
    lists = [
        f"/admin/app_metrics/{each}/"
        for each in (
            "aggregationrun", "alert", "backfill", "dashboard", "delivery", "importedfile", "item", "metric",
            "metricset", "milestone", "notice", "quarantineditem", "total", "unsubscription",
        )
    ]  # fmt: skip
    reports = [f"/admin/app_metrics/metricset/{metric_set.pk}/report/{each}/" for each in ("day", "week", "month")]
    forms = [
        f"/admin/app_metrics/{each._meta.model_name}/{each.objects.earliest('pk').pk}/change/"
        for each in (Alert, Delivery, Metric, MetricSet, Milestone, Notice)
    ]
    hours = "metric/orders/?period=hour&start=2026-08-01&end=2026-08-02"
    pages = ("health/", "unused/", "metric/orders/", "metric/orders/?format=csv", hours, f"{hours}&format=json")
    dashboard = [f"{lists[3]}{each}" for each in pages]
    apis = [f"/metrics/{each}" for each in ("prometheus/", "api/metrics/", "api/metrics/orders/series/?period=hour")]
    for page in (*lists, *reports, *(f"{each}mail/" for each in reports), *forms, *dashboard, *apis):
        assert browser.get(page).status_code == 200, page

    assert "detected 2 August 2026" in browser.get(dashboard[2]).content.decode()
    totals = browser.get("/metrics/api/metrics/orders/totals/", {"period": "hour", "date": "2026-08-01T23:00"}).json()
    assert (totals["start"], totals["summary"]["total"]) == ("2026-08-01T23:00:00+09:00", "4")
    assert browser.post(f"{reports[0]}test/").status_code == 302
    again = {"action": "send_again", "_selected_action": [Delivery.objects.get().pk]}
    assert browser.post(lists[4], again).status_code == 302
    (link,) = (
        each.extra_headers["List-Unsubscribe"] for each in mail.outbox if "List-Unsubscribe" in each.extra_headers
    )
    assert Client().post(link.strip("<>").removeprefix("https://shop.example")).status_code == 200
    assert not Dashboard.objects.exclude(slug="orders").exists()


def test_batches_from_outside_the_database_count_once(settings: Any, tmp_path: Path) -> None:
    settings.APP_METRICS_SPOOL_DIR = str(tmp_path)
    batch = batch_of("orders")
    assert write_once(batch)
    assert not write_once(batch)
    assert spool.append(batch_of("orders"))
    aggregate()
    assert year_counts() == {"orders": 2}
    assert old_rows().count() == 0
