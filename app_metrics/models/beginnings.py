"""Whether a period was counted throughout, from its beginning."""

from collections.abc import Iterable
from datetime import date
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q

from ..core.calendar import start_of
from ..core.periods import HOUR, Period
from .queries import QuerySources


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
