"""The calendar in the metrics time zone: today, and which dates a period spans."""

import time
from datetime import date, datetime, timedelta
from typing import NamedTuple

from ..conf import first_weekday, time_zone
from .periods import (
    HOUR,
    bucket,
    hour_start,
    local_date,
    next_start,
    period_start,
)


class Moment(NamedTuple):
    """Up to when is looked: the full hours of the date `end`. `today` is the date that is looked from."""

    today: date
    end: date
    hours: int

    @property
    def is_now(self) -> bool:
        return self.today == self.end


def moment_of(day: date | None) -> Moment:
    """Return up to when is looked: now, or the end of an earlier or later date; a datetime stands for its date."""
    zone = time_zone()
    today, hour = bucket(int(time.time()), zone)
    day = today if day is None else local_date(day, zone)
    if day == today:
        return Moment(today, today, hour)
    return Moment(day, day + timedelta(days=1), 0)


def today() -> date:
    """Return the date it is in the metrics time zone."""
    return datetime.now(time_zone()).date()


def starts_at(period: str, start: date, hour: int) -> date | datetime:
    return hour_start(start, hour, time_zone()) if period == HOUR else start


def local_day(moment: date) -> date:
    return local_date(moment, time_zone())


def span(period: str, day: date) -> tuple[date, date]:
    """Return the first and the last date of the period that holds a date."""
    first = period_start(period, local_day(day), first_weekday())
    return first, next_start(period, first) - timedelta(days=1)
