"""Marks in the future, left by a run with a wrong clock: they count as unknown, or all would be silent until then."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q
from django.utils import timezone

from ..conf import settings
from ..core.calendar import latest_closed, today
from ..core.periods import Period
from ..models import Alert, Schedule
from ..models.primary import primary
from ..models.reports import SENT_PERIODS
from .alert_rules import compile_alerts

# By how much the clocks of machines may differ.
SKEW = timedelta(minutes=15)
# A change of the time zone moves a date by a day.
SKEW_OF_DATES = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FutureMarks:
    """The schedules and alerts with a mark in the future."""

    schedules: list[Schedule]
    alerts: list[Alert]

    def lines(self) -> Iterator[str]:
        """Yield a line per mark: what it is, and what happens to it."""
        what = "is in the future and counts as unknown; check the clocks of the machines that run commands."
        for each in self.schedules:
            yield f"{each.metric_set}, {each.get_period_display()}: the last report, {each.through}, {what}"
        for alert in self.alerts:
            yield f"{alert.name}: the last notification, {alert.reported_at:%Y-%m-%d %H:%M}, {what}"


def future_marks(schedules: Any = None, alerts: Any = None) -> FutureMarks:
    """Return the marks that are in the future now (default: of all rows), those of alerts without a rule left out."""
    schedules = primary(Schedule.objects) if schedules is None else schedules
    alerts = primary(Alert.objects) if alerts is None else alerts
    late = reduce(or_, (Q(period=period, through__gt=last_start(period)) for period in SENT_PERIODS))
    rules, _ = compile_alerts(settings.APP_METRICS_ALERTS)
    reported = alerts.filter(name__in=rules, reported_at__gt=timezone.now() + SKEW)
    return FutureMarks(list(schedules.filter(late).select_related("metric_set")), list(reported))


def last_start(period: Period) -> date:
    """Return the latest start of a period that may be closed by any right clock."""
    return latest_closed(period, today() + SKEW_OF_DATES)


def known(moment: datetime | None, now: datetime) -> datetime | None:
    """Return a noted moment, or None if it is in the future."""
    return None if moment is None or moment > now + SKEW else moment
