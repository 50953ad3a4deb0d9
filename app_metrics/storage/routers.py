"""Route the app's models to the database that `APP_METRICS_DATABASE` names."""

from typing import Any

from ..conf import settings

APP_LABEL = "app_metrics"


class MetricsRouter:
    """Add this to `DATABASE_ROUTERS` when `APP_METRICS_DATABASE` is not "default".

    The tables are created in every migrated database, because Django queries them there when a user is deleted.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return settings.APP_METRICS_DATABASE if model._meta.app_label == APP_LABEL else None

    db_for_write = db_for_read
