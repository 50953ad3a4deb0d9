"""The totals that an export holds, and what it reads of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q

from ..core.calendar import start_of, today
from ..core.numbers import plain
from ..core.periods import Period
from ..core.sketches import DECODERS, UNREADABLE
from ..core.summary import FIELDS, NUMBER, Field
from ..models import Metric, Total
from ..models.primary import primary
from ..models.splitting import Where, matching_totals
from ..storage.unreadable import described


@dataclass(frozen=True, slots=True)
class Chosen:
    """What limits an export; by default nothing.

    `since` leaves out periods that begin before a date. `days` leaves out periods that ended before the last so many
    days, of which today is one. A filter keeps the totals of matching label sets, each as it is stored.
    """

    since: date | None = None
    days: int | None = None
    where: Where | None = None

    def count(self) -> int:
        count: int = self._totals().count()
        return count

    def totals(self) -> Iterator[Total]:
        """Yield the totals, metric by metric."""
        totals = self._totals().order_by("period", "start", "hour", "labels")
        for metric in primary(Metric.objects).order_by("slug"):
            for total in totals.filter(metric=metric).iterator():
                total.metric = metric
                yield total

    def _totals(self) -> Any:
        totals = matching_totals(primary(Total.objects), self.where) if self.where else primary(Total.objects)
        if self.since is not None:
            totals = totals.filter(start__gte=self.since)
        return totals if self.days is None else totals.filter(_not_over_before(today() - timedelta(self.days - 1)))


def _not_over_before(day: date) -> Q:
    """Return a condition for the totals of periods that contain a day or begin later."""
    return reduce(or_, (Q(period=period, start__gte=start_of(period, day)) for period in Period))


def numbers_of(total: Total) -> dict[str, Any]:
    """Return the fields of a total; numbers are exact decimals as text."""
    values = ((field, getattr(total, field.name)) for field in FIELDS)
    return {field.name: plain(value) if field.holds == NUMBER else value for field, value in values}


def sketch_of(field: Field, total: Total, report: Callable[[str], None]) -> Any:
    """Return a stored sketch, its parts merged, so that equal totals are exported alike; None if there is none.

    One that cannot be read is exported as unknown, and `report` is called with what is wrong with it.
    """
    data = getattr(total, field.name)
    try:
        return None if data is None else DECODERS[field.holds](data)
    except ValueError as error:
        report(f"{described(total, field)} cannot be read, and is exported as unknown. {error}")
        return UNREADABLE[field.holds]
