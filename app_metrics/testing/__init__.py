"""Check in a project's tests what is recorded."""

from .recorded import Recording, assert_metric_recorded, capture_metrics

__all__ = ["Recording", "assert_metric_recorded", "capture_metrics"]
