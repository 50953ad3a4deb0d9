from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

# First of all: settings must be complete before anything overrides them.
from . import conf  # noqa: F401


class AppMetricsConfig(AppConfig):
    name = "app_metrics"
    verbose_name = _("Metrics")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401
        from .contrib import model_rules, signal_rules
        from .declared import declare_after_migrating

        model_rules.connect()
        signal_rules.connect()
        post_migrate.connect(declare_after_migrating, sender=self)
