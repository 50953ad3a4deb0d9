"""The rows of totals and items that a reading needs, merged by the database where it can do so exactly.

No database merges sketches, so rows whose sketches are needed are read one by one. Percentiles need those of all rows.
All other readings need only those of unique counts, because their headline is the count of a sketch; which rows these
are is known from the kinds of the metrics, so that readings of other metrics pay nothing.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import date
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import CharField, F, Q, SmallIntegerField, Value
from django.db.models.expressions import RawSQL

from ..core.periods import HOUR, Period, Piece
from ..core.sketches import UNIQUES
from ..core.summary import SKETCHED, SKETCHES, UNIQUE
from .aggregates import Is, are_exact, mergeable, merged, unmerged

# The names of the spans that contain a piece.
Holders = Mapping[Piece, list[Hashable]]
# The columns that identify a summary: metric, label set, period, first date, hour. Items have an empty period.
KEY = ("of", "text", "of_period", "day_of", "hour_of")
ALL_SKETCHES = tuple(field.name for field in SKETCHES)
_HAS_SKETCH = reduce(or_, (Q(**{f"{name}__isnull": False}) for name in ALL_SKETCHES))
# A condition that any metric fulfils.
_LOOKED_UP = {
    "postgresql": "%(expressions)s = ANY(ARRAY(SELECT id FROM {}))",
    "sqlite": "%(expressions)s IN (SELECT id FROM {})",
}

# A statement names at most so many dates.
MOST_DATES = 1000


class UniqueRows(NamedTuple):
    """Conditions for the totals and items of unique counts."""

    totals: Q
    items: Q


# Of metrics whose kinds are not known.
BY_KIND = UniqueRows(Q(metric__kind=UNIQUE), Q(kind=UNIQUE))


class Rows(NamedTuple):
    """The totals and items of some metrics, as querysets, and which of them are unique counts; None if none of them."""

    totals: Any
    items: Any
    unique: UniqueRows | None

    def names(self, sketches: bool) -> Sequence[str]:
        """Return the sketches of which rows have columns: all on request, else those that headlines need."""
        if sketches:
            return ALL_SKETCHES
        return (UNIQUES,) if self.unique else ()

    def of_pieces(self, holders: Holders, *, apart: bool, sketches: bool) -> Any:
        """Return KEY, on request the kind, the summary and the sketches of everything that may belong to a piece.

        With all sketches, totals must be read apart.
        """
        by, names = key_of(KEY, sketches), self.names(sketches)
        totals, items = self._annotated(holders, F("labels") if apart else text_of(""))
        picked = self.pending(items, by, sketches)
        for part in _parts(totals, holders, apart):
            # There is one total per label set, so totals need merging only across label sets.
            picked += _picked(part, by, self.unique and self.unique.totals, names, apart=apart)
        return united(picked)

    def pending(self, items: Any, by: Sequence[str], sketches: bool) -> list[Any]:
        """Return items by some columns; merged if the database can do so, because there may be very many."""
        sketched = Q(kind__in=SKETCHED) if sketches else self.unique and self.unique.items
        return _picked(items, by, sketched, self.names(sketches), apart=not are_exact(items))

    def stored(self, totals: Any, by: Sequence[str], sketches: bool) -> list[Any]:
        """Return totals by some columns, merged by the database as far as it can do so."""
        sketched = _HAS_SKETCH if sketches else self.unique and self.unique.totals
        return _picked(totals, by, sketched, self.names(sketches), apart=False)

    def _annotated(self, holders: Holders, text: Any) -> tuple[Any, Any]:
        first = min(start for _, start, _ in holders)
        last = max(period.next(start) for period, start, _ in holders)
        items = self.items.filter(day__gte=first, day__lt=last).annotate(
            of=F("slug"), text=text, of_period=text_of(""), day_of=F("day"), hour_of=F("hour"), kind_of=F("kind")
        )
        totals = self.totals.annotate(
            of=F("metric__slug"), text=text, of_period=F("period"), day_of=F("start"), kind_of=text_of("")
        )
        return totals, items


def of_each_metric(totals: Any) -> Any:
    """Return the totals of all metrics so that each metric is looked up in the index.

    Otherwise PostgreSQL and SQLite scan the whole table for those of a period: neither can know how few there are.
    """
    connection, metrics = connections[totals.db], totals.model._meta.get_field("metric").related_model
    condition = _LOOKED_UP.get(connection.vendor)
    if condition is None:
        return totals
    return totals.filter(Is(condition.format(connection.ops.quote_name(metrics._meta.db_table)), "metric"))


def key_of(by: Sequence[str], sketches: bool) -> Sequence[str]:
    """Return the columns of a key; with sketches the kind, too, which says whether an item's number has a histogram."""
    return (*by, "kind_of") if sketches else by


