"""Read the totals and items."""

from django.db.models import Sum

from app_metrics.core.batch import Key
from app_metrics.core.summary import Summary
from app_metrics.models import Item, Total
from tests.support.summaries import stored_summary


def year_counts():
    """Return how often each metric was recorded, by slug, over all years."""
    years = Total.objects.filter(period="year")
    return dict(years.values_list("metric__slug").annotate(Sum("count")))


def stored_items():
    """Return the summaries of all items, by key."""
    rows = Item.objects.values_list(*Key._fields, *Summary._fields)
    return {Key(*row[:5]): stored_summary(row[1], *row[5:]) for row in rows}
