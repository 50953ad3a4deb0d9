"""Read the stored days and hours of a metric, to compare them with its source rows."""

import time
from datetime import date, timedelta
from typing import Any, cast

from django.db.models import Q, Sum
from django.db.models.functions import TruncMonth, TruncYear

from ..conf import max_label_sets, settings, time_zone
from ..core.calendar import starts_between
from ..core.labels import NO_LABELS, cap_labels
from ..core.periods import DAY, FIRST_YEAR, HOUR, MONTH, YEAR, Period, Piece, bucket, hours_in
from ..core.summary import Summary, merge_into
from ..models import Item, Total
from ..models.label_cap import known_label_sets
from ..models.pending import pending_batches
from ..models.primary import primary
from ..models.queries import QuerySources, fold

# Seconds after the end of an hour until all its events have arrived.
MARGIN = 600

FIRST_DATE = date(FIRST_YEAR, 1, 1)

# A day, and the number of one of its hours.
Hour = tuple[date, int]
# Label set and piece → summary.
Stored = dict[tuple[str, Piece], Summary]


def settled(*, by_day: bool = False) -> Hour:
    """Return the hour before which all events have arrived; with `by_day`, the first hour of its day."""
    day, hour = bucket(int(time.time()) - MARGIN, time_zone())
    return day, 0 if by_day else hour


class LabelSets:
    """The label sets of a metric, which new ones join until the limit is reached."""

    def __init__(self, slug: str) -> None:
        self._known = {labels for _, labels in known_label_sets(primary(Total.objects).filter(metric__slug=slug))}
        self._limit = max_label_sets()

    def capped(self, labels: str) -> str:
        return labels if labels == NO_LABELS else cap_labels(labels, self._known, self._limit)


def stored_between(slug: str, first: date, last: date, label_sets: LabelSets) -> Stored:
    """Return what is stored for each hour and day from `first` up to, but without, `last`, pending items included."""
    days = DAY.starts_between(first, last - timedelta(days=1))
    pieces = [piece for day in days for piece in ((DAY, day, 0), *hours_of(day))]
    stored: Stored = {}
    sources = QuerySources.of_slug(slug, using=settings.APP_METRICS_DATABASE)
    for (_, labels, piece), summary in fold(sources, {piece: [piece] for piece in pieces}).items():
        key = (label_sets.capped(labels), cast(Piece, piece))
        merge_into(stored, key, summary)
    return stored


def live_end(slug: str, since: Hour | None = None) -> Hour | None:
    """Return the end of the first stored hour, at or after `since` if given; None if nothing is stored.

    If `metrics_prune` left only the total of the day, return the end of that day. If it left only the total of a month
    or year, return the start of that month or year.
    """
    hour, day = _first_hour(slug, since), _first_day(slug, since)
    end = next_hour(hour) if hour else None
    if day is not None and (hour is None or day < hour[0]):
        end = day + timedelta(days=1), 0
    if since is not None:  # months and years contain what was filled before
        return end
    known = first_stored_day(slug)
    for period in [each for each in Period if each.months]:
        start = _first_start(slug, period)
        if start is not None and (known is None or start < period.start_of(known)):
            known, end = start, (start, 0)
    return end


def unpruned_since(slug: str) -> date | None:
    """Return the start of the first month, or year, after the deleted days; None if no days were deleted.

    A month or year with deleted days has a higher count than its remaining days together.
    """
    month, year = _last_pruned(slug, MONTH, TruncMonth), _last_pruned(slug, YEAR, TruncYear)
    if year is not None and (month is None or month < year):  # its months were deleted, too
        return YEAR.next(year)
    return None if month is None else MONTH.next(month)


def _last_pruned(slug: str, period: Period, trunc: Any) -> date | None:
    # One statement: between two, an aggregation could add to both periods.
    rows = primary(Total.objects).filter(metric__slug=slug, period__in=(DAY, period)).order_by()
    sums = rows.values_list("period", trunc("start")).annotate(Sum("count"))
    counts = {(each, start): count for each, start, count in sums}
    pruned = (start for each, start in counts if each == period and counts[each, start] > counts.get((DAY, start), 0))
    return max(pruned, default=None)


def first_stored_day(slug: str) -> date | None:
    """Return the first day with stored totals or pending items; None if there is none."""
    hour, day = _first_hour(slug, None), _first_day(slug, None)
    return min((start for start in (day, hour and hour[0]) if start), default=None)


def _first_hour(slug: str, since: Hour | None) -> Hour | None:
    # In the order in which they move: what is moved between the queries is seen twice rather than never.
    waiting = ((key.day, key.hour) for batch in pending_batches({slug}).batches for key in batch.summaries)
    elsewhere = min((hour for hour in waiting if since is None or hour >= since), default=None)
    items = _first_hour_of(primary(Item.objects).filter(slug=slug), "day", since)
    totals = _first_hour_of(primary(Total.objects).filter(metric__slug=slug, period=HOUR), "start", since)
    return min((hour for hour in (elsewhere, items, totals) if hour), default=None)


def _first_hour_of(rows: Any, day: str, since: Hour | None) -> Hour | None:
    if since is not None:
        rows = rows.filter(Q(**{f"{day}__gt": since[0]}) | Q(**{day: since[0]}, hour__gte=since[1]))
    first: Hour | None = rows.order_by(day, "hour").values_list(day, "hour").first()
    return first


def _first_day(slug: str, since: Hour | None) -> date | None:
    return _first_start(slug, DAY, FIRST_DATE if since is None else days_before(since))


def _first_start(slug: str, period: Period, since: date = FIRST_DATE) -> date | None:
    starts = primary(Total.objects).filter(metric__slug=slug, period=period, start__gte=since).order_by("start")
    first: date | None = starts.values_list("start", flat=True).first()
    return first


def next_hour(hour: Hour) -> Hour:
    day, number = hour
    return (day, number + 1) if number + 1 < hours_in(day, time_zone()) else (day + timedelta(days=1), 0)


def days_before(hour: Hour) -> date:
    """Return the day after the last day that begins before an hour."""
    return hour[0] + timedelta(days=1) if hour[1] else hour[0]


def hours_of(day: date) -> list[Piece]:
    return [(HOUR, *start) for start in starts_between(HOUR, day, day)]
