"""Capture in a project's tests what is recorded, without a database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal

from django.db import connections

from ..conf import settings
from ..core.batch import Batch
from ..core.labels import NO_LABELS, encode_labels
from ..core.numbers import Number, trimmed
from ..core.summary import Summary, merge_all
from ..recording.scope import activated
from ..transport.base import MetricsBackend
from ..transport.loading import replaced_backend


class Recording(MetricsBackend):
    """The batches recorded inside `capture_metrics()`."""

    blocks = False

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def write(self, batch: Batch) -> None:
        self.batches.append(batch)

    @property
    def slugs(self) -> list[str]:
        """The slugs that were recorded, sorted."""
        return sorted({key.slug for batch in self.batches for key in batch.summaries})

    def summary(self, slug: str, labels: Mapping[str, str] | None = None) -> Summary | None:
        """Return the summary of a metric, over all label sets or the given one; None if it was not recorded."""
        text = None if labels is None else encode_labels(labels)
        merged = merge_all(
            summary
            for batch in self.batches
            for key, summary in batch.summaries.items()
            if key.slug == slug and text in (None, key.labels)
        )
        return merged and Summary._make(trimmed(each) if isinstance(each, Decimal) else each for each in merged)

    def count(self, slug: str, labels: Mapping[str, str] | None = None) -> int:
        """Return how many times a metric was recorded."""
        summary = self.summary(slug, labels)
        return summary.count if summary else 0

    def total(self, slug: str, labels: Mapping[str, str] | None = None) -> Number:
        """Return the sum of the numbers recorded of a metric."""
        summary = self.summary(slug, labels)
        return summary.total if summary else 0


@contextmanager
def capture_metrics() -> Iterator[Recording]:
    """Capture everything recorded in the block in a `Recording`; the configured backend gets nothing.

    A scope that is open around the block is ignored, so that the block's entries are visible at once. Entries recorded
    with `on_commit` arrive at the commit: in a TestCase, use `captureOnCommitCallbacks(execute=True)`.
    """
    recording = Recording()
    with replaced_backend(recording), activated(None):
        yield recording


def assert_metric_recorded(
    recording: Recording,
    slug: str,
    *,
    total: Number | None = None,
    count: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Raise AssertionError unless a metric was recorded, with the given total, and as often as `count` says."""
    found = recording.summary(slug, labels)
    of = f"{slug!r}" if labels is None else f"{slug!r} with labels {dict(labels)!r}"
    assert found is not None, f"{of} was not recorded. Recorded metrics: {_described(recording)}.{_likely_cause()}"
    assert total is None or found.total == total, f"The total of {of} is {found.total}, not {total}."
    assert count is None or found.count == count, f"{of} was recorded {found.count} times, not {count}."


def _described(recording: Recording) -> str:
    keys = {key for batch in recording.batches for key in batch.summaries}
    named = {key.slug if key.labels == NO_LABELS else f"{key.slug} {key.labels}" for key in keys}
    return ", ".join(sorted(named)) or "none"


def _likely_cause() -> str:
    if settings.APP_METRICS_DISABLED:
        return " APP_METRICS_DISABLED is True."
    if any(connection.run_on_commit for connection in connections.all(initialized_only=True)):
        return " Some calls are still waiting for a commit: use captureOnCommitCallbacks(execute=True)."
    return ""
