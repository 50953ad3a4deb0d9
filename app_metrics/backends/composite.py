"""Hand every batch to each of `APP_METRICS_COMPOSITE_BACKENDS`."""

from collections.abc import Sequence

from django.core.checks import CheckMessage, Error

from ..conf import settings
from ..summary import Batch
from . import base, load_backend
from .retrying import RetryingBackend


class MetricsBackend(base.MetricsBackend):
    """Destinations are apart: what one fails to write is kept and tried again for that one alone."""

    def __init__(self) -> None:
        self._destinations = [RetryingBackend(load_backend(path)) for path in settings.APP_METRICS_COMPOSITE_BACKENDS]

    def write(self, batch: Batch) -> None:
        for destination in self._destinations:
            destination.write(batch)

    def check(self) -> Sequence[CheckMessage]:
        if self._destinations:
            return [
                message for path in settings.APP_METRICS_COMPOSITE_BACKENDS for message in load_backend(path).check()
            ]
        return [
            Error(
                "The composite backend has no destinations.",
                hint='Set APP_METRICS_COMPOSITE_BACKENDS, e.g. to ["app_metrics.backends.db"].',
                id="app_metrics.E009",
            )
        ]
