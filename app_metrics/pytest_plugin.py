"""The fixture `capture_metrics`; add `pytest_plugins = ["app_metrics.pytest_plugin"]` to conftest.py to have it."""

from collections.abc import Iterator

import pytest

from .testing import Recording
from .testing import capture_metrics as capturing


@pytest.fixture
def capture_metrics() -> Iterator[Recording]:
    """See what a test records, without a database."""
    with capturing() as recording:
        yield recording
