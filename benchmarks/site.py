"""The example site as it is measured under load: `BENCHMARK_INSTRUMENTATION` says what counts its requests."""

import os

from example_project.settings import *  # noqa: F403
from example_project.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

INSTRUMENTATION = os.environ["BENCHMARK_INSTRUMENTATION"]

# Connections stay open, as busy sites have them: opening one costs a request more than anything measured here.
DATABASES["default"]["CONN_MAX_AGE"] = None

if INSTRUMENTATION != "app_metrics":
    MIDDLEWARE = MIDDLEWARE[1:]
    APP_METRICS_URLS = APP_METRICS_MODELS = APP_METRICS_SIGNALS = {}

if INSTRUMENTATION == "django-prometheus":
    INSTALLED_APPS = [*INSTALLED_APPS, "django_prometheus"]
    MIDDLEWARE = [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *MIDDLEWARE,
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ]

if INSTRUMENTATION == "by hand":
    MIDDLEWARE = ["benchmarks.inserting.inserting", *MIDDLEWARE]

if "BENCHMARK_STATSD_URL" in os.environ:
    APP_METRICS_STATSD_URL = os.environ["BENCHMARK_STATSD_URL"]
