"""Pass every batch to each of `APP_METRICS_COMPOSITE_BACKENDS`."""

from collections.abc import Iterator, Sequence

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from ..core.batch import Batch
from ..core.setting_rules import required
from ..transport import base
from ..transport.loading import load_backend
from ..transport.retrying import RetryingBackend


class MetricsBackend(base.MetricsBackend):
    """Destinations are independent: a batch that one fails to write is kept and retried for that one alone."""

    def __init__(self) -> None:
        self.destinations = [RetryingBackend(load_backend(path)) for path in required("COMPOSITE_BACKENDS")]
        self.blocks = any(destination.blocks for destination in self.destinations)
        feeding = [destination for destination in self.destinations if destination.feeds_totals]
        self.feeds_totals = bool(feeding)
        self.caches_pending = any(destination.caches_pending for destination in feeding)

    def write(self, batch: Batch) -> None:
        for destination in self.destinations:
            destination.write(batch)

    def is_durable(self) -> bool:
        return all(destination.is_durable() for destination in self.destinations)

    def drain(self) -> None:
        """Drain every destination. Raises ExceptionGroup at the end if some failed."""
        failures = []
        for destination in self.destinations:
            try:
                destination.drain()
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("Some destinations could not be drained", failures)

    def pending(self) -> Iterator[Batch]:
        """Yield what is pending at every destination. Raises ExceptionGroup at the end if some failed."""
        failures = []
        for destination in self.destinations:
            try:
                yield from destination.pending()
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("Some destinations could not be read", failures)

    def check_destination(self) -> Sequence[CheckMessage]:
        return [message for destination in self.destinations for message in destination.check_destination()]

    def check(self) -> Sequence[CheckMessage]:
        if self.destinations:
            return [
                *(message for destination in self.destinations for message in destination.check()),
                *self._counted_twice(),
            ]
        return [
            Error(
                "The composite backend has no destinations.",
                hint='Set APP_METRICS_COMPOSITE_BACKENDS, for example to ["app_metrics.backends.db"].',
                id="app_metrics.E009",
            )
        ]

    def _counted_twice(self) -> Iterator[CheckMessage]:
        counting = [each.backend.__module__ for each in self.destinations if each.feeds_totals]
        if len(counting) > 1:
            yield CheckWarning(
                f"Every event counts {len(counting)} times, because {' and '.join(counting)} feed the totals.",
                hint="Keep only one of them in APP_METRICS_COMPOSITE_BACKENDS.",
                id="app_metrics.W007",
            )
