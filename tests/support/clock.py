"""Helpers for tests that read the real clock."""

import time
from datetime import datetime, timedelta
from datetime import time as time_of_day

from app_metrics.core.calendar import today

# Seconds before the end of an hour in which no test starts; most tests take less.
MARGIN = 10


def noon_of_yesterday() -> datetime:
    """Return it in the metrics' time zone; 24 hours ago may be another date when clocks change."""
    return datetime.combine(today() - timedelta(days=1), time_of_day(12))


def let_the_hour_end() -> None:
    """If the hour is about to end, and perhaps the day or year with it, wait until it has."""
    left = 3600 - time.time() % 3600
    if left < MARGIN:
        time.sleep(left)
