"""What an aggregation run adds to the totals, and what it reports."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.db.models import Max, Min, Sum
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, gauge, metric, unique
from app_metrics.aggregation import chunks, run
from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.conf import MAX_CHUNK_SIZE
from app_metrics.core.labels import NO_LABELS, OVERFLOW_LABELS
from app_metrics.core.periods import PERIODS
from app_metrics.models import AggregationRun, Item, Metric, QuarantinedItem, Total

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)


def total(slug, period="year"):
    return Total.objects.get(metric__slug=slug, period=period)


@pytest.mark.parametrize("runs", [1, 2])
def test_totals_add_exactly_in_all_five_periods(database, runs):
    numbers = [10**18 - 1, Decimal("0.000000001"), -7, Decimal("-0.000000002"), 10**18 - 1]
    for number in numbers:
        metric("orders", number, at=NOON)
        if runs == 2:
            aggregate()
    aggregate()
    for period in PERIODS:
        stored = total("orders", period)
        exact = Decimal("1999999999999999990.999999999")
        assert (stored.count, stored.total) == (5, exact), period
        assert (stored.minimum, stored.maximum) == (-7, 10**18 - 1), period


@pytest.mark.parametrize("together", [True, False])
def test_the_last_value_is_the_latest_by_time(database, together):
    for minutes, value in ((10, 1), (30, 3), (20, 2)):
        gauge("queue", value, at=NOON + timedelta(minutes=minutes))
        if not together:
            aggregate()
    aggregate()
    assert {row.last for row in Total.objects.all()} == {3}
    assert {row.last_at for row in Total.objects.all()} == {int((NOON.timestamp() + 1800) * 1_000_000)}


def test_for_equal_times_the_value_recorded_last_is_the_last(database):
    values = [3, 20, Decimal("0.5"), 7, Decimal("1.5")]
    with freeze_time(NOON) as clock:
        for moment in (NOON, datetime(1999, 1, 1, tzinfo=UTC)):
            for number in range(len(values)):
                for value in values[: number + 1]:
                    gauge(f"queue-{number}", value, at=moment)
                    clock.tick()
    aggregate()
    for number, value in enumerate(values):
        assert {row.last for row in Total.objects.filter(metric__slug=f"queue-{number}")} == {value}


@freeze_time(NOON)
def test_for_equal_times_the_value_aggregated_last_is_the_last(database):
    for value in (3, 20, 1):
        gauge("queue", value)
        aggregate()
    assert {row.last for row in Total.objects.all()} == {1}


def test_whole_fractional_and_long_numbers_of_any_time_add_exactly_in_one_transaction(database, settings):
    settings.APP_METRICS_YEARS = (1900, 2300)
    times = [NOON, datetime(1999, 1, 1, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)]
    numbers = [7, -7, 0, 10**13, 10**14, -(10**15), 10**18 - 1, Decimal("0.000000001"), Decimal("-3.5"), Decimal(4)]
    with freeze_time(NOON) as clock:
        for moment in times:
            for number in numbers:
                metric("orders", number, at=moment)
                clock.tick()
    aggregate()
    for period in PERIODS:
        years = Total.objects.filter(period=period)
        assert years.count() == len(times), period
        assert {(row.count, row.total) for row in years} == {(10, sum(numbers, Decimal(0)))}, period
        assert {(row.minimum, row.maximum, row.last) for row in years} == {(-(10**15), 10**18 - 1, 4)}, period


def test_all_periods_hold_the_same_sums(database):
    for day in range(0, 800, 7):
        metric(
            "orders", day, at=NOON + timedelta(days=day, hours=day % 24), labels={"plan": "pro"} if day % 2 else None
        )
    aggregate(chunk_size=10)
    sums = {
        period: Total.objects.filter(period=period).aggregate(Sum("count"), Min("minimum"), Max("last_at"))
        for period in PERIODS
    }
    assert len({tuple(values.values()) for values in sums.values()}) == 1
    assert sums["day"]["count__sum"] == 115


def test_aggregated_items_leave_the_log_and_a_second_run_adds_nothing(database):
    metric("orders", 4)
    assert aggregate().items == 1
    assert Item.objects.count() == 0
    assert aggregate().items == 0
    assert total("orders").total == 4


def test_items_that_arrive_while_it_runs_are_counted(database):
    late = iter(range(5))
    for _ in range(4):
        metric("orders")

    def record_one_more(items):
        if next(late, None) is not None:
            metric("orders")

    aggregate(chunk_size=2, on_progress=record_one_more)
    aggregate()
    arrived = 5 - len(list(late))
    assert arrived > 1
    assert total("orders").count == 4 + arrived


def test_an_item_with_a_lower_id_than_aggregated_ones_is_counted(database):
    with freeze_time(NOON):
        metric("orders")
    aggregate()
    with freeze_time(NOON - timedelta(hours=1)):
        metric("orders")
    aggregate()
    assert total("orders").count == 2
    assert Item.objects.count() == 0


def test_an_unknown_slug_becomes_a_counter_named_after_it_and_keeps_its_first_event(database):
    metric("unknown", 5)
    aggregate()
    created = Metric.objects.get()
    assert (created.slug, created.name, created.kind, created.second_kind) == ("unknown", "unknown", "counter", "")
    assert total("unknown").total == 5


@pytest.mark.parametrize("together", [True, False])
def test_a_slug_recorded_under_a_second_kind_keeps_its_first(database, together):
    metric("queue", 4, at=NOON)
    if not together:
        aggregate()
    gauge("queue", 6, at=NOON + timedelta(minutes=1))
    aggregate()
    recorded = Metric.objects.get()
    assert (recorded.kind, recorded.second_kind) == ("counter", "gauge")
    assert (total("queue").count, total("queue").total, total("queue").last) == (2, 10, 6)


def test_a_new_metric_has_the_kind_that_was_recorded_first(database):
    metric("queue", at=NOON)
    gauge("queue", 6, at=NOON + timedelta(minutes=1))
    metric("queue", at=NOON + timedelta(minutes=2))
    metric("queue", at=NOON + timedelta(hours=2))
    aggregate()
    recorded = Metric.objects.get()
    assert (recorded.kind, recorded.second_kind) == ("counter", "gauge")


def test_further_label_sets_fold_into_one_overflow_series_over_batches_and_runs(database, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 3
    for customers in (["a", "b", "c"], ["d", "e", "a"], ["f", "d", "b", "g"]):
        for customer in customers:
            metric("orders", labels={"customer": customer})
        metric("orders")
        aggregate(chunk_size=2)
    counts = dict(Total.objects.filter(period="day").values_list("labels", "count"))
    own = {f'{{"customer":"{customer}"}}': number for customer, number in (("a", 2), ("b", 2), ("c", 1))}
    assert counts == {NO_LABELS: 3, OVERFLOW_LABELS: 5, **own}


def test_the_overflow_series_takes_no_place_among_the_label_sets(database, settings):
    for limit, customers in ((1, "ab"), (2, "c")):
        settings.APP_METRICS_MAX_LABEL_SETS = limit
        for customer in customers:
            metric("orders", labels={"customer": customer})
        aggregate()
    stored = set(Total.objects.values_list("labels", flat=True))
    assert stored == {'{"customer":"a"}', OVERFLOW_LABELS, '{"customer":"c"}'}


def test_long_whole_numbers_of_one_bucket_add_exactly(database):
    """SQLite adds whole numbers with 64 bits, which ten of these exceed."""
    for _ in range(10):
        metric("bytes", 10**18 - 1)
    aggregate()
    assert total("bytes").total == 10 * (10**18 - 1)


def statements(alias):
    with CaptureQueriesContext(connections[alias]) as queries:
        aggregate()
    return len(queries)


def test_the_number_of_statements_does_not_depend_on_the_number_of_items(database):
    aggregate()
    counts = []
    for items in (5, 50, 500):
        Metric.objects.all().delete()
        for number in range(items):
            metric(f"slug-{number % 5}", labels={"plan": str(number % 3)}, at=NOON)
        counts.append(statements(database))
    assert len(set(counts)) == 1
    assert counts[0] <= 16


def test_the_number_of_statements_does_not_depend_on_the_number_of_known_metrics(database):
    for number in range(200):
        metric(f"slug-{number}")
    aggregate()
    counts = []
    for metrics in (1, 200):
        for number in range(metrics):
            metric(f"slug-{number}")
        counts.append(statements(database))
    assert counts[0] == counts[1]


def test_the_backlog_has_the_number_and_age_of_pending_items(database):
    assert (backlog().items, backlog().oldest, backlog().age) == (0, None, 0.0)
    with freeze_time(datetime.now(UTC) - timedelta(hours=2)):
        metric("orders")
    metric("orders")
    assert backlog().items == 2
    assert backlog().age == pytest.approx(7200, abs=60)


def test_an_old_backlog_is_a_warning_of_the_database_checks(database):
    def warnings():
        return [message.id for message in run_checks(tags=["database"], databases=[database])]

    metric("orders")
    assert "app_metrics.W003" not in warnings()
    with freeze_time(datetime.now(UTC) - timedelta(hours=25)):
        metric("orders")
    assert "app_metrics.W003" in warnings()
    aggregate()
    assert "app_metrics.W003" not in warnings()


def test_the_latest_run_is_on_record(database):
    for items in (3, 2):
        for _ in range(items):
            metric("orders")
        before = datetime.now(UTC)
        done = aggregate()
        run = AggregationRun.objects.get()
        assert (run.items, run.quarantined, run.seconds) == (items, 0, done.seconds)
        assert before <= run.finished_at <= datetime.now(UTC)
    assert QuarantinedItem.objects.count() == 0


def test_progress_is_reported_after_every_transaction(database):
    for _ in range(5):
        metric("orders")
    progress = []
    aggregate(chunk_size=2, on_progress=progress.append)
    assert progress == [2, 2, 1]


@pytest.mark.parametrize(("series", "sizes"), [(1, [4, 4, 4, 0]), (2, [4, 6, 2]), (3, [4, 5, 3]), (4, [4, 4, 4, 0])])
def test_chunks_grow_only_after_a_chunk_with_a_medium_number_of_keys(database, monkeypatch, series, sizes):
    monkeypatch.setattr(run, "USUAL_CHUNK_SIZE", 4)
    monkeypatch.setattr(run, "MANY_KEYS", 2)
    monkeypatch.setattr(chunks, "KEYS_AT_ONCE", 4)
    with freeze_time("2026-05-31 10:30", auto_tick_seconds=1):
        for number in range(12):
            metric(f"slug-{number % series}")
    progress = []
    aggregate(chunk_size=6, on_progress=progress.append)
    assert progress == sizes


@pytest.mark.every_database
def test_a_chunk_does_not_grow_beyond_the_room_for_its_sketches(database, monkeypatch):
    monkeypatch.setattr(run, "USUAL_CHUNK_SIZE", 4)
    monkeypatch.setattr(run, "MANY_KEYS", 1)
    monkeypatch.setattr(chunks, "TEXT_AT_ONCE", 1)
    for number in range(12):
        unique("users", number)
    progress = []
    aggregate(chunk_size=12, on_progress=progress.append)
    assert progress == [4, 4, 4, 0]


@pytest.mark.parametrize("size", [0, -1, MAX_CHUNK_SIZE + 1, "100", 1.5, True])
def test_a_bad_chunk_size_is_refused(database, size):
    metric("orders")
    with pytest.raises(ValueError, match="chunk size"):
        aggregate(chunk_size=size)
    assert Item.objects.count() == 1


def test_the_largest_chunk_of_distinct_metrics_goes_through(database):
    with collect():
        for number in range(3_000):
            metric(f"slug-{number}")
    assert aggregate(chunk_size=MAX_CHUNK_SIZE).items == 3_000
    assert Total.objects.filter(period="day", count=1).count() == 3_000
