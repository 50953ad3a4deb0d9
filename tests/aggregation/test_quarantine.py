"""A row that fits no total is quarantined with the reason, and the rest drains."""

import json
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import DatabaseError, connections

from app_metrics.aggregation.run import aggregate
from app_metrics.core.summary import Summary, single
from app_metrics.models import AggregationRun, Item, QuarantinedItem, Total

pytestmark = pytest.mark.every_database

GOOD = {
    "slug": "good", "kind": "counter", "labels": "{}", "day": date(2026, 5, 31), "hour": 22,
    **Summary(*single(1, at=1_780_257_600))._asdict(),
}  # fmt: skip
LARGEST_COUNT = 2**63 - 1
LARGEST_TOTAL = Decimal("9" * 29)


def store(number, **values):
    return Item.objects.create(id=UUID(int=number), **{**GOOD, **values})


def store_raw(alias, number, column, value):
    """Store an item with a value in one column that Django would refuse."""
    item = store(number)
    with connections[alias].cursor() as cursor:
        prepared = Item._meta.pk.get_db_prep_value(item.pk, connections[alias])
        cursor.execute(f"UPDATE app_metrics_item SET {column} = %s WHERE id = %s", [value, prepared])


def counted():
    total = Total.objects.filter(metric__slug="good", period="day").first()
    return total.count if total else 0


POISON = {
    "kind": "histogram",
    "slug": "no slug!",
    "hour": 99,
    "labels": "{not json",
}


@pytest.mark.parametrize(("column", "value"), [*POISON.items(), ("labels", "[1]"), ("labels", '{"plan": 1}')])
def test_a_poisoned_row_is_set_aside_with_its_content_and_the_reason(database, column, value):
    store(1)
    store(2, **{column: value})
    store(3)
    done = aggregate()
    assert (done.items, done.quarantined, Item.objects.count(), counted()) == (3, 1, 0, 2)
    quarantined = QuarantinedItem.objects.get()
    payload = json.loads(quarantined.payload)
    assert payload.keys() == GOOD.keys()
    assert payload[column] == str(value)
    assert str(value) in quarantined.reason
    assert AggregationRun.objects.get().quarantined == 1


RAW = {
    "sqlite": [
        ("total", "garbage"), ("total", "NaN"), ("last", "Infinity"), ("count", "many"), ("count", 1.5), ("hour", 1.5),
        ("day", "someday"), ("last_at", "now"), ("total", "1e29"), ("total", b"\xff"),
    ],
    "postgresql": [("total", "NaN"), ("minimum", "NaN"), ("day", "infinity"), ("day", "0044-03-15 BC")],
    "mysql": [("hour", -1)],
}  # fmt: skip


def test_rows_that_only_raw_sql_can_store_are_quarantined(database):
    poison = RAW[connections[database].vendor]
    for number, (column, value) in enumerate(poison):
        store_raw(database, 2 * number, column, value)
        store(2 * number + 1)
    done = aggregate()
    assert (done.quarantined, counted(), Item.objects.count()) == (len(poison), len(poison), 0)


@pytest.mark.parametrize("values", [{"count": LARGEST_COUNT}, {"total": LARGEST_TOTAL}], ids=["count", "total"])
@pytest.mark.parametrize("runs", [1, 2])
def test_an_item_that_would_overflow_its_total_is_set_aside(database, values, runs):
    store(1, **values)
    if runs == 2:
        aggregate()
    store(2, **values)
    store(3, slug="other")
    aggregate()
    assert QuarantinedItem.objects.count() == 1
    assert Item.objects.count() == 0
    kept = Total.objects.get(metric__slug="good", period="year")
    assert {name: getattr(kept, name) for name in values} == values
    assert Total.objects.filter(metric__slug="other", count=1).count() == 5


@pytest.mark.parametrize("last_at", [2**63 - 1, -(2**63), 0])
def test_an_extreme_timestamp_is_not_quarantined(database, last_at):
    store(1, last_at=last_at)
    store(2)
    done = aggregate()
    assert (done.items, done.quarantined, counted()) == (2, 0, 2)


@pytest.mark.parametrize(
    ("positions", "chunk_size"),
    [({0}, 10), ({24}, 10), ({11, 12, 13}, 10), ({0, 7, 24}, 1), ({0, 7, 24}, 100), (set(range(25)), 10)],
    ids=str,
)
def test_poisoned_rows_at_any_position_do_not_stop_the_others(database, positions, chunk_size):
    for number in range(25):
        store(number, kind="nonsense" if number in positions else "counter")
    done = aggregate(chunk_size=chunk_size)
    assert (done.items, done.quarantined) == (25, len(positions))
    assert QuarantinedItem.objects.count() == len(positions)
    assert (counted(), Item.objects.count()) == (25 - len(positions), 0)


def test_a_good_row_of_a_new_metric_survives_beside_a_poisoned_one(transactional_database):
    store(1, slug="new")
    store(2, slug="new", kind="nonsense")
    aggregate(chunk_size=2)
    assert Total.objects.get(metric__slug="new", period="day").count == 1


def test_a_row_that_cannot_be_quarantined_raises_and_stays(transactional_database):
    store(1, kind="nonsense")

    def refuse(execute, sql, params, many, context):
        if "app_metrics_quarantineditem" in sql:
            from django.db import DataError

            raise DataError("too long")
        return execute(sql, params, many, context)

    with connections[transactional_database].execute_wrapper(refuse), pytest.raises(DatabaseError, match="too long"):
        aggregate()
    assert Item.objects.count() == 1
