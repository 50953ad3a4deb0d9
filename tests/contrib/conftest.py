"""Shared fixtures of the instrumentation tests."""

from collections.abc import Iterator

import pytest

from app_metrics.testing.recorded import Recording, capture_metrics


@pytest.fixture
def recorded() -> Iterator[Recording]:
    """What this test recorded."""
    with capture_metrics() as recording:
        yield recording
