"""The exceptions under the import path that they had in the first django-app-metrics."""

from .core.errors import AppMetricsError, InvalidMetricsBackend, MetricError, TimerError

__all__ = ["AppMetricsError", "InvalidMetricsBackend", "MetricError", "TimerError"]
