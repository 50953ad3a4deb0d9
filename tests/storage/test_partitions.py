"""The totals in partitions of PostgreSQL, as docs/scaling.md makes them, work as in one table."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from app_metrics import collect, distribution, metric, unique
from app_metrics.aggregation.retention import Limit, prune
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import HOUR
from app_metrics.models import Metric, Total
from app_metrics.transfer.exported_totals import Chosen
from app_metrics.transfer.line_export import lines
from tests.support import partitions

MONTHS = (8, 10, 11)

pytestmark = pytest.mark.slow


@pytest.fixture
def postgresql(transactional_database: str) -> str:
    if connections[transactional_database].vendor != "postgresql":
        pytest.skip("only PostgreSQL has these partitions")
    return transactional_database


def record() -> None:
    with collect():
        for month in MONTHS:
            at = datetime(2026, month, 24, 9, tzinfo=UTC)
            for plan in ("free", "pro"):
                metric("orders", month, labels={"plan": plan}, at=at)
                distribution("price", 7, labels={"plan": plan}, at=at)
                unique("users", month, labels={"plan": plan}, at=at)
    assert aggregate().items == 6 * len(MONTHS)


def stored() -> list[Any]:
    return list(lines(Chosen(), pytest.fail))


def test_totals_in_partitions_are_those_of_one_table(postgresql: str) -> None:
    record()
    before = stored()
    with partitions.divided(postgresql):
        assert stored() == before
        record()
        divided = stored()
    Metric.objects.all().delete()
    for _ in range(2):
        record()
    assert divided == stored()


def test_the_hours_of_each_month_are_in_a_partition_of_their_own(postgresql: str) -> None:
    record()
    with partitions.divided(postgresql):
        found, longer = partitions.numbers(postgresql), Total.objects.exclude(period=HOUR).count()
    assert found == {**{f"app_metrics_total_2026_{month:02}": 6 for month in MONTHS}, "app_metrics_total_days": longer}


def test_a_month_of_hours_goes_with_its_partition_and_others_can_be_pruned(postgresql: str) -> None:
    record()
    with partitions.divided(postgresql):
        rest = Total.objects.exclude(period=HOUR).count()
        partitions.delete_month(postgresql, "2026_08")
        assert set(Total.objects.filter(period=HOUR).values_list("start__month", flat=True)) == {10, 11}
        assert prune(Limit(HOUR, date(2026, 11, 1))) == 6
        assert Total.objects.exclude(period=HOUR).count() == rest
        assert Metric.objects.get(slug="orders").total("year", date(2026, 8, 1)) == 2 * sum(MONTHS)


def test_migrations_over_the_columns_of_sketches_work_on_partitions(postgresql: str) -> None:
    with partitions.divided(postgresql):
        try:
            call_command("migrate", "app_metrics", "0006", database=postgresql, verbosity=0)
        finally:
            call_command("migrate", "app_metrics", database=postgresql, verbosity=0)
        record()
