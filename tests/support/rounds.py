"""Rounds of the autopilot in a test, on the test's own connections."""

from collections.abc import Callable
from datetime import datetime
from unittest.mock import patch
from zoneinfo import ZoneInfo

from django.db import connections

from app_metrics.autopilot.round import do_due_jobs

BERLIN = ZoneInfo("Europe/Berlin")
MORNING = datetime(2026, 11, 24, 9, tzinfo=BERLIN)


def fly(is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Do the jobs that are due. The test's connections stay open, which a round would close."""
    with patch.object(connections, "close_all"):
        do_due_jobs(is_stopping)
