"""Compute the totals of a metric from its old rows.

Days are right, and weeks, months and years are their sums. The predecessor's own weeks and months are not: with USE_TZ
it subtracted days from UTC and stored the local date, so that a part of each lies one day off. They are used only for
what was deleted from the days.

Limit: where days were deleted in the middle, a month beside the gap may get a few events of the gap, because the old
months lie one day off. The sum over all months stays right.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from ..conf import first_weekday, time_zone
from ..core.batch import Entry
from ..core.labels import NO_LABELS
from ..core.periods import DAY, MONTH, WEEK, YEAR, Period, midnight
from ..core.summary import COUNTER, Summary, merge_into, single
from .old_tables import OldRows

SUMS = (WEEK, MONTH, YEAR)


@dataclass(slots=True)
class History:
    """What a metric has counted: its totals, and the numbers that must be the same before and after."""

    totals: dict[tuple[Period, date], Summary] = field(default_factory=dict)
    # By period: the part of its totals whose days were deleted.
    older: dict[Period, int] = field(default_factory=dict)
    days: int = 0
    # The sum of the old years, and what they lack although the days have it.
    all_time: int = 0
    lacking: int = 0
    pending: list[Entry] = field(default_factory=list)

    @property
    def pending_sum(self) -> int:
        """The sum of the pending items."""
        return sum(int(number) for _, _, _, number, _ in self.pending)


def history_of(rows: OldRows, metric: int, slug: str) -> History:
    """Return the history of a metric under its new slug."""
    history, days = History(), Counter[date]()
    for day, number in rows.totals(metric, DAY):
        days[day] += number
        _add(history, DAY, day, number)
        for period in SUMS:
            _add(history, period, _start(period, day), number)
    history.days = sum(days.values())
    for period in SUMS:
        _add_older(history, period, rows.totals(metric, period), days)
    history.pending = [(slug, COUNTER, NO_LABELS, num, at.timestamp()) for at, num in rows.items(metric)]
    return history


def _add_older(history: History, period: Period, rows: Iterable[tuple[date, int]], days: Mapping[date, int]) -> None:
    """Add what the old rows of a period have and its days do not."""
    difference = Counter[date]()
    for start, number in rows:
        # The first day of the period, or the day before or after it.
        difference[_start(period, start + timedelta(days=1))] += number
    if period == YEAR:
        history.all_time = sum(difference.values())
    for day, number in days.items():
        difference[_start(period, day)] -= number
    older = _gone(difference, period, days)
    for start, number in older.items():
        _add(history, period, start, number)
    history.older[period] = sum(older.values())
    if period == YEAR:
        history.lacking = max(0, -sum(difference.values()))


def _gone(difference: Mapping[date, int], period: Period, days: Mapping[date, int]) -> dict[date, int]:
    """Return what was deleted from the days, given what the old rows of a period have more than its days.

    Their sum is right. A single difference may also come from the edge of the period, which the old rows have wrong, so
    only those count that begin before the first day, or that are larger than that.
    """
    first, rest = min(days, default=date.max), sum(difference.values())
    if rest <= 0:
        return {}
    gone = {
        start: number
        for start, number in sorted(difference.items())
        if number > 0 and (start < first or number > _at_its_edges(period, start, days))
    } or {min(difference): rest}
    excess = sum(gone.values()) - rest
    for start in reversed(gone):
        taken = min(excess, gone[start])
        gone[start] -= taken
        excess -= taken
    return gone


def _at_its_edges(period: Period, start: date, days: Mapping[date, int]) -> int:
    """Return what the days just before and after a period have."""
    return days.get(start - timedelta(days=1), 0) + days.get(period.next(start), 0)


def _start(period: Period, day: date) -> date:
    return period.start_of(day, first_weekday())


def _add(history: History, period: Period, start: date, number: int) -> None:
    """Merge a row into the totals as one event, because nobody knows how many it was."""
    if number:
        at = midnight(start, time_zone()).timestamp()
        merge_into(history.totals, (period, start), Summary(*single(number, at)))
