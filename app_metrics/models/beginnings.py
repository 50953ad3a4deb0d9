"""Whether a period was counted throughout, from its beginning."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Min, Q

from ..core.calendar import start_of
from ..core.periods import DAY, HOUR, MONTH, Period
from .primary import beside
from .queries import QuerySources
from .totals import Total


def counted_before(metrics: Iterable[Any], day: date, hour: int = 0) -> bool:
    """Return whether any of some metrics was recorded before an hour of a date; at most two queries.

    If not, nobody knows whether anything happened in the period that begins then: perhaps nothing counted it.
    """
    sources = QuerySources.of(metrics)
    # In the order in which events move, so that an aggregation hides none.
    if any((key.day, key.hour) < (day, hour) for batch in sources.pending.batches for key in batch.summaries):
        return True
    if sources.items.filter(Q(day__lt=day) | Q(day=day, hour__lt=hour)).exists():
        return True
    earlier = (Q(period=period, start__lt=start_of(period, day)) for period in Period)
    found: bool = sources.totals.filter(reduce(or_, earlier, Q(period=HOUR, start=day, hour__lt=hour))).exists()
    return found


def first_dates(metrics: Iterable[Any]) -> Mapping[int, date]:
    """Return the first date on which each metric was recorded by primary key, pending items included; two queries.

    If days were pruned, it is the first date of the month in which counting began.
    """
    metrics = list(metrics)
    if not metrics:
        return {}
    # In the order in which events move, so that an aggregation hides none.
    pending, stored = _pending_dates(QuerySources.of(metrics)), _stored_dates(metrics)
    ids = {metric.slug: metric.pk for metric in metrics}
    found = dict(stored)
    for slug, day in pending:
        found[ids[slug]] = min(day, found.get(ids[slug], day))
    return found


def _pending_dates(sources: QuerySources) -> list[tuple[str, date]]:
    """Return slugs with dates on which something pending was recorded, the first one among them."""
    elsewhere = [(key.slug, key.day) for batch in sources.pending.batches for key in batch.summaries]
    return [*elsewhere, *sources.items.order_by().values_list("slug").annotate(first=Min("day"))]


def _stored_dates(metrics: Sequence[Any]) -> Mapping[int, date]:
    totals = beside(metrics[0], Total.objects).filter(metric__in=metrics, period__in=(DAY, MONTH))
    found = list(totals.order_by().values_list("metric", "period").annotate(first=Min("start")))
    days, months = ({pk: first for pk, each, first in found if each == period} for period in (DAY, MONTH))
    pruned = {pk: first for pk, first in months.items() if pk not in days or first < MONTH.start_of(days[pk])}
    return {**days, **pruned}
