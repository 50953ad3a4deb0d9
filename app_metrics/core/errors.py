"""The exceptions of the package; projects import them from `app_metrics.exceptions`."""

from django.core.exceptions import ImproperlyConfigured


class AppMetricsError(Exception):
    """The base class of the others."""


class InvalidMetricsBackend(AppMetricsError, ImproperlyConfigured):
    """`APP_METRICS_BACKEND` names no backend."""


class MetricError(AppMetricsError):
    """Something is not a metric."""


class TimerError(AppMetricsError, RuntimeError):
    """A timer was used in the wrong order."""
