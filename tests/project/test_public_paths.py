"""The paths that projects import or name in their settings do not change."""

from importlib import import_module

import pytest
from django.core.management import get_commands
from django.template import engines
from django.utils.module_loading import import_string

NAMES = {
    "app_metrics": ["Timer", "collect", "flush", "gauge", "metric", "timing", "track"],
    "app_metrics.aggregation": ["aggregate"],
    "app_metrics.middleware": ["MetricsMiddleware"],
    "app_metrics.models": ["Metric", "MetricSet", "Total"],
    "app_metrics.reports": ["build_report"],
    "app_metrics.signals": ["alert_fired", "alert_recovered", "milestone_reached"],
    "app_metrics.testing": ["assert_metric_recorded", "capture_metrics"],
    "app_metrics.trending": ["trending_for_metric", "trends"],
    "app_metrics.urls": ["urlpatterns"],
    "app_metrics.utils": [
        "Timer", "collect", "create_metric", "create_metric_set", "gauge", "get_or_create_metric", "metric", "timing",
    ],
    "app_metrics.backends": ["MetricsBackend"],
    "app_metrics.contrib.asgi": ["flushing"],
    "app_metrics.storage.routers": ["MetricsRouter"],
    "app_metrics.testing.pytest_plugin": ["capture_metrics"],
}  # fmt: skip
BACKENDS = ["celery", "composite", "console", "db", "dummy", "locmem", "otel", "redis", "statsd"]
TASKS = ["aggregate", "check_alerts", "prune", "send_reports", "write_batch"]
COMMANDS = ["aggregate", "backfill", "check_alerts", "export", "import", "prune", "send_mail", "show", "verify"]


def test_a_name_is_where_the_documents_say():
    missing = [
        (path, name) for path, names in NAMES.items() for name in names if not hasattr(import_module(path), name)
    ]
    assert missing == []


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
    template = "{% load app_metrics %}{% metric_total 'orders' 'day' as total %}"
    assert engines["django"].from_string(template)
