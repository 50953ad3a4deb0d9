"""The classic door: everything the first django-app-metrics had here."""

from .catalog import create_metric, create_metric_set, get_or_create_metric
from .collector import collect
from .recording import Timer, gauge, metric, timing

__all__ = [
    "Timer", "collect", "create_metric", "create_metric_set", "gauge", "get_or_create_metric", "metric", "timing",
]  # fmt: skip
