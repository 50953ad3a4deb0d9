"""A Celery worker whose site is the database of the test that starts it; see tests.support.processes.

``python -m tests.soak.brokers.worker ALIAS NAME URL QUEUE POOL BACKEND``
"""

import os
import sys
from pathlib import Path
from typing import Any

import celery  # noqa: F401 - before Django is ready, as in every worker
from django.conf import settings

from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import load_backend
from tests.soak.brokers.apps import make_app
from tests.support.processes import configure


class FailsOnce(MetricsBackend):
    """A backend that fails once in each process, and creates a file when it does."""

    def __init__(self) -> None:
        self._failed = False

    def write(self, batch: Any) -> None:
        if not self._failed:
            self._failed = True
            Path(os.environ["TEST_FAILED"]).touch()
            raise OSError("once")
        load_backend("app_metrics.backends.db").write(batch)


def main(alias: str, name: str, url: str, queue: str, pool: str, backend: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    settings.APP_METRICS_CELERY = True
    settings.APP_METRICS_BACKEND = backend
    settings.APP_METRICS_FLUSH_INTERVAL = int(os.environ.get("TEST_FLUSH_INTERVAL", "0"))
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.soak.brokers"]
    configure(alias, name)
    app = make_app(url, queue)
    app.set_default()
    app.autodiscover_tasks()
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    app.worker_main(["worker", f"--pool={pool}", "--concurrency=2", *quiet])


if __name__ == "__main__":
    main(*sys.argv[1:])
