"""Compare the totals of a metric with the rows of its source tables."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

from ..aggregation.retention import limits
from ..core.periods import DAY, HOUR
from ..core.summary import FIELDS, NO_SKETCHES, Summary, merge_all
from .source_tables import History, MetricSource
from .stored_totals import Hour, LabelSets, Stored, days_before, first_stored_day, stored_between

NOTHING = Summary._make([*[0] * len(FIELDS), *NO_SKETCHES])


class Difference(NamedTuple):
    """A day and label set whose source rows and stored totals differ."""

    day: date
    labels: str
    source: Summary
    stored: Summary


def verify(source: MetricSource, *, on_progress: Callable[[int], None] | None = None) -> Iterator[Difference]:
    """Yield every day and label set whose rows have another count, total or sketch than is stored, ordered by day.

    The comparison begins with the first row or stored day, and ends with the last hour that has been over for 10
    minutes, or the last such day if rows have no time. Days that `APP_METRICS_RETENTION` deletes are left out.
    `on_progress` gets the number of rows in each chunk.
    """
    end = source.settled()
    first, last = first_day(source), days_before(end)
    label_sets = LabelSets(source.slug)
    while first is not None and first < last:
        until = source.chunk_end(first, last)
        history = source.fold(first, until, label_sets.capped)
        yield from _differences(history, stored_between(source.slug, first, until, label_sets), end)
        if on_progress:
            on_progress(source.rows)
        first = until


def first_day(source: MetricSource) -> date | None:
    """Return the first day to compare; None if there is none."""
    first = min((day for day in (source.first_day(), first_stored_day(source.slug)) if day), default=None)
    kept = [limit.before for limit in limits() if limit.period == DAY]
    return max(first, *kept) if first and kept else first


def count(source: MetricSource) -> int:
    """Return about how many rows `verify` would read."""
    first, last = first_day(source), days_before(source.settled())
    return source.count(first, last) if first is not None and first < last else 0


def _differences(history: History, stored: Stored, end: Hour) -> Iterator[Difference]:
    keys = history.keys() | {(labels, day) for labels, (_, day, _) in stored}
    for labels, day in sorted(keys, key=lambda key: (key[1], key[0])):
        hours = history.get((labels, day), {})
        found = merge_all(summary for hour, summary in hours.items() if (day, hour) < end) or NOTHING
        there = _stored(stored, labels, day, end) or NOTHING
        if (found.count, found.total, found.uniques) != (there.count, there.total, there.uniques):
            yield Difference(day, labels, found, there)


def _stored(stored: Stored, labels: str, day: date, end: Hour) -> Summary | None:
    if day < end[0]:
        return stored.get((labels, (DAY, day, 0)))
    pieces = [(labels, (HOUR, day, hour)) for hour in range(end[1])]
    return merge_all(stored[piece] for piece in pieces if piece in stored)
