"""The functions under the import path that they had in the first django-app-metrics."""

from .models.creation import create_metric, create_metric_set, get_or_create_metric
from .recording.collecting import collect
from .recording.metrics import Timer, gauge, metric, timing

__all__ = [
    "Timer", "collect", "create_metric", "create_metric_set", "gauge", "get_or_create_metric", "metric", "timing",
]  # fmt: skip
