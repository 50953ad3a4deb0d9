"""Which stretches of time a trend compares, as pieces: the totals they consist of."""

import time
from datetime import date, timedelta
from typing import NamedTuple

from ..conf import first_weekday, time_zone
from .periods import (
    DAY,
    WEEK,
    YEAR,
    Piece,
    bucket,
    elapsed_pieces,
    local_date,
    next_start,
    period_start,
    previous_start,
    same_part,
    year_earlier,
)  # fmt: skip

# What a period is compared with: the one before, a day's same weekday a week before, and the same one a year earlier.
BEFORE, WEEK_BEFORE, YEAR_BEFORE = "before", "week_before", "year_before"


class Moment(NamedTuple):
    """Up to when is looked: the full hours of the date `end`. `today` is the date that is looked from."""

    today: date
    end: date
    hours: int

    @property
    def is_now(self) -> bool:
        return self.today == self.end


class Plan(NamedTuple):
    """What one trend needs: the pieces of all it holds, of the part that is compared, and of each base."""

    period: str
    start: date
    whole: list[Piece]
    compared: list[Piece]
    bases: dict[str, tuple[date | None, list[Piece]]]


def moment_of(day: date | None) -> Moment:
    """Return up to when is looked: now, or the end of an earlier or later date; a datetime stands for its date."""
    zone = time_zone()
    today, hour = bucket(int(time.time()), zone)
    day = today if day is None else local_date(day, zone)
    if day == today:
        return Moment(today, today, hour)
    return Moment(day, day + timedelta(days=1), 0)


def comparable_starts(period: str, start: date) -> dict[str, date | None]:
    """Return the starts of the periods that one is compared with, by name; None where there is no such period."""
    starts: dict[str, date | None] = {BEFORE: previous_start(period, start)}
    if period == DAY:
        starts[WEEK_BEFORE] = start - timedelta(weeks=1)
    if period != YEAR:
        starts[YEAR_BEFORE] = year_earlier(period, start)
    return starts


def closed(period: str, start: date) -> Plan:
    """Plan the trend of a period that is over."""
    bases = {name: (base, whole(period, base)) for name, base in comparable_starts(period, start).items()}
    return Plan(period, start, whole(period, start), whole(period, start), bases)


def latest_closed(period: str, today: date) -> date:
    """Return the start of the period before the one that holds a date."""
    return previous_start(period, period_start(period, today, first_weekday()))


def running(period: str, moment: Moment) -> Plan:
    """Plan the trend of the period that holds a moment's `today`, so far."""
    start = period_start(period, moment.today, first_weekday())
    compared = elapsed(period, start, moment, start)
    everything = whole(period, start) if moment.is_now else compared
    bases = {
        name: (base, elapsed(period, start, moment, base)) for name, base in comparable_starts(period, start).items()
    }
    return Plan(period, start, everything, compared, bases)


def whole(period: str, start: date | None) -> list[Piece]:
    return [(period, start, 0)] if start else []


def elapsed(period: str, start: date, moment: Moment, base: date | None) -> list[Piece]:
    """Return the part of the period begun at `base` that has passed, at a moment, of the one begun at `start`."""
    if base is None or next_start(period, start) <= moment.end:
        return whole(period, base)
    return elapsed_pieces(base, *same_part(period, start, moment.end, moment.hours, base))


def week_of(moment: Moment, weeks_before: int) -> list[Piece]:
    """Return the part of an earlier week that has passed of the one that holds a moment."""
    start = period_start(WEEK, moment.today, first_weekday())
    return elapsed(WEEK, start, moment, start - timedelta(weeks=weeks_before))
