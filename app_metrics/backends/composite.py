"""Hand every batch to each of `APP_METRICS_COMPOSITE_BACKENDS`."""

from collections.abc import Sequence

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ..conf import settings
from ..summary import Batch
from . import base, load_backend
from .retrying import RetryingBackend


class MetricsBackend(base.MetricsBackend):
    """Destinations are apart: what one fails to write is kept and tried again for that one alone."""

    def __init__(self) -> None:
        self._destinations = [RetryingBackend(load_backend(path)) for path in _paths()]

    def write(self, batch: Batch) -> None:
        for destination in self._destinations:
            destination.write(batch)

    def check(self) -> Sequence[CheckMessage]:
        if self._destinations:
            return [message for destination in self._destinations for message in destination.check()]
        return [
            Error(
                "The composite backend has no destinations.",
                hint='Set APP_METRICS_COMPOSITE_BACKENDS, e.g. to ["app_metrics.backends.db"].',
                id="app_metrics.E009",
            )
        ]


def _paths() -> Sequence[str]:
    paths = settings.APP_METRICS_COMPOSITE_BACKENDS
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise ImproperlyConfigured(f"APP_METRICS_COMPOSITE_BACKENDS is {paths!r}; give a list of paths of backends.")
    if any(path.startswith(__name__) for path in paths):
        raise ImproperlyConfigured("APP_METRICS_COMPOSITE_BACKENDS names the composite backend itself; remove it.")
    return paths
