"""What tests that read the real clock need to know of it."""

import time
from datetime import datetime, timedelta
from datetime import time as time_of_day

from app_metrics.core.calendar import today

# Seconds before the end of an hour in which no test begins, as most take less.
MARGIN = 10


def noon_of_yesterday() -> datetime:
    """Return it in the time zone of the metrics: where clocks change, 24 hours ago may be another date."""
    return datetime.combine(today() - timedelta(days=1), time_of_day(12))


def let_the_hour_end() -> None:
    """Wait where the hour, and with it perhaps the day or the year, is about to end."""
    left = 3600 - time.time() % 3600
    if left < MARGIN:
        time.sleep(left)
