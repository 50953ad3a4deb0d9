"""The paths that projects import or name in their settings do not change."""

from importlib import import_module

import django
import pytest
from django.core.management import get_commands
from django.template import engines
from django.utils.module_loading import import_string

from tests.project.test_docs import NEEDS_DJANGO_6, PAGES, named_in_the_package
from tests.support.paths import ROOT

NAMES = {
    "app_metrics": ["Timer", "collect", "distribution", "flush", "gauge", "metric", "timing", "track", "unique"],
    "app_metrics.admin.dashboard": ["DashboardAdmin"],
    "app_metrics.aggregation": ["Aggregation", "Backlog", "aggregate", "backlog"],
    "app_metrics.backends": ["MetricsBackend", "get_backend", "load_backend"],
    "app_metrics.backends.locmem": ["outbox"],
    "app_metrics.conf": ["timeout"],
    "app_metrics.contrib.asgi": ["counting", "flushing"],
    "app_metrics.contrib.django_task_functions": ["aggregate", "send_reports"],
    "app_metrics.contrib.querysets": ["CountedQuerySet"],
    "app_metrics.contrib.track": ["track"],
    "app_metrics.core.batch": ["Batch", "Key"],
    "app_metrics.core.labels": ["decode_labels"],
    "app_metrics.core.summary": ["Summary", "merge"],
    "app_metrics.definitions": ["Counter", "Distribution", "Gauge", "Timer", "Unique"],
    "app_metrics.exceptions": ["AppMetricsError", "InvalidMetricsBackend", "MetricError", "TimerError"],
    "app_metrics.middleware": ["MetricsMiddleware"],
    "app_metrics.models": [
        "KIND_NAMES", "AggregationRun", "Alert", "Annotation", "Backfill", "Dashboard", "Delivery", "HighWaterMark",
        "ImportedFile", "Item", "LedgerRow", "Metric", "MetricQuerySet", "MetricSet", "Milestone", "Notice",
        "OutgoingMail", "QuarantinedItem", "RecurringJob", "ReportedMilestone", "Schedule", "StoredSummary", "Total",
        "Unsubscription",
    ],
    "app_metrics.notifications.alerts": ["check_alerts"],
    "app_metrics.notifications.outbox": ["send_notices", "send_notifications"],
    "app_metrics.reports": ["build_report"],
    "app_metrics.reports.sending": ["send_reports"],
    "app_metrics.signals": ["alert_fired", "alert_recovered", "milestone_reached"],
    "app_metrics.storage.ledger": ["write_once"],
    "app_metrics.storage.routers": ["MetricsRouter"],
    "app_metrics.testing": ["Recording", "assert_metric_recorded", "capture_metrics"],
    "app_metrics.testing.pytest_plugin": ["capture_metrics"],
    "app_metrics.transport.retrying": ["RetryingBackend"],
    "app_metrics.ratios": ["Quotient", "Ratio", "UnknownRatio", "get_ratio"],
    "app_metrics.trending": ["InvalidMetric", "trending_for_metric", "trends"],
    "app_metrics.urls": ["urlpatterns"],
    "app_metrics.utils": [
        "Timer", "collect", "collection_disabled", "create_metric", "create_metric_set", "gauge",
        "get_or_create_metric", "metric", "timing",
    ],
}  # fmt: skip
BACKENDS = ["celery", "composite", "console", "db", "dummy", "locmem", "otel", "redis", "statsd"]
TASKS = ["aggregate", "check_alerts", "prune", "send_reports", "write_batch"]
COMMANDS = [
    "adopt",
    "aggregate",
    "annotate",
    "backfill",
    "check_alerts",
    "export",
    "import",
    "prune",
    "send_mail",
    "show",
    "start",
    "suggest",
    "verify",
]


@pytest.mark.parametrize("path", NAMES)
def test_public_names_exist_at_their_documented_paths(path):
    if path.startswith(NEEDS_DJANGO_6) and django.VERSION < (6, 0):
        pytest.skip("came with Django 6.0")
    module = import_module(path)
    assert [name for name in NAMES[path] if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", [path for path in NAMES if (ROOT / path.replace(".", "/")).is_dir()])
def test_a_package_exports_exactly_the_listed_names(path):
    assert sorted(import_module(path).__all__) == sorted(NAMES[path])


def test_every_path_that_the_documents_name_is_listed_here():
    listed = {
        *(f"{path}.{name}" for path, names in NAMES.items() for name in names),
        *(f"app_metrics.backends.{name}.MetricsBackend" for name in BACKENDS),
        *(f"app_metrics.tasks.{name}" for name in TASKS),
    }
    named = {name for page in PAGES for name in named_in_the_package(page)}
    assert sorted(name for name in named if not any(f"{each}.".startswith(f"{name}.") for each in listed)) == []


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_found_by_the_path_that_settings_name(name):
    assert import_string(f"app_metrics.backends.{name}.MetricsBackend").write


def test_celery_finds_its_tasks_by_the_names_that_messages_carry():
    tasks = import_module("app_metrics.tasks")
    assert [getattr(tasks, name).name for name in TASKS] == [f"app_metrics.tasks.{name}" for name in TASKS]


def test_the_commands_are_there():
    assert {name for name, app in get_commands().items() if app == "app_metrics"} == {
        f"metrics_{name}" for name in COMMANDS
    }


def test_the_template_tags_are_there():
    template = "{% load app_metrics %}{% metric_total 'orders' 'day' as total %}{% metric_sparkline 'orders' %}"
    assert engines["django"].from_string(template)
