"""The sketches of unique counts in totals hold every hash, however it came there, byte for byte."""

import random
from datetime import UTC, datetime

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key
from app_metrics.core.hashing import hash_of
from app_metrics.core.periods import PERIODS
from app_metrics.core.summary import UNIQUE
from app_metrics.core.uniques import EXACT, Uniques
from app_metrics.models import Item, Metric, QuarantinedItem, Total
from app_metrics.storage.dialects import dialect_for
from app_metrics.storage.dialects.base import TotalKey, item_rows
from app_metrics.storage.items import append
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY
from tests.support.summaries import measured, seen, summary_of
from tests.support.threads import at_once

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)


def sketch(*users):
    return Uniques(map(hash_of, users))


def merged_bytes(data):
    return Uniques.decode(data).encode()


def stored(period="year"):
    return Uniques.decode(Total.objects.get(period=period).uniques)


def together(users):
    with collect():
        for user in users:
            unique("users", user)


def one_by_one(users):
    for user in users:
        unique("users", user)


def in_runs(users):
    for user in users:
        unique("users", user)
        aggregate()


def mixed(users):
    together(users[:7])
    one_by_one(users[7:10])
    aggregate()
    one_by_one(users[10:11])
    together(users[11:])


@freeze_time(NOON)
@pytest.mark.parametrize("way", [together, one_by_one, in_runs, mixed])
def test_the_sketch_of_each_period_does_not_depend_on_how_its_values_came_there(database, way):
    users = [random.Random(3).randrange(12) for _ in range(5)] + list(range(15))
    way(users)
    aggregate()
    totals = {period: merged_bytes(data) for period, data in Total.objects.values_list("period", "uniques")}
    assert totals == dict.fromkeys(PERIODS, sketch(*users).encode())


@freeze_time(NOON)
def test_the_item_of_a_single_event_has_its_hash(database):
    unique("users", 5)
    load_backend("app_metrics.backends.db").drain()
    assert Uniques.decode(Item.objects.get().uniques) == sketch(5)


def test_other_metrics_have_no_sketch_of_unique_counts_and_cost_no_statement(database):
    for number in range(3):
        metric("orders", number)
    with CaptureQueriesContext(connections[database]) as queries:
        aggregate()
    assert set(Total.objects.values_list("uniques", flat=True)) == {None}
    if connections[database].vendor != "sqlite":
        assert [each for each in queries if "uniques" in each["sql"] and "app_metrics_total" in each["sql"]] == []


def keys(number):
    made = Metric.objects.create(slug="users", name="users", kind=UNIQUE)
    return [TotalKey(made.pk, "day", DAY, hour, "{}") for hour in range(number)]


def add(database, totals):
    with transaction.atomic(using=database):
        dialect_for(connections[database]).add_totals(connections[database], totals)


def test_sketches_are_appended_to_a_total_and_merged_once_they_are_long(database, monkeypatch):
    monkeypatch.setattr("app_metrics.storage.dialects.mysql.random", lambda: 0)
    (key,) = keys(1)
    for first in range(0, EXACT + 500, 100):
        part = [hash_of(user) for user in range(first - 20, first + 100)]
        add(database, [(key, seen(*part)), (key._replace(hour=1), seen(*part))])
        expected = Uniques(map(hash_of, range(-20, first + 100))).encode()
        found = list(Total.objects.values_list("uniques", flat=True))
        assert list(map(merged_bytes, found)) == [expected] * 2
    assert max(map(len, found)) == len(expected)


def test_totals_of_all_kinds_are_written_in_one_statement(database):
    totals = list(zip(keys(3), [summary_of(1), measured(2), seen(3)], strict=True))
    for _ in range(2):
        add(database, totals)
    found = Total.objects.order_by("hour").values_list("histogram", "uniques")
    assert [[data is not None for data in row] for row in found] == [[False, False], [True, False], [False, True]]
    assert Uniques.decode(found[2][1]) == Uniques([3])


def test_long_sketches_are_written_in_statements_that_servers_accept(database):
    if connections[database].vendor != "mysql":
        pytest.skip("it has no max_allowed_packet")
    number, long = 1700, seen(*range(EXACT))  # 18 million characters together
    add(database, [(key, long) for key in keys(number)])
    assert Total.objects.count() == number
    (row,) = item_rows(Batch({Key("visitors", UNIQUE, "{}", DAY, 12): long}))
    append([(f"{place:032x}", *row[1:]) for place in range(number)])
    assert Item.objects.count() == number


def test_aggregations_at_once_lose_no_value(transactional_database):
    one_by_one(range(60))
    at_once(3, lambda: aggregate(chunk_size=5))
    aggregate()
    (total,) = Total.objects.filter(period="year")
    assert (stored(), total.count) == (sketch(*range(60)), 60)


def test_a_damaged_sketch_is_quarantined_without_quoting_it_and_the_rest_is_counted(database):
    together([1, 2])
    load_backend("app_metrics.backends.db").drain()
    Item.objects.update(uniques=b"\x01nonsense\xff")
    one_by_one([5])
    aggregate()
    reason = QuarantinedItem.objects.get().reason
    assert "not a sketch of unique counts" in reason
    assert "nonsense" not in reason
    assert stored() == sketch(5)
