"""The database router of the test site."""

from typing import Any

from django.conf import settings
from django.db.models import Model


class EverywhereRouter:
    """Every table exists in every database; two settings select the database to use.

    APP_METRICS_DATABASE applies to this package's models, TEST_SITE_DATABASE to all others.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        if model._meta.app_label == "app_metrics":
            return settings.APP_METRICS_DATABASE
        return settings.TEST_SITE_DATABASE

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return True
