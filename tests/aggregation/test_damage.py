"""Sketches that cannot be read cost no event, and no number is wrong for lack of them."""

import json
from datetime import UTC, datetime

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, distribution, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key
from app_metrics.core.periods import PERIODS
from app_metrics.core.summary import TIMER, UNIQUE, distinct
from app_metrics.core.uniques import EXACT, Uniques
from app_metrics.models import Item, Metric, QuarantinedItem, Total
from app_metrics.storage.dialects.base import LONG
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY
from tests.support.summaries import measured, seen

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
DAMAGED = b"\xff" * 2 * LONG


@pytest.fixture(autouse=True)
def at_noon():
    with freeze_time(NOON):
        yield


def write(*batches):
    """Append batches to the item log."""
    backend = load_backend("app_metrics.backends.db")
    for batch in batches:
        backend.write(Batch(batch))
    backend.drain()


def key(slug="users", kind=UNIQUE):
    return Key(slug, kind, "{}", DAY, 12)


def damage(period, **sketches):
    assert Total.objects.filter(period=period).update(**sketches) == 1


@pytest.fixture
def looks(monkeypatch):
    """Look at the length of each sketch, which MySQL does now and then."""
    monkeypatch.setattr("app_metrics.storage.dialects.mysql.random", lambda: 0)


def test_items_are_counted_though_the_sketch_of_their_total_is_damaged(database, looks):
    write({key(): seen(*range(EXACT))})
    aggregate()
    damage("year", uniques=DAMAGED)
    write({key(): seen(1), key("orders", "counter"): measured(3)}, {key(): seen(EXACT)})
    done = aggregate()
    assert (done.items, done.quarantined) == (3, 0)
    metric = Metric.objects.get(slug="users")
    assert dict(metric.totals.values_list("period", "count")) == dict.fromkeys(PERIODS, EXACT + 2)
    assert distinct(metric.summary("year", DAY)) is None
    assert distinct(metric.summary("month", DAY)) == Uniques(range(EXACT + 1)).count


def test_a_damaged_sketch_of_a_total_is_set_aside_once_and_logged_with_its_total(database, looks, caplog):
    write({key(): seen(*range(EXACT))})
    aggregate()
    damage("year", uniques=DAMAGED)
    pk = Total.objects.get(period="year").pk
    for number in range(3):
        write({key(): seen(*range(EXACT * number, EXACT * (number + 1)))})
        aggregate()
    kept = QuarantinedItem.objects.get()
    assert (payload := json.loads(kept.payload)) == payload | {"total": pk, "slug": "users", "period": "year"}
    for text in (kept.reason, caplog.text):
        assert f"the total {pk}, the year of 'users' that starts on 2026-01-01" in text
        assert "xff" not in text
    assert distinct(Metric.objects.get().summary("year", DAY)) is None


def test_a_lost_sketch_stays_unknown_whatever_is_counted_later(database, looks):
    unique("users", 1)
    aggregate()
    damage("year", uniques=b"\x01nonsense\xff")
    metric = Metric.objects.get()
    assert distinct(metric.summary("year", DAY)) is None
    unique("users", 2)
    assert distinct(metric.summary("year", DAY)) is None
    aggregate()
    assert distinct(metric.summary("year", DAY)) is None
    write({key(): seen(*range(EXACT))})
    aggregate()
    unique("users", 3)
    assert distinct(metric.summary("year", DAY)) is None


def test_percentiles_of_a_total_are_unknown_after_its_histogram_was_damaged(database, looks):
    numbers = [100 * 1.02**power for power in range(1500)]
    write({key("export", TIMER): measured(*map(int, numbers))})
    aggregate()
    damage("year", histogram=DAMAGED)
    metric = Metric.objects.get()
    assert metric.percentile("year", 50, DAY) is None
    for _ in range(2):
        write({key("export", TIMER): measured(*map(int, numbers))})
        aggregate()
        assert metric.percentile("year", 50, DAY) is None
        assert metric.percentile("month", 50, DAY) is not None
    assert metric.summary("year", DAY).count == 3 * len(numbers)
    assert "'histogram'" in QuarantinedItem.objects.get().reason


@pytest.mark.parametrize("damaged", [1, 40, 400])
def test_the_statements_of_a_run_do_not_depend_on_the_number_of_damaged_items(database, damaged):
    def statements(first):
        write(*({key(): seen(number, number + 1)} for number in range(first, first + 400)))
        ids = list(Item.objects.order_by("id").values_list("pk", flat=True))
        Item.objects.filter(pk__in=ids[:: 400 // damaged]).update(uniques=b"\x02of a newer version")
        with CaptureQueriesContext(connections[database]) as queries:
            assert aggregate().quarantined == damaged
        return len(queries)

    assert statements(0) < 60
    assert QuarantinedItem.objects.count() == damaged
    assert sum(total.count for total in Total.objects.filter(period="year")) == 2 * (400 - damaged)


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("table", ["total", "item"])
def test_sketches_that_are_no_text_harm_nothing_else_on_sqlite(database, table, size):
    if connections[database].vendor != "sqlite":
        pytest.skip("its sketches are bytes")
    write({key(): seen(*range(EXACT))})
    if table == "total":
        aggregate()
    with connections[database].cursor() as cursor:
        cursor.execute(f"UPDATE app_metrics_{table} SET uniques = CAST(x'ff' || uniques AS text)")
    Metric.objects.discover()
    metric = Metric.objects.get(slug="users")
    assert distinct(metric.summary("year", DAY)) is None
    write({key(): seen(1), key("orders", "counter"): measured(3)})
    done = aggregate(chunk_size=size)
    kept = {"total": EXACT + 1, "item": 1}[table]
    assert Total.objects.get(metric__slug="users", period="year").count == kept
    assert Metric.objects.get(slug="orders").total("year", DAY) == 3
    assert (done.quarantined, QuarantinedItem.objects.count()) == ((0, 5) if table == "total" else (1, 1))
    assert "users" in QuarantinedItem.objects.first().payload
    assert distinct(metric.summary("year", DAY)) == (None if table == "total" else 1)


def test_healthy_items_beside_damaged_ones_keep_their_sketches(database):
    with collect():
        distribution("price", 1)
        distribution("price", 2)
    load_backend("app_metrics.backends.db").drain()
    Item.objects.update(histogram=b"\x01nonsense\xff")
    for number in (3, 4, 5):
        distribution("price", number)
    aggregate()
    assert Metric.objects.get().percentile("year", 100, DAY) == 5
    assert QuarantinedItem.objects.count() == 1
