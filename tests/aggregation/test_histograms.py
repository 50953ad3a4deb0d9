"""The histograms of totals hold every number of a timer or distribution once, however it came there."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, distribution, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key
from app_metrics.core.histogram import Histogram
from app_metrics.core.periods import PERIODS
from app_metrics.core.summary import TIMER, percentile
from app_metrics.models import Item, Metric, QuarantinedItem, Total
from app_metrics.recording.metrics import record
from app_metrics.storage.dialects import dialect_for
from app_metrics.storage.dialects.base import LONG, TOTAL_KEY, TotalKey
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY
from tests.support.summaries import measured, summary_of
from tests.support.threads import at_once, in_thread

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)


def durations(count, seed=1):
    chance = random.Random(seed)
    return [Decimal(f"{chance.lognormvariate(-2, 1):.9f}") for _ in range(count)]


def histogram(slug, period="year"):
    return Histogram.decode(Total.objects.get(metric__slug=slug, period=period).histogram)


def merged_bytes(data):
    """Return the bytes of a stored histogram, to which others may have been appended, as one."""
    return Histogram.decode(data).encode()


def together(numbers):
    with collect():
        for number in numbers:
            record("export", TIMER, number)


def one_by_one(numbers):
    for number in numbers:
        record("export", TIMER, number)


def in_runs(numbers):
    for number in numbers:
        record("export", TIMER, number)
        aggregate()


def mixed(numbers):
    together(numbers[:7])
    one_by_one(numbers[7:10])
    aggregate()
    one_by_one(numbers[10:11])
    together(numbers[11:])


@freeze_time(NOON)
@pytest.mark.parametrize("way", [together, one_by_one, in_runs, mixed])
def test_the_histogram_of_each_period_does_not_depend_on_how_its_numbers_came_there(database, way):
    numbers = durations(20)
    way(numbers)
    aggregate()
    stored = {period: merged_bytes(data) for period, data in Total.objects.values_list("period", "histogram")}
    assert stored == dict.fromkeys(PERIODS, Histogram(numbers).encode())


def test_hours_of_different_days_and_label_sets_have_histograms_of_their_own(database):
    numbers = durations(40)
    for place, number in enumerate(numbers):
        distribution("price", number, labels={"plan": "ab"[place % 2]}, at=NOON + timedelta(days=place % 4 // 2))
    aggregate()
    days = Total.objects.filter(period="day").order_by("start", "labels")
    assert [each.histogram for each in days] == [
        Histogram(numbers[first::4]).encode() for first in (0, 1, 2, 3)
    ]  # fmt: skip
    years = Total.objects.filter(period="year").order_by("labels")
    assert [each.histogram for each in years] == [Histogram(numbers[first::2]).encode() for first in (0, 1)]


@freeze_time(NOON)
def test_an_item_of_a_single_number_has_no_histogram_and_its_total_has_one(database):
    record("export", TIMER, 0.25)
    load_backend("app_metrics.backends.db").drain()
    assert Item.objects.get().histogram is None
    aggregate()
    assert histogram("export") == Histogram([Decimal("0.25")])


def test_counters_and_gauges_have_no_histogram_and_cost_no_statement(database):
    def statements():
        with CaptureQueriesContext(connections[database]) as queries:
            aggregate()
        return [
            query["sql"] for query in queries if "histogram" in query["sql"] and "app_metrics_total" in query["sql"]
        ]

    aggregate()
    for number in range(3):
        metric("orders", number)
        gauge("queue", number)
    written = statements()
    assert set(Total.objects.values_list("histogram", flat=True)) == {None}
    if connections[database].vendor != "sqlite":
        assert written == []


def total_keys(number):
    metric = Metric.objects.create(slug="export", name="export", kind=TIMER)
    return [TotalKey(metric.pk, "day", DAY + timedelta(days=day), 0, "{}") for day in range(number)]


def add(database, totals):
    with transaction.atomic(using=database):
        dialect_for(connections[database]).add_totals(connections[database], totals)


def test_histograms_are_appended_to_a_total_and_merged_once_they_are_long(database, monkeypatch):
    monkeypatch.setattr("app_metrics.storage.dialects.mysql.random", lambda: 0)
    numbers, keys = durations(1200), total_keys(2)
    lengths = []
    for first in range(0, 1200, 20):
        add(database, [(key, measured(*numbers[first : first + 20])) for key in keys])
        stored = list(Total.objects.values_list("histogram", flat=True))
        assert [merged_bytes(data) for data in stored] == [Histogram(numbers[: first + 20]).encode()] * 2
        lengths.append(max(map(len, stored)))
    assert lengths[10] > len(Histogram(numbers[:220]).encode())
    assert max(lengths) <= LONG


def test_a_histogram_stays_short_however_often_it_is_appended_to(database):
    numbers, (key,) = durations(6000), total_keys(1)
    for first in range(0, 6000, 100):
        add(database, [(key, measured(*numbers[first : first + 100]))])
    (stored,) = Total.objects.values_list("histogram", flat=True)
    assert len(stored) < 5 * LONG
    assert merged_bytes(stored) == Histogram(numbers).encode()


def test_any_number_of_long_histograms_is_merged(database, monkeypatch):
    monkeypatch.setattr("app_metrics.storage.dialects.base.SKETCHES_AT_ONCE", 2)
    keys, wide = total_keys(5), measured(*(int(100 * 1.02**power) for power in range(1500)))
    for _ in range(2):
        add(database, [(key, wide) for key in keys])
    expected = (wide.histogram + wide.histogram).encode()
    assert len(expected) > LONG
    assert list(Total.objects.values_list("histogram", flat=True)) == [expected] * 5


def test_a_counter_written_with_a_timer_has_no_histogram(database):
    keys = total_keys(2)
    for _ in range(2):
        add(database, list(zip(keys, [summary_of(1), measured(2)], strict=True)))
    counter, timer = Total.objects.order_by("start").values_list("histogram", flat=True)
    assert (counter, merged_bytes(timer)) == (None, Histogram([2, 2]).encode())


def test_aggregations_at_once_lose_no_number_of_a_histogram(transactional_database):
    numbers = durations(60)
    one_by_one(numbers)
    at_once(3, lambda: aggregate(chunk_size=5))
    aggregate()
    stored = Total.objects.filter(period="year").values_list("histogram", "count")
    assert [(Histogram.decode(data), count) for data, count in stored] == [(Histogram(numbers), len(numbers))]


@pytest.mark.parametrize("level", ["default", "repeatable reads"])
def test_a_total_that_another_session_writes_in_between_keeps_its_numbers(level, transactional_database, request):
    connection = connections[transactional_database]
    if connection.vendor == "sqlite":
        pytest.skip("it has one writer at a time")
    if level != "default":
        with connection.cursor() as cursor:
            characteristics = "CHARACTERISTICS AS" if connection.vendor == "postgresql" else ""
            cursor.execute(f"SET SESSION {characteristics} TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    one_by_one([1])
    aggregate()
    one_by_one([2])
    late = [3]

    def add_late(number):
        with transaction.atomic(using=transactional_database):
            other = connections[transactional_database]
            totals = [(key, measured(number)) for key in keys]
            dialect_for(other).add_totals(other, totals)

    def write_late(execute, sql, params, many, context):
        if "INSERT INTO app_metrics_total" in sql and late:
            number = late.pop()
            in_thread(lambda: add_late(number))
        return execute(sql, params, many, context)

    keys = sorted(TotalKey(*row) for row in Total.objects.values_list(*TOTAL_KEY))
    with connection.execute_wrapper(write_late):
        aggregate()
    connection.close()
    assert late == []
    stored = Total.objects.values_list("histogram", flat=True)
    assert set(map(merged_bytes, stored)) == {Histogram([1, 2, 3]).encode()}


def test_a_damaged_histogram_is_quarantined_and_the_rest_is_counted(database):
    key = Key("export", TIMER, "{}", DAY, 12)
    together([1, 2])
    load_backend("app_metrics.backends.db").drain()
    Item.objects.update(histogram=b"\x01nonsense\xff")
    one_by_one([5])
    aggregate()
    assert QuarantinedItem.objects.count() == 1
    assert "not a histogram" in QuarantinedItem.objects.get().reason
    assert key.slug in QuarantinedItem.objects.get().payload
    assert histogram("export") == Histogram([5])


def test_numbers_recorded_before_there_were_histograms_are_missing_and_make_percentiles_unknown(database):
    key = Key("export", TIMER, "{}", DAY, 12)
    load_backend("app_metrics.backends.db").write(Batch({key: summary_of(1, 2, 3, at=1)}))
    aggregate()
    stored = Total.objects.get(period="year")
    assert stored.histogram is None
    load_backend("app_metrics.backends.db").write(Batch({key: summary_of(4, at=2)}))
    aggregate()
    assert histogram("export") == Histogram([4])
    summary = summary_of(1, 2, 3, 4)._replace(histogram=Histogram([4]))
    assert percentile(summary, 50) is None
    assert Metric.objects.get().percentile("year", 50, DAY) is None
