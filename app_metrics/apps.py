import sys
from contextlib import suppress

import django
from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

# Imported first: defaults must be set before anything overrides settings.
from . import conf
from .transport.loading import get_backend

# Forks of the first django-app-metrics have a package with our name.
OVERWRITTEN = (
    "Another package has overwritten files of app_metrics. Run: pip uninstall pivotal-app-metrics django-app-metrics. "
    "Then install this package again."
)


class AppMetricsConfig(AppConfig):
    name = "app_metrics"
    verbose_name = _("Metrics")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        # Before any app is ready: the admin would import what has been overwritten, and fail there.
        if not hasattr(self.module, "track"):
            raise ImproperlyConfigured(OVERWRITTEN)
        super().import_models()

    def ready(self) -> None:
        from . import autopilot, checks  # noqa: F401
        from .contrib import model_rules, signal_rules
        from .definitions.registration import register_after_migrating
        from .reports.declared_sets import declare_after_migrating

        model_rules.connect()
        signal_rules.connect()
        # In this order: a set takes only metrics that exist.
        post_migrate.connect(register_after_migrating, sender=self)
        post_migrate.connect(declare_after_migrating, sender=self)
        # A scope for every task: of Celery, if it was imported before (as workers do), and of Django 6.0.
        if "celery" in sys.modules:
            from .contrib import celery

            celery.connect()
        if django.VERSION >= (6, 0):
            from .contrib import django_tasks

            django_tasks.connect()
        if conf.usable("FLUSH_INTERVAL"):
            from .contrib import asgi

            asgi.answer_lifespan()
        autopilot.connect()
        self._make_backend()

    def _make_backend(self) -> None:
        """Create the backend now, so that no request waits for its imports; `check` reports problems."""
        with suppress(ImproperlyConfigured):
            get_backend()
