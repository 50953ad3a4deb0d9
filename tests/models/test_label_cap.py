"""The label cap in readings: pending events are read under the label sets under which an aggregation stores them."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.api.prometheus import latest
from app_metrics.core.batch import Batch, Key
from app_metrics.core.labels import OVERFLOW_LABELS, encode_labels
from app_metrics.core.periods import DAY, YEAR
from app_metrics.models import Item, Metric
from app_metrics.models.pending import PendingBatches
from app_metrics.models.queries import QuerySources, all_time, fold
from app_metrics.trending import trends
from tests.support.summaries import summary_of

pytestmark = [pytest.mark.every_database, pytest.mark.urls("tests.support.api_urls")]

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OVERFLOW = {"overflow": "true"}
DAYS = {day: [(DAY, day, 0)] for day in (NOON.date(), NOON.date() - timedelta(days=1))}


@pytest.fixture(autouse=True)
def cap(settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 4
    with freeze_time(NOON):
        yield


def record(randomly, plans):
    """Record events of two metrics, each at its own second of the last two days."""
    for seconds in randomly.sample(range(40 * 3600), 30):
        labels = randomly.choice([{}, {"plan": randomly.choice(plans)}, {"plan": randomly.choice(plans)}])
        slug = randomly.choice(["orders", "visits"])
        metric(slug, randomly.randint(1, 9), labels=labels, at=NOON - timedelta(seconds=seconds))


def readings():
    """Return what every way of reading says about each label set."""
    orders, sources = Metric.objects.get(slug="orders"), QuerySources.everything()
    every = [{}, OVERFLOW, *({"plan": plan} for plan in "afh")]
    return {
        "all time": all_time(sources),
        "days": fold(sources, DAYS),
        "labelled": [fold(sources, DAYS, labels) for labels in every],
        "totals": [orders.total("year", labels=labels) for labels in every],
        "series": [orders.series("day", min(DAYS), max(DAYS), labels) for labels in every],
        "trends": [trends([orders], labels=labels) for labels in every],
        "whole": orders.summary("year"),
    }


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_every_reading_says_the_same_before_and_after_the_aggregation(database, seed):
    randomly = random.Random(seed)
    for plans in ("ab", "abcdef", "efgh"):
        record(randomly, plans)
        if plans == "ab":
            aggregate()
            continue
        before = readings()
        aggregate()
        assert before == readings()
    named = {labels for slug, labels in all_time(QuerySources.everything()) if slug == "orders"}
    named -= {"{}", OVERFLOW_LABELS}
    assert len(named) == 4


def test_a_flood_of_label_sets_is_as_many_series_as_the_cap_allows(database, settings):
    pytest.importorskip("prometheus_client")
    metric("orders", labels={"plan": "old"}, at=NOON - timedelta(days=9))
    aggregate()
    for number in range(50):
        metric("orders", labels={"id": str(number)})
        metric("orders", labels={"id": str(number)}, at=NOON - timedelta(days=1))
    samples = [line for line in latest("")[0].decode().splitlines() if line.startswith("orders_total")]
    assert len(samples) == 5
    assert 'orders_total{overflow="true"} 94.0' in samples


def test_batches_outside_the_database_take_places_too(database):
    metric("orders", labels={"plan": "b"}, at=NOON)
    aggregate()
    Item.objects.all().delete()
    summaries = {
        Key("orders", "counter", encode_labels({"plan": plan}), NOON.date(), 12): summary_of(1, at=at)
        for at, plan in enumerate("hgfedcb")
    }
    sources = QuerySources.everything()._replace(pending=PendingBatches([Batch(summaries)]))
    found = {labels: summary.count for (_, labels), summary in all_time(sources).items()}
    assert found == {OVERFLOW_LABELS: 3, **{encode_labels({"plan": plan}): 1 for plan in "hgf"}, '{"plan":"b"}': 2}
    (overflow,) = fold(sources, {"year": [(YEAR, NOON.date().replace(month=1, day=1), 0)]}, OVERFLOW).values()
    assert overflow.count == 3


def test_the_api_lists_the_overflow_series_before_the_aggregation(database, settings):
    settings.APP_METRICS_API_TOKENS = ["e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8"]
    metric("orders")
    aggregate()
    for number in range(20):
        metric("orders", labels={"id": str(number)})
    client = Client(headers={"authorization": "Bearer t"})
    totals = client.get("/stats/api/metrics/orders/totals/").json()
    assert (totals["count"], totals["summary"]["count"]) == (6, 21)
    assert [each["count"] for each in totals["results"] if each["labels"] == OVERFLOW] == [16]
    series = client.get("/stats/api/metrics/orders/series/", {"label.overflow": "true"}).json()
    assert series["results"][-1]["count"] == 16