def text_of(value: str) -> Value:
    return Value(value, CharField())


def united(rows: Sequence[Any]) -> Any:
    """Return the union of some rows; ALL, because equal rows of totals and items are different events.

    Django converts what it reads as the first part needs, so merged rows come first: their counts are no integers.
    """
    return rows[0].union(*rows[1:], all=True)


def _picked(rows: Any, by: Sequence[str], sketched: Q | None, names: Sequence[str], *, apart: bool) -> list[Any]:
    """Return rows by some columns; merged by the database unless they are wanted apart.

    Those with sketches are not merged, nor those that the database would not merge exactly.
    """
    if apart:
        return [unmerged(rows, *by, sketches=names)]
    mergeable_rows = mergeable(rows)
    alone = [each for each in (sketched, mergeable_rows and ~mergeable_rows) if each]
    if not alone:
        return [merged(rows, *by)]
    single = reduce(or_, alone)
    return [merged(rows.exclude(single), *by, sketches=names), unmerged(rows.filter(single), *by, sketches=names)]


def _parts(totals: Any, holders: Holders, apart: bool) -> Iterator[Any]:
    """Yield the totals of the pieces, period by period."""
    starts: dict[Period, set[date]] = defaultdict(set)
    for period, start, _ in holders:
        starts[period].add(start)
    is_postgresql = connections[totals.db].vendor == "postgresql"
    for period, days in starts.items():
        condition = _joined if is_postgresql and len(days) <= MOST_DATES else _within
        part = totals.filter(period=period, **condition(period, days))
        hours = _hours(holders) if period == HOUR and not apart else None
        if hours is None:
            yield part.annotate(hour_of=F("hour"))
        else:
            # All wanted hours of a date belong to the same spans, so the first hour represents them.
            yield part.filter(hour__lt=hours).annotate(hour_of=Value(0, SmallIntegerField()))


def _within(period: Period, days: set[date]) -> dict[str, Any]:
    """Return the filter of some dates; a range if they have no gap, which is a single index scan.

    Very many dates are a range, too: a reading ignores the others in it.
    """
    first, last = min(days), max(days)
    if len(days) > MOST_DATES or days.issuperset(period.starts_between(first, last, first.isoweekday())):
        return {"start__range": (first, last)}
    return {"start__in": days}


def _joined(period: Period, days: set[date]) -> dict[str, Any]:
    """Return the filter of some dates for PostgreSQL, which then looks each of them up in the index.

    If it knows the dates when it plans, it expects many more totals than there are, because recent dates have many of
    hours, and it does not know that other periods have fewer. So it would scan the whole table.
    """
    return {"start__in": RawSQL("SELECT unnest(%s::date[])", [sorted(days)])}


def _hours(holders: Holders) -> int | None:
    """Return how many hours of a date are needed, counted from midnight; None if the dates need different ones."""
    by_date: dict[date, dict[int, list[Hashable]]] = defaultdict(dict)
    for (period, start, hour), names in holders.items():
        if period == HOUR:
            by_date[start][hour] = names
    counts = {len(hours) for hours in by_date.values()}
    alike = all(
        hours.keys() == set(range(len(hours))) and all(names == hours[0] for names in hours.values())
        for hours in by_date.values()
    )
    return counts.pop() if alike and len(counts) == 1 else None
