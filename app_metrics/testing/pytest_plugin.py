"""The fixture `capture_metrics`, for `pytest_plugins = ["app_metrics.testing.pytest_plugin"]` in conftest.py."""

from collections.abc import Iterator

import pytest

from .recorded import Recording
from .recorded import capture_metrics as capturing


@pytest.fixture
def capture_metrics() -> Iterator[Recording]:
    """Capture what a test records, without a database."""
    with capturing() as recording:
        yield recording
