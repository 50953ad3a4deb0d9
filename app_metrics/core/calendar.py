"""The calendar with the configured time zone and start of the week: today, and the dates and hours of periods."""

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from ..conf import first_weekday, settings, time_zone
from .periods import HOUR, Period, Start, bucket, hour_start, hours_in, local_date


class Moment(NamedTuple):
    """A moment in full hours: `hours` hours of the date `end` have passed; `today` is the date of the moment."""

    today: date
    end: date
    hours: int

    @property
    def is_now(self) -> bool:
        return self.today == self.end


def moment_of(day: date | None) -> Moment:
    """Return the current moment for None or today, and the end of the day for any other date or datetime."""
    zone = time_zone()
    today, hour = bucket(int(time.time()), zone)
    day = today if day is None else local_date(day, zone)
    if day == today:
        return Moment(today, today, hour)
    return Moment(day, day + timedelta(days=1), 0)


def today() -> date:
    """Return today's date in the metrics time zone."""
    return datetime.now(time_zone()).date()


def aware(moment: datetime) -> datetime:
    """Return an aware moment; a naive one, as a database returns it without USE_TZ, is in TIME_ZONE."""
    if moment.tzinfo:
        return moment
    # Without USE_TZ the database does not store which of two equal times is meant.
    fold = moment.fold if settings.USE_TZ else 0
    return moment.replace(tzinfo=timezone.get_default_timezone(), fold=fold)


def comparable(value: Any) -> Any:
    """Return a datetime as an aware one, and any other value as it is."""
    return aware(value) if isinstance(value, datetime) else value


def as_stored(moment: datetime) -> datetime:
    """Return an aware moment as the project's databases store it: without USE_TZ, naive and in TIME_ZONE."""
    return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())


def local_day(moment: date) -> date:
    """Return the date of a datetime in the metrics time zone; a date stays as it is."""
    return local_date(moment, time_zone())


def start_of(period: Period, day: date) -> date:
    """Return the first date of the period that contains a date."""
    return period.start_of(local_day(day), first_weekday())


def span(period: Period, day: date) -> tuple[date, date]:
    """Return the first and the last date of the period that contains a date."""
    first = start_of(period, day)
    return first, period.last_day(first)


def latest_closed(period: Period, today: date) -> date:
    """Return the start of the period before the one that contains `today`."""
    return period.previous(start_of(period, today))


def locate(period: Period, moment: date | None = None) -> Start:
    """Return the start of the period that contains a moment (default: now).

    Raises ValueError if the period is an hour and `moment` is a date without a time.
    """
    zone = time_zone()
    moment = datetime.now(zone) if moment is None else moment
    if period != HOUR:
        return start_of(period, moment), 0
    if not isinstance(moment, datetime):
        raise ValueError("An hour needs a datetime, not a date.")
    return bucket(int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp() // 1), zone)


def starts_between(period: Period, first: date, last: date) -> Iterator[Start]:
    """Yield the start of every period that touches the dates from `first` to `last`, both included."""
    for day in period.starts_between(first, last, first_weekday()):
        for hour in range(hours_in(day, time_zone()) if period == HOUR else 1):
            yield day, hour


def starts_at(period: Period, start: date, hour: int) -> date | datetime:
    """Return the date on which a period begins, or the aware local time at which an hour begins."""
    return hour_start(start, hour, time_zone()) if period == HOUR else start
