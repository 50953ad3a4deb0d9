"""Fill the totals of a metric from its source tables, up to where live counting began.

For each hour, the difference between the rows and what is stored is added. Each chunk of days is one transaction, which
also stores how far the history is filled. So the next run continues where a killed one stopped, and only one of several
concurrent runs fills a chunk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import F, Q
from django.utils import timezone

from ..aggregation.chunks import spread
from ..conf import settings, time_zone
from ..core.calendar import today
from ..core.periods import DAY, HOUR, WHOLE_DAYS, Period, hour_start
from ..core.summary import COUNTER, UNIQUE, Summary, merge_all, merge_each_into, merge_into, subtract
from ..models import Backfill, Metric
from ..models.primary import primary
from ..notifications import milestones
from ..notifications.future_marks import SKEW_OF_DATES
from ..storage.dialects import dialect_for
from ..storage.dialects.base import TotalKey
from ..storage.transactions import between_others, retried
from . import imported_files
from .source_tables import History, MetricSource, UnusableSource
from .stored_totals import (
    MARGIN,
    Hour,
    LabelSets,
    Stored,
    days_before,
    hours_of,
    live_end,
    stored_between,
    unpruned_since,
)

Bucket = tuple[int, str, date, int]


@dataclass(slots=True)
class Filled:
    """The result of one run, and how far the history is filled now.

    `until` is None if there are no rows. `events` is the number of events added. `was_finished` is the state before the
    run, `is_finished` the state after it. If the history is not finished, `again_at` is when the rest can be filled, or
    None if nothing was counted live yet. `ahead` is a date in the future up to which a wrong clock had filled; this run
    then started over.
    """

    until: datetime | None = None
    events: int = 0
    rows: int = 0
    skipped: int = 0
    was_finished: bool = False
    is_finished: bool = False
    again_at: datetime | None = None
    ahead: date | None = None


def backfill(source: MetricSource, *, again: bool = False, on_progress: Callable[[int], None] | None = None) -> Filled:
    """Add the events in a metric's source tables that were not counted yet, up to where live counting began.

    It may run at any time and in several processes at once; a later run adds what could not be added yet. With `again`
    it starts over, and adds what is missing in any hour that is over, also after live counting began. `on_progress`
    gets the number of rows after each transaction. Raises UnusableSource if the metric is of another kind, recording is
    disabled, or an import is not complete; what was committed stays.
    """
    if settings.APP_METRICS_DISABLED:
        raise UnusableSource("APP_METRICS_DISABLED is True, so nothing is counted. Set it to False first.")
    done = Filled(ahead=_ahead(source))
    again = again or done.ahead is not None
    milestones.remember()
    # On MariaDB it may deadlock with another run that fills.
    state = retried(partial(_restarted if again else _state, source))
    if state is None:
        return done
    done.was_finished = state.is_finished and not again
    target = _target(source, state)
    while state.until < target:
        rows, events = _fill_chunk(source, state, target)
        done.rows, done.events, done.skipped = done.rows + rows, done.events + events, done.skipped + source.skipped
        if on_progress:
            on_progress(rows)
        _refresh(state)
    if again:
        _reopen(source, state)
    return _ended(done, state)


def remaining(source: MetricSource, *, again: bool = False) -> int:
    """Return about how many rows a run would read now."""
    state = None if again or _ahead(source) else _stored(source)
    first = state.until_day if state else source.first_day()
    last = days_before(_target(source, state) if state else source.settled())
    return source.count(first, last) if first is not None and first < last else 0


def find_metric(slug: str, kind: str) -> Metric:
    """Return the metric with a slug, created if missing. Raises UnusableSource for a metric of another kind."""
    Metric.objects.bulk_create([Metric(slug=slug, name=slug, kind=kind)], ignore_conflicts=True)
    metric: Metric = primary(Metric.objects).get(slug=slug)
    if metric.kind not in (COUNTER, UNIQUE):
        raise UnusableSource(f"{slug!r} is a {metric.kind}; only counters and unique counts can be filled from rows.")
    if metric.kind != kind:
        how = "with --unique" if metric.kind == UNIQUE else "without --unique"
        raise UnusableSource(f"{slug!r} is a {metric.get_kind_display()}: fill it {how}.")
    return metric


def _stored(source: MetricSource) -> Backfill | None:
    state: Backfill | None = primary(Backfill.objects).filter(metric__slug=source.slug).first()
    return state


def _ahead(source: MetricSource) -> date | None:
    """Return up to when a metric is filled if that is in the future, because a clock was wrong; else None."""
    state = _stored(source)
    return state.until_day if state and state.until_day > today() + SKEW_OF_DATES else None


def _state(source: MetricSource) -> Backfill | None:
    """Return how far a metric is filled, and the end of filling if it is known; None if there are no rows.

    The state is stored before anything is filled, so that filled events are never mistaken for live ones.
    """
    state = _stored(source)
    if state is None:
        first = source.first_day()
        if first is None:
            return None
        metric = find_metric(source.slug, source.kind)
        end_day, end_hour = _live_end(source) or (None, 0)
        begun = Backfill(metric=metric, until_day=first, until_hour=0, end_day=end_day, end_hour=end_hour)
        begun.updated_at = timezone.now()
        Backfill.objects.bulk_create([begun], ignore_conflicts=True)
        stored: Backfill = primary(Backfill.objects).get(metric=metric)
        return stored
    find_metric(source.slug, source.kind)
    while state.end is None and (end := _live_end(source, state.until)):
        # If another run moved the state meanwhile, it may have filled what was found: look again from there.
        unmoved = Backfill.objects.filter(_at(state), end_day=None)
        unmoved.update(end_day=end[0], end_hour=end[1], updated_at=timezone.now())
        _refresh(state)
    return state


def _restarted(source: MetricSource) -> Backfill | None:
    """Reset the state, so that all hours that are over are compared again; return None if there are no rows.

    The comparison begins after the deleted days, which cannot be compared.
    """
    state = _state(source)
    first = source.first_day()
    if state is None or first is None:
        return None
    settled = source.settled()
    # The events of the hour in which live counting began may not have arrived yet: a later run fills it.
    end = max(settled, state.end or settled)
    kept = unpruned_since(source.slug)
    until = min((max(first, kept) if kept else first, 0), settled)
    _move(Backfill.objects.filter(pk=state.pk), until, end)
    _refresh(state)
    return state


def _reopen(source: MetricSource, state: Backfill) -> None:
    """Clear the end of a finished state if nothing was counted live after it, so that later runs continue."""
    if state.is_finished and _live_end(source, state.until) is None:
        _move(Backfill.objects.filter(_at(state)), state.until, None)
        _refresh(state)


def _move(states: Any, until: Hour, end: Hour | None) -> None:
    end_day, end_hour = end or (None, 0)
    moved = {"until_day": until[0], "until_hour": until[1], "end_day": end_day, "end_hour": end_hour}
    states.update(**moved, updated_at=timezone.now())


def _live_end(source: MetricSource, since: Hour | None = None) -> Hour | None:
    end = live_end(source.slug, since)
    return (days_before(end), 0) if end and source.by_day else end


def _refresh(state: Backfill) -> None:
    try:
        state.refresh_from_db(using=state._state.db)
    except Backfill.DoesNotExist as error:
        raise UnusableSource("The metric was deleted during the run; run the command again to start over.") from error


def _at(state: Backfill) -> Q:
    return Q(pk=state.pk, until_day=state.until_day, until_hour=state.until_hour)


def _target(source: MetricSource, state: Backfill) -> Hour:
    """Return the hour up to which the history can be filled now."""
    now = source.settled()
    return min(now, state.end or now)


def _ended(done: Filled, state: Backfill) -> Filled:
    zone = time_zone()
    done.until, done.is_finished = hour_start(*state.until, zone), state.is_finished
    if state.end is not None and not done.is_finished:
        done.again_at = hour_start(*state.end, zone) + timedelta(seconds=MARGIN)
    return done


def _fill_chunk(source: MetricSource, state: Backfill, target: Hour) -> tuple[int, int]:
    """Fill the next chunk of days; return how many rows were read and how many events were added.

    The rows are read before the stored totals, so that events counted in between do not seem to be missing.
    """
    label_sets = LabelSets(source.slug)
    first = state.until_day
    last = source.chunk_end(first, days_before(target))
    history = source.fold(first, last, label_sets.capped)
    fill = partial(_fill, state, min((last, 0), target), last, history, label_sets)
    return source.rows, retried(fill)


def _fill(state: Backfill, until: Hour, last: date, history: History, label_sets: LabelSets) -> int:
    connection = connections[settings.APP_METRICS_DATABASE]
    with between_others():
        # The first statement writes, and so locks out other runs. If it changes no row, another run filled the chunk.
        moved = {"until_day": until[0], "until_hour": until[1], "updated_at": timezone.now()}
        if not Backfill.objects.filter(_at(state)).update(**moved):
            return 0
        if reason := imported_files.incomplete():
            raise UnusableSource(reason)
        # An import may be adding the same history. Before the first read, with which MariaDB's snapshot begins.
        Metric.objects.filter(pk=state.metric_id).lock()
        metric = primary(Metric.objects).get(pk=state.metric_id)
        stored = stored_between(metric.slug, state.until_day, last, label_sets)
        totals, added = _missing(metric, history, stored, state.until, until)
        if added is None:
            return 0
        dialect_for(connection).add_totals(connection, sorted(totals.items()))
        Backfill.objects.filter(pk=state.pk).update(events=F("events") + added.count)
        milestones.raise_mark(metric.slug, added.total)
    return added.count


def _missing(
    metric: Metric, history: History, stored: Stored, first: Hour, until: Hour
) -> tuple[dict[TotalKey, Summary], Summary | None]:
    """Return the summaries to add, by total, and all of them merged; None if there are none.

    If hours of a day were deleted, the day is filled as a whole, and its hours are left alone.
    """
    hours: dict[Bucket, Summary] = {}
    days: dict[Bucket, Summary] = {}
    for (labels, day), found in history.items():
        is_pruned = _is_pruned(stored, labels, day)
        for hour, summary in found.items():
            if is_pruned:
                merge_into(days, (metric.pk, labels, day, 0), summary)
            elif first <= (day, hour) < until:
                hours[metric.pk, labels, day, hour] = summary
    hours, days = _exceeding(hours, HOUR, stored), _exceeding(days, DAY, stored)
    totals = spread(hours)
    merge_each_into(totals, spread(days, WHOLE_DAYS))
    return totals, merge_all((*hours.values(), *days.values()))


def _exceeding(desired: Mapping[Bucket, Summary], period: Period, stored: Stored) -> dict[Bucket, Summary]:
    """Return how much summaries exceed what is stored. Stored events without a row stay: their row was deleted."""
    exceeding = {}
    for (metric_id, labels, day, hour), summary in desired.items():
        there = stored.get((labels, (period, day, hour)))
        if there is None or summary.count > there.count:
            exceeding[metric_id, labels, day, hour] = subtract(summary, there) if there else summary
    return exceeding


def _is_pruned(stored: Stored, labels: str, day: date) -> bool:
    whole = stored.get((labels, (DAY, day, 0)))
    hours = sum(stored[labels, piece].count for piece in hours_of(day) if (labels, piece) in stored)
    return whole is not None and whole.count > hours
