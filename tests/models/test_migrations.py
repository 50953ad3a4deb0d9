"""Migrating back to the version before, and forward again, with rows that only the later version writes."""

import pytest
from django.core.management import call_command
from django.db import connections

from app_metrics import collect, distribution, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Metric, QuarantinedItem
from app_metrics.transport.loading import load_backend


@pytest.mark.every_database
def test_going_back_from_sketches_keeps_metrics_of_the_kinds_that_have_some(transactional_database):
    def record():
        with collect():
            metric("orders", 2)
            distribution("price", 3)
            unique("users", 7)

    def migrate(*name):
        call_command("migrate", "app_metrics", *name, database=transactional_database, verbosity=0)

    record()
    aggregate()
    record()  # stays pending
    load_backend("app_metrics.backends.db").drain()
    try:
        migrate("0006")
        with connections[transactional_database].cursor() as cursor:
            cursor.execute("SELECT slug, kind FROM app_metrics_metric ORDER BY slug")
            assert [*cursor.fetchall()] == [("orders", "counter"), ("price", "distribution"), ("users", "unique")]
    finally:
        migrate()
    distribution("orders", 5)  # a longer second kind
    aggregate()
    assert not QuarantinedItem.objects.exists()
    counts = {metric.slug: metric.summary("day").count for metric in Metric.objects.all()}
    assert counts == {"orders": 3, "price": 2, "users": 2}
