"""The example site under load, as settings and for a WSGI server; BENCHMARK_INSTRUMENTATION selects what counts."""

import json
import os
from datetime import UTC, datetime

from example_project.settings import *  # noqa: F403
from example_project.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

INSTRUMENTATION = os.environ["BENCHMARK_INSTRUMENTATION"]

# Keep connections open, as busy sites do: opening one costs more than anything measured here.
DATABASES["default"]["CONN_MAX_AGE"] = None
# The writes alone are measured.
APP_METRICS_AUTOPILOT = False

if INSTRUMENTATION != "app_metrics":
    MIDDLEWARE = MIDDLEWARE[1:]
    APP_METRICS_URLS = APP_METRICS_MODELS = APP_METRICS_SIGNALS = {}
    APP_METRICS_AUTH = False
if INSTRUMENTATION == "django-prometheus":
    INSTALLED_APPS = [*INSTALLED_APPS, "django_prometheus"]
    MIDDLEWARE = [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *MIDDLEWARE,
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ]
if INSTRUMENTATION == "by hand":
    MIDDLEWARE = ["benchmarks.site.inserting", *MIDDLEWARE]

SQL = """
    INSERT INTO app_metrics_item (id, slug, kind, labels, day, hour, count, total, minimum, maximum, last, last_at)
    VALUES (%s, 'requests', 'counter', %s, %s, %s, 1, 1, 1, 1, 1, %s)"""


def inserting(get_response):
    """Count requests exactly, with one hand-written INSERT each: the row that app_metrics writes for these pages."""
    from django.db import connection

    from app_metrics.core.batch import new_batch_id

    def middleware(request):
        response = get_response(request)
        now, labels = datetime.now(UTC), json.dumps({"url": request.resolver_match.view_name})
        with connection.cursor() as cursor:
            cursor.execute(SQL, [new_batch_id().hex, labels, now.date(), now.hour, int(now.timestamp() * 1e6)])
        return response

    return middleware
