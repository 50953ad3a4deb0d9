"""A metric exists from its first event on, before any aggregation."""

import logging
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.template import Context, Template
from django.urls import reverse
from django.utils import timezone

from app_metrics import gauge, metric
from app_metrics.api import prometheus
from app_metrics.models import Item, Metric
from app_metrics.models.creation import create_metric
from app_metrics.notifications.alerts import check_alerts
from app_metrics.reports.declared_sets import declare
from tests.support.replicas import ALIAS, frozen, replicated

pytestmark = pytest.mark.django_db


@pytest.mark.every_database
def test_getting_a_metric_creates_it_with_the_kind_of_its_first_pending_event(transactional_database):
    gauge("load", 3)
    metric("load")
    found = Metric.objects.get(slug="load")
    assert (found.name, found.kind, found.summary("day").count) == ("load", "gauge", 2)


def test_creating_a_metric_gives_the_pending_events_the_wanted_name():
    gauge("load", 3)
    assert (create_metric("CPU load", "load", "gauge").name, Metric.objects.get().name) == ("CPU load", "CPU load")


def test_getting_a_metric_that_nothing_was_recorded_for_fails_as_before():
    metric("downloads")
    with pytest.raises(Metric.DoesNotExist):
        Metric.objects.get(slug="uploads")


def test_only_the_wanted_metrics_are_discovered():
    metric("downloads")
    metric("uploads")
    assert (Metric.objects.discover({"uploads"}), Metric.objects.discover({"uploads"})) == (1, 0)
    assert [each.slug for each in Metric.objects.all()] == ["uploads"]


def test_a_database_that_refuses_leaves_the_metric_to_the_next_aggregation(caplog, monkeypatch):
    def refuse(*args, **options):
        raise DatabaseError("read-only")

    metric("downloads")
    monkeypatch.setattr("django.db.models.QuerySet.bulk_create", refuse)
    with caplog.at_level(logging.WARNING), pytest.raises(Metric.DoesNotExist):
        Metric.objects.get(slug="downloads")
    assert "The metrics of pending events could not be created: " in caplog.text


@pytest.mark.every_database
def test_a_search_that_fails_leaves_the_transaction_usable(transactional_database, monkeypatch):
    monkeypatch.setattr(Item._meta, "db_table", "app_metrics_missing")
    with transaction.atomic(using=transactional_database):
        with pytest.raises(Metric.DoesNotExist):
            Metric.objects.get(slug="downloads")
        create_metric("Downloads", "downloads")
    assert Metric.objects.get(slug="downloads").name == "Downloads"


def test_another_database_gives_no_metric_of_the_own_one(transactional_db, settings, tmp_path):
    """Otherwise `loaddata --database` would save a metric there under the primary key that it has here."""
    metric("downloads")
    with replicated(settings, frozen(tmp_path)):
        with pytest.raises(Metric.DoesNotExist):
            Metric.objects.db_manager(ALIAS).get_by_natural_key("downloads")
        assert not Metric.objects.using("default").exists()
        assert Metric.objects.get(slug="downloads")


@pytest.mark.parametrize(
    "path",
    [
        reverse("admin:app_metrics_dashboard_changelist"),
        reverse("admin:app_metrics_dashboard_metric", args=["downloads"]),
        reverse("admin:app_metrics_metric_changelist"),
        "/stats/api/metrics/",
        "/stats/api/metrics/downloads/series/",
        "/stats/api/metrics/downloads/totals/",
    ],
)
def test_a_page_shows_a_metric_from_its_first_event_on(path, admin_client, settings):
    settings.ROOT_URLCONF = "tests.support.api_urls" if path.startswith("/stats/") else settings.ROOT_URLCONF
    metric("downloads", 4)
    answer = admin_client.get(path)
    assert answer.status_code == 200
    assert "downloads" in answer.content.decode()


def test_prometheus_gets_a_metric_from_its_first_event_on():
    metric("downloads", 4)
    assert [(family.name, family.samples[0].value) for family in prometheus.families()] == [("downloads", 4)]


def test_the_terminal_shows_a_metric_from_its_first_event_on(capsys):
    metric("downloads", 4)
    call_command("metrics_show", "downloads", "--last", "1")
    assert capsys.readouterr().out.split()[-3:-1] == ["4", "1"]


def test_templates_show_a_metric_from_its_first_event_on():
    metric("downloads", 4)
    text = "{% load app_metrics %}{% metric_total 'downloads' %} {% metric_sparkline 'downloads' %}"
    shown = Template(text).render(Context())
    assert shown.startswith("4 <svg")


def test_a_declared_set_contains_a_metric_from_its_first_event_on(settings):
    settings.APP_METRICS_SETS = {"Files": {"metrics": ["downloads"]}}
    metric("downloads")
    declare()
    assert [each.slug for each in Metric.objects.filter(sets__name="Files")] == ["downloads"]


def test_an_alert_watches_a_metric_from_its_first_event_on(settings):
    settings.APP_METRICS_ALERTS = {"Many": {"metric": "downloads", "period": "day", "above": 1}}
    metric("downloads", at=timezone.now() - timedelta(days=1))
    assert check_alerts().evaluated == ["Many"]
