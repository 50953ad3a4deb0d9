from django.apps import AppConfig
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

        model_rules.connect()
        signal_rules.connect()
