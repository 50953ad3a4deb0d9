"""The latest days of spans, such as the 30 days that end with a week, over which operands with `days` are read."""

from collections.abc import Iterable, Mapping, MutableMapping
from datetime import date, timedelta

from ..core.calendar import today
from ..core.periods import DAY, HOUR, Piece
from ..core.summary import Summary, merge_all, plain_summary


class Windows:
    """The merged summaries of `width` consecutive days each.

    The days are divided into blocks of `width`, so a window is the end of one block and the beginning of the next one.
    Both are kept for further windows. So another window takes at most three merges, although each may be of sketches
    with thousands of registers, and a series has hundreds of windows that overlap.
    """

    def __init__(self, days: Mapping[date, Summary | None], width: int) -> None:
        self._days = {day.toordinal(): summary for day, summary in days.items()}
        self._width = width
        # The summaries from the first day of a block to each of its days, and from each day to the last one.
        self._beginnings: dict[int, Summary | None] = {}
        self._ends: dict[int, Summary | None] = {}

    def until(self, day: date) -> Summary | None:
        """Return the summary of the days that end with `day`; None if nothing was recorded."""
        last = day.toordinal()
        block = last - last % self._width
        parts = (
            self._merged(self._ends, range(block - 1, last - self._width, -1)),
            self._merged(self._beginnings, range(block, last + 1)),
        )
        found = merge_all(part for part in parts if part)
        return plain_summary(found) if found else None

    def _merged(self, kept: MutableMapping[int, Summary | None], days: Iterable[int]) -> Summary | None:
        merged = None
        for day in days:
            if day not in kept:
                kept[day] = merge_all(each for each in (merged, self._days.get(day)) if each)
            merged = kept[day]
        return merged


def last_day(pieces: Iterable[Piece]) -> date | None:
    """Return the last date of a span, or today if the span has begun but is not over.

    None for a span that is empty, consists of hours or lies in the future: there are no days that end with it.
    """
    pieces, now = list(pieces), today()
    if not pieces or any(period == HOUR for period, _, _ in pieces) or min(start for _, start, _ in pieces) > now:
        return None
    return min(now, max(period.last_day(start) for period, start, _ in pieces))


def first_day(last: date, days: int) -> date:
    """Return the first of so many days that end with `last`."""
    return last - timedelta(days=days - 1)


def days_until(lasts: Iterable[date], days: int) -> set[Piece]:
    """Return each of the `days` that end with some dates."""
    return {(DAY, last - timedelta(days=back), 0) for last in lasts for back in range(days)}
