"""The sum of each metric of a queryset over one period, as an expression: totals and pending items in one statement."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models.functions import Cast, Coalesce

from ..core import calendar
from ..core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ..core.periods import Period
from .fields import PlainDecimalField
from .ledger import LedgerRow
from .pending import pending_batches
from .totals import Item, Total


def sum_over(period: Period, day: date) -> Any:
    """Return the sum of a metric over the period that contains `day`, for a queryset of metrics to annotate."""
    first, last = calendar.span(period, day)
    totals = Total.objects.filter(metric=models.OuterRef("pk"), period=period, start=first)
    items = Item.objects.filter(slug=models.OuterRef("slug"), day__range=(first, last))
    terms = [_sum(totals, "metric"), _sum(items, "slug"), *_elsewhere(first, last)]
    return models.ExpressionWrapper(_added(terms), output_field=_number())


def _number() -> PlainDecimalField:
    return PlainDecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)


def _sum(rows: models.QuerySet[Any], group: str) -> Coalesce:
    number = _number()
    total = models.Sum(Cast("total", number), output_field=number)
    summed = rows.order_by().values(group).annotate(summed=total).values("summed")
    return Coalesce(models.Subquery(summed, output_field=number), Decimal(0), output_field=number)


def _added(terms: list[Any]) -> Any:
    """Return the sum of some terms, nested as little as possible: databases limit how deep an expression may be."""
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [*(one + other for one, other in pairs), *terms[len(terms) // 2 * 2 :]]
    return terms[0]


def _elsewhere(first: date, last: date) -> Iterator[models.Case]:
    """Yield the sum of each batch that is pending outside the database; 0 if it was stored meanwhile."""
    number, nothing = _number(), models.Value(Decimal(0), _number())
    for batch in pending_batches().only(lambda key: first <= key.day <= last).batches:
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for key, summary in batch.summaries.items():
            sums[key.slug] += Decimal(summary.total)
        own = (models.When(slug=slug, then=models.Value(total, number)) for slug, total in sums.items())
        is_stored = models.Exists(LedgerRow.objects.filter(pk=batch.id))
        summed = models.Case(*own, default=nothing, output_field=number)
        yield models.Case(models.When(is_stored, then=nothing), default=summed, output_field=number)
