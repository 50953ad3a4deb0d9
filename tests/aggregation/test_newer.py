"""What a newer version of this package has written is kept until this one is upgraded."""

from contextlib import contextmanager

import pytest
from django.db import connections

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import AggregationRun, Item, Total

pytestmark = pytest.mark.every_database


@contextmanager
def additional_column(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute("ALTER TABLE app_metrics_item ADD COLUMN newer_sketch text")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE app_metrics_item DROP COLUMN newer_sketch")


def test_items_with_a_column_that_is_unknown_here_stay_pending(transactional_database):
    with additional_column(transactional_database):
        metric("orders")
        done = aggregate()
        (failure,) = done.failures
        assert "newer_sketch of the item log is unknown here" in failure
        assert "Upgrade app_metrics" in failure
        assert (done.items, Item.objects.count(), AggregationRun.objects.count()) == (0, 1, 0)
    assert aggregate().failures == []
    assert Total.objects.filter(metric__slug="orders", count=1).count() == 5
