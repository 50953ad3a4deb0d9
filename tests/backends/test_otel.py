"""The exporter to OpenTelemetry, against an in-memory reader and against an OTLP receiver on loopback."""

import asyncio
import random
import subprocess
import sys
from decimal import Decimal

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from app_metrics import metric
from app_metrics.backends import otel
from app_metrics.backends.export import MAX_NUMBERS
from app_metrics.backends.otel import BUCKETS
from app_metrics.core.batch import Batch, Key
from app_metrics.core.dropped import NOT_EXPORTED, take_entries
from app_metrics.core.histogram import SHIFT
from app_metrics.core.summary import Summary
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY, VARIED, WithoutDatabase, batch_of
from tests.support.paths import ROOT
from tests.support.receiving import telemetry
from tests.support.summaries import measured, seen, summary_of

OTEL = "app_metrics.backends.otel"


@pytest.fixture(autouse=True)
def receivers(settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 1000  # makes each test create a new backend
    receivers = telemetry()
    receivers.metrics()
    receivers.exported()
    return receivers


class TestContract(WithoutDatabase):
    path = OTEL


def write(slug, kind, summary, labels="{}", hour=22):
    load_backend(OTEL).write(Batch({Key(slug, kind, labels, DAY, hour): summary}))


def test_a_counter_adds_totals(receivers):
    for total in (5, 7):
        write("sold", "counter", summary_of(1, 4, at=1)._replace(total=total))
    metrics = receivers.metrics()
    assert metrics["sold"].data.is_monotonic
    assert [point.value for point in metrics["sold"].data.data_points] == [12]


def test_a_gauge_is_set_to_the_last_value(receivers):
    write("queue", "gauge", summary_of(5, 9, -2, at=1))
    assert [point.value for point in receivers.points("queue").values()] == [-2]


def test_a_timer_is_a_histogram_of_seconds_with_the_count_sum_and_extremes_of_the_batch(receivers):
    write("export", "timer", summary_of(1, 10, 3, 3, 3, at=1))
    metrics = receivers.metrics()
    (point,) = metrics["export"].data.data_points
    assert metrics["export"].unit == "s"
    assert (point.count, point.sum, point.min, point.max) == (5, 20, 1, 10)
    assert point.explicit_bounds == BUCKETS


def test_a_distribution_is_a_histogram_without_a_unit(receivers):
    write("price", "distribution", measured(1, 10, 3, 3, 3, at=1))
    metrics = receivers.metrics()
    (point,) = metrics["price"].data.data_points
    assert metrics["price"].unit == ""
    assert (point.count, point.sum, point.min, point.max) == (5, 20, 1, 10)


def test_an_exponential_histogram_of_scale_5_has_the_counts_that_we_recorded(monkeypatch):
    chance = random.Random(5)
    recorded = measured(*(Decimal(f"{chance.uniform(0.1, 2):.6f}") for _ in range(300)))
    reader = InMemoryMetricReader()
    view = View(instrument_name="export", aggregation=ExponentialBucketHistogramAggregation(max_scale=5))
    monkeypatch.setattr(otel, "get_meter", MeterProvider([reader], views=[view]).get_meter)
    backend = otel.MetricsBackend()
    backend.write(Batch({Key("export", "timer", "{}", DAY, 22): recorded}))
    (resource,) = reader.get_metrics_data().resource_metrics
    (point,) = resource.scope_metrics[0].metrics[0].data.data_points
    assert (point.scale, point.count, point.sum) == (5, 300, pytest.approx(float(recorded.total)))
    # Its bucket 0 begins at 1, ours below ends there.
    counts = {
        place + SHIFT + 1: count for place, count in enumerate(point.positive.bucket_counts, point.positive.offset)
    }
    assert {bucket: count for bucket, count in counts.items() if count} == recorded.histogram.counts


def test_a_unique_count_is_not_sent_and_leaves_its_name_to_another_kind(receivers):
    write("users", "unique", seen(1, 2, at=1))
    write("users", "counter", summary_of(5))
    write("users", "unique", seen(3, at=1))
    assert [point.value for point in receivers.points("users").values()] == [5]
    assert dropped() == []


def test_timings_beyond_the_bound_are_dropped_and_counted(receivers):
    write("slow", "timer", Summary(MAX_NUMBERS + 5, 2 * MAX_NUMBERS + 10, 2, 2, 2, 1))
    (point,) = receivers.points("slow").values()
    assert (point.count, point.sum) == (MAX_NUMBERS, 2 * MAX_NUMBERS)
    assert dropped() == [(f'{{"reason":"{NOT_EXPORTED}"}}', 5)]


def test_labels_are_attributes(receivers):
    write("orders", "counter", summary_of(3), labels='{"method":"GET","plan":"pro, ünïcödé"}')
    write("orders", "counter", summary_of(4))
    values = {attributes: point.value for attributes, point in receivers.points("orders").items()}
    assert values == {(("method", "GET"), ("plan", "pro, ünïcödé")): 3, (): 4}


def test_the_label_sets_of_a_metric_are_capped_over_all_batches(receivers, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 3
    for number in range(50):
        write("visits", "counter", summary_of(1), labels=f'{{"user":"{number}"}}')
        write("other", "counter", summary_of(1), labels=f'{{"user":"{number % 3}"}}')
    points = receivers.metrics()
    by_user = {point.attributes.get("user"): point.value for point in points["visits"].data.data_points}
    assert by_user == {"0": 1, "1": 1, "2": 1, None: 47}
    assert {"overflow": "true"} in [point.attributes for point in points["visits"].data.data_points]
    assert len(points["other"].data.data_points) == 3


def test_a_counter_that_goes_down_is_dropped_and_counted(receivers):
    write("stock", "counter", summary_of(1, -4, at=1))
    write("stock", "counter", summary_of(2))
    assert [point.value for point in receivers.points("stock").values()] == [2]
    assert dropped() == [(f'{{"reason":"{NOT_EXPORTED}"}}', 2)]


def test_a_name_that_otel_would_refuse_gets_a_letter_in_front(receivers):
    for slug in ("404", "_hidden", "-dash"):
        write(slug, "counter", summary_of(1))
    assert {"metric_404", "metric__hidden", "metric_-dash"} <= receivers.metrics().keys()


def test_a_second_kind_of_a_metric_goes_to_the_instrument_of_the_first(receivers):
    write("twofold", "gauge", summary_of(4))
    write("twofold", "counter", summary_of(6))
    assert [point.value for point in receivers.points("twofold").values()] == [6]


def test_numbers_beyond_64_bits_do_not_stop_the_export(receivers):
    for _ in range(20):
        write("huge", "counter", summary_of(10**18 - 1))
    _, exported = receivers.exported()["huge"]
    assert exported.sum.data_points[0].as_double == pytest.approx(2e19)


def test_a_collector_gets_every_kind_by_otlp(receivers):
    load_backend(OTEL).write(Batch({key._replace(slug=f"otlp-{key.slug}"): each for key, each in VARIED.items()}))
    exported = receivers.exported()
    assert {scope for scope, _ in exported.values()} == {"app_metrics"}
    assert exported["otlp-orders"][1].sum.data_points[0].as_double == 6
    assert exported["otlp-balance"][1].gauge.data_points[0].as_double == -1e-9
    point = exported["otlp-export"][1].histogram.data_points[0]
    assert (point.count, point.sum) == (1, 1e18)


def test_nothing_is_sent_on_the_callers_thread(receivers):
    receivers.scope.requests.clear()
    load_backend(OTEL).write(batch_of("orders"))
    assert receivers.scope.requests == []


def test_on_an_event_loop_it_is_recorded_at_once(receivers, settings):
    settings.APP_METRICS_BACKEND = OTEL

    async def visit():
        metric("from_a_loop", 3)
        return receivers.points("from_a_loop")

    assert [point.value for point in asyncio.run(visit()).values()] == [3]


LATE = """
import django
from django.conf import settings

settings.configure(INSTALLED_APPS=["app_metrics"], APP_METRICS_BACKEND="app_metrics.backends.otel")
django.setup()

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from app_metrics import gauge, metric

metric("orders", 1)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
metric("orders", 2)
gauge("queue", 3)
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
print(scope.scope.name, [(metric.name, metric.data.data_points[0].value) for metric in scope.metrics])
"""


def test_a_provider_set_later_gets_the_events_recorded_from_then_on():
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "app_metrics [('orders', 2.0), ('queue', 3.0)]\n", done.stderr


def test_the_checks_warn_about_an_exporter_without_a_destination_for_totals(settings):
    settings.APP_METRICS_BACKEND = OTEL
    assert [message.id for message in load_backend(OTEL).check()] == ["app_metrics.W008"]


def dropped():
    return [(labels, amount) for _, _, labels, amount, _ in take_entries()]
