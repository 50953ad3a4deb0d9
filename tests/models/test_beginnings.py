"""When the counting of metrics began."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Metric, Total
from app_metrics.models.beginnings import first_dates


@pytest.mark.every_database
def test_the_first_date_is_that_of_the_first_total_or_the_month_of_pruned_days(database):
    for slug, day in (("visits", 9), ("visits", 20), ("orders", 12), ("pruned", 5), ("pruned", 25)):
        metric(slug, at=datetime(2026, 5, day, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    metric("pruned", at=datetime(2026, 4, 7, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    aggregate()
    Total.objects.filter(metric__slug="pruned", period="day", start__lt=date(2026, 5, 20)).delete()
    metrics = {each.pk: each.slug for each in Metric.objects.all()}
    with CaptureQueriesContext(connections[database]) as captured:
        found = first_dates(list(Metric.objects.all()))
    assert len(captured) == 3
    assert {metrics[pk]: day for pk, day in found.items()} == {
        "visits": date(2026, 5, 9), "orders": date(2026, 5, 12), "pruned": date(2026, 4, 1),
    }  # fmt: skip
    assert first_dates([]) == {}


@pytest.mark.every_database
def test_pending_events_may_be_the_first(database):
    metric("visits", at=datetime(2026, 5, 9, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    aggregate()
    for slug, day in (("visits", 8), ("visits", 10), ("orders", 12), ("orders", 11)):
        metric(slug, at=datetime(2026, 5, day, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    Metric.objects.discover()
    found = first_dates(Metric.objects.all())
    assert {each.slug: found[each.pk] for each in Metric.objects.all()} == {
        "visits": date(2026, 5, 8), "orders": date(2026, 5, 11),
    }  # fmt: skip
