"""Django's dumpdata and loaddata move all tables to another database, also where rows exist already."""

import json
import re
from datetime import UTC, date, datetime
from io import StringIO

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import models

from app_metrics import gauge, metric
from app_metrics.aggregation.releases import annotate_release
from app_metrics.aggregation.run import aggregate
from app_metrics.models import (
    Alert,
    Annotation,
    Backfill,
    Delivery,
    HighWaterMark,
    ImportedFile,
    Metric,
    MetricSet,
    Milestone,
    Notice,
    QuarantinedItem,
    ReportedMilestone,
    Schedule,
    Unsubscription,
)
from app_metrics.reports.declared_sets import declare

NOON = datetime(2026, 11, 23, 11, tzinfo=UTC)
DAY = date(2026, 11, 22)
MODELS = [model for model in apps.get_app_config("app_metrics").get_models() if not model._meta.proxy]
# Nothing but their primary keys tells their rows apart; that of an aggregation run is always 1.
BY_PRIMARY_KEY = {"AggregationRun", "Notice", "QuarantinedItem"}
LEFT_OUT = {"app_metrics.total", "app_metrics.aggregationrun"}
# Databases write decimals with different numbers of zeros.
NUMBERS = {"base", "last", "maximum", "minimum", "total", "value"}


@pytest.fixture
def site(transactional_database, settings):
    """Switch the site to a database; at the end, the one of the test."""

    def switch(alias):
        settings.APP_METRICS_DATABASE = settings.TEST_SITE_DATABASE = alias

    settings.APP_METRICS_SETS = {
        "Shop": {"metrics": ["orders"], "recipients": ["a@example.com"], "send": ["daily"]},
        "Jobs": {"metrics": ["queue"]},
    }
    settings.APP_METRICS_RELEASE = "4.2"
    return switch


def fill():
    """Store at least one row in every table."""
    for number in range(6):
        metric("orders", number + 1, labels={"plan": "pro" if number % 2 else "frée"}, at=NOON)
    gauge("queue", 0.1, at=NOON)
    aggregate()
    metric("orders", at=NOON)  # stays pending
    declare()
    shop, orders = MetricSet.objects.get(name="Shop"), Metric.objects.get(slug="orders")
    own = MetricSet.objects.create(name="Own", send_daily=False)
    own.metrics.add(orders)
    own.email_recipients.add(User.objects.create(username="ann", email="ann@example.com", date_joined=NOON))
    Backfill.objects.create(metric=orders, until_day=DAY, until_hour=3, updated_at=NOON)
    Schedule.objects.update(through=DAY, planned_at=NOON)
    schedule = Schedule.objects.get(metric_set=shop, period="day")
    milestone = Milestone.objects.create(slug="orders", value=10, total=21, reached_at=NOON)
    ReportedMilestone.objects.create(schedule=schedule, milestone=milestone, start=DAY)
    sent = {"recipient": "a@example.com", "address": "a@example.com", "status": "sent", "planned_at": NOON}
    Delivery.objects.create(metric_set=shop, period="day", start=DAY, **sent)
    Notice.objects.create(subject="s", text="t", **sent)
    Unsubscription.objects.create(metric_set=shop, recipient="b@example.com", address="b@example.com")
    Unsubscription.objects.update(created_at=NOON)
    Alert.objects.create(name="quiet")
    Annotation.objects.create(text="Sale", at=NOON, metric=orders)
    annotate_release()
    Annotation.objects.filter(text="Release 4.2").update(at=NOON)
    HighWaterMark.objects.create(slug="orders", total=21)
    ImportedFile.objects.create(digest="0" * 64, name="file.csv", lines=1, imported_at=NOON)
    QuarantinedItem.objects.create(payload="{}", reason="damaged")
    QuarantinedItem.objects.update(quarantined_at=NOON)


def empty():
    for model in (*MODELS, User):
        model.objects.all().delete()


def dump(path, alias):
    """Dump a database to a file; return its rows, which are equal for equal contents. An export compares the totals."""
    call_command(
        "dumpdata", "auth.user", "app_metrics", natural_foreign=True, natural_primary=True, database=alias, output=path
    )
    rows = [row for row in json.loads(path.read_text()) if row["model"] not in LEFT_OUT]
    for row in rows:
        row["fields"].update({name: float(row["fields"][name] or 0) for name in NUMBERS & row["fields"].keys()})
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def export():
    out = StringIO()
    call_command("metrics_export", verbosity=0, stdout=out)
    return out.getvalue()


@pytest.mark.every_database
def test_a_dump_is_loaded_beside_declared_rows_and_back_with_equal_exports(site, transactional_database, tmp_path):
    site("default")
    fill()
    rows = dump(tmp_path / "there.json", "default")
    before = export()
    if transactional_database == "default":
        empty()
    site(transactional_database)
    # Rows that were made meanwhile have other primary keys than those of the dump.
    Metric.objects.create(slug="other", name="other")
    gauge("queue", 5, at=NOON)
    aggregate()
    declare()
    Metric.objects.filter(slug="other").delete()
    call_command("loaddata", tmp_path / "there.json", database=transactional_database, verbosity=0)
    assert dump(tmp_path / "back.json", transactional_database) == rows
    assert export() == before
    site("default")
    empty()
    declare()
    call_command("loaddata", tmp_path / "back.json", database="default", verbosity=0)
    assert export() == before


@pytest.mark.parametrize("spelling", ["10", "10.000000000"])
def test_a_dump_of_another_database_finds_numbers_that_are_written_with_other_zeros(spelling, site, tmp_path):
    fill()
    dump(tmp_path / "dump.json", "default")
    text = (tmp_path / "dump.json").read_text()
    (tmp_path / "dump.json").write_text(re.sub(r'"10(\.0+)?"', f'"{spelling}"', text))
    call_command("loaddata", tmp_path / "dump.json", verbosity=0)
    assert (Milestone.objects.count(), ReportedMilestone.objects.count()) == (1, 1)
    assert Milestone.objects.filter(value=10).exists()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_a_natural_key_or_a_global_id(model):
    if isinstance(model._meta.pk, models.UUIDField) or model.__name__ in BY_PRIMARY_KEY:
        assert not hasattr(model, "natural_key")
    else:
        assert hasattr(model, "natural_key")
        assert hasattr(model._default_manager, "get_by_natural_key")
