"""What to do about tables that the metrics database lacks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connections
from django.db.migrations.loader import MigrationLoader

from ..conf import settings
from ..models import Metric
from ..transport.databases import run_migrate, savepoint
from .old_tables import to_adopt


class MissingTables(Exception):
    """The metrics database lacks tables; the text says what to do."""


@contextmanager
def curing() -> Iterator[None]:
    """Raise MissingTables instead of an error of the database if tables are missing."""
    try:
        # PostgreSQL would answer no further query in a transaction of ATOMIC_REQUESTS. A replica is enough for readers.
        with savepoint(Metric.objects.db):
            yield
    except DatabaseError as error:
        if not (text := cure()):
            raise
        raise MissingTables(text) from error


def cure() -> str:
    """Return what to do about missing tables; "" if none are missing, or the database does not answer."""
    connection = connections[settings.APP_METRICS_DATABASE]
    try:
        if to_adopt(connection):
            return "The database has tables of django-app-metrics 0.9 or a fork of it; run manage.py metrics_adopt."
        if _lacks_migrations(connection):
            return run_migrate()
    except DatabaseError:
        pass
    return ""


def _lacks_migrations(connection: Any) -> bool:
    """Return whether migrations of app_metrics are not applied."""
    loader = MigrationLoader(connection)
    return any(latest not in loader.applied_migrations for latest in loader.graph.leaf_nodes("app_metrics"))
