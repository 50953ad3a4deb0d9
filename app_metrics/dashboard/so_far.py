"""Today's number so far, compared with what the same weekday had at the same time a week before."""

from collections.abc import Hashable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from ..conf import time_zone
from ..core.calendar import locate, start_of
from ..core.comparisons import Comparison
from ..core.periods import DAY, HOUR, WEEK, Piece, elapsed_pieces, hour_start, hours_in, midnight
from ..core.summary import COUNTER, UNIQUE, Summary, in_proportion, merge_all
from ..models import Metric

# The names of spans: the full hours of the day a week before, the hour of it that runs today, its other hours, all of
# that day, and the time before; and the full hours of today.
FULL, RUNNING, LATER, WHOLE, EARLIER = "full hours", "running hour", "later hours", "whole day", "earlier"
TODAYS_FULL = "full hours of today"
NAMES = (FULL, RUNNING, LATER, WHOLE, EARLIER)
# Full weeks of the time before.
LOOKED_BACK = 4
SECONDS = 3600
# The running hour may have this share of the full hours: a counter of few events would otherwise be compared with
# chance, and one that counts at a certain minute with a part of what it will be.
LARGEST_SHARE = Decimal("0.5")


class Cut(NamedTuple):
    """A moment as the hours of its date that are over, and the seconds of the next hour that have passed.

    That hour has `length` seconds: the last one of a date is shorter where clocks change by a part of an hour.
    """

    day: date
    hours: int
    seconds: int
    length: int = SECONDS


def week_before() -> Cut:
    """Return the moment a week before now, by the clock."""
    zone = time_zone()
    moment = datetime.now(zone) - timedelta(weeks=1)  # in one time zone, this is the same time of the clock
    day, hours = locate(HOUR, moment)
    began, day_ends = (int(each.timestamp()) for each in (hour_start(day, hours, zone), midnight(DAY.next(day), zone)))
    return Cut(day, hours, int(moment.timestamp()) - began, min(SECONDS, day_ends - began))


def spans_until(cut: Cut, *, for_uniques: bool = False) -> dict[Hashable, list[Piece]]:
    """Return the spans that `compare_so_far` needs; only unique counts need the hours of today."""
    week = start_of(WEEK, cut.day)
    same_day = cut.day + timedelta(weeks=1)
    weeks = [(WEEK, WEEK.shift(week, -number), 0) for number in range(1, LOOKED_BACK + 1)]
    return {
        FULL: elapsed_pieces(cut.day, cut.day, cut.hours),
        RUNNING: [(HOUR, cut.day, cut.hours)],
        LATER: [(HOUR, cut.day, hour) for hour in range(cut.hours + 1, hours_in(cut.day, time_zone()))],
        WHOLE: [(DAY, cut.day, 0)],
        EARLIER: [*weeks, *elapsed_pieces(week, cut.day, 0)],
        **({TODAYS_FULL: elapsed_pieces(same_day, same_day, cut.hours)} if for_uniques else {}),
    }


def compare_so_far(
    metric: Metric, cut: Cut, today: Summary | None, found: Mapping[tuple[str, Hashable], Summary]
) -> Comparison:
    """Compare all that was recorded today with the same part of the day a week before.

    No numbers are stored by the minute: of a counter, the running hour counts in proportion; the mean of a timer and
    the last value of a gauge are those at the end of it. Of a unique count, only the full hours of both days are
    compared, because nobody knows who of the running hour came again. There is no comparison in the first hour of a
    day, as long as too much would be estimated, with a day in which counting began, and with one whose hours were
    pruned.
    """
    full, running, later, whole, earlier = (found.get((metric.slug, name)) for name in NAMES)
    is_pruned = bool(whole and not (full or running or later))
    is_known = cut.hours > 0 and not is_pruned and (metric.kind != COUNTER or _is_small(running, full))
    if running and metric.kind == COUNTER:
        running = in_proportion(running, cut.seconds, cut.length)
    if metric.kind == UNIQUE:
        today, running = found.get((metric.slug, TODAYS_FULL)), None
    then = merge_all(each for each in (full, running) if each)
    is_comparable = is_known and (earlier or not then)
    return Comparison(metric.kind, cut.day if is_comparable else None, today, then)


def _is_small(running: Summary | None, full: Summary | None) -> bool:
    """Return whether the running hour is small beside the full hours, so that its estimate cannot be far off."""
    if running is None or full is None:
        return running is None
    estimated, known = (Decimal(each.total).copy_abs() for each in (running, full))
    return estimated <= LARGEST_SHARE * known
