"""Read the totals."""

from django.db.models import Sum

from app_metrics.models import Total


def year_counts():
    """Return how often each metric was recorded, by slug, over all years."""
    years = Total.objects.filter(period="year")
    return dict(years.values_list("metric__slug").annotate(Sum("count")))
