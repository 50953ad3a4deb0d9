"""Quarantined items that can be read by now are counted once; others stay."""

import json

import pytest

from app_metrics.aggregation.run import aggregate
from app_metrics.aggregation.second_try import count_again
from app_metrics.core import uniques
from app_metrics.core.batch import Batch, Key
from app_metrics.core.summary import TIMER, UNIQUE
from app_metrics.models import Item, Metric, QuarantinedItem, Total
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY
from tests.support.summaries import measured, seen

pytestmark = pytest.mark.every_database

WRITTEN = {
    Key("users", UNIQUE, '{"plan":"pro"}', DAY, 12): seen(1, 2, at=5),
    Key("export", TIMER, "{}", DAY, 12): measured(3, at=7),
    Key("queue", "gauge", "{}", DAY, 12): measured(4)._replace(histogram=None),
}
FIELDS = ("metric__slug", "labels", "period", "start", "count", "total", "minimum", "maximum", "last", "last_at")


def write():
    backend = load_backend("app_metrics.backends.db")
    backend.write(Batch(WRITTEN))
    backend.drain()


def totals():
    return {row[:4]: row[4:] for row in Total.objects.values_list(*FIELDS, "histogram", "uniques")}


def quarantine_all(monkeypatch):
    """Let an aggregation quarantine all items, as if a newer version had written them."""
    with monkeypatch.context() as patch:
        patch.setattr("app_metrics.aggregation.grouping._read_key", unknown)
        aggregate()
    assert QuarantinedItem.objects.count() == len(WRITTEN)


def unknown(*key):
    raise ValueError("unknown")


def test_items_that_can_be_read_now_have_the_totals_of_items_that_always_could(database, monkeypatch):
    write()
    aggregate()
    expected = totals()
    Total.objects.all().delete()
    write()
    quarantine_all(monkeypatch)
    assert count_again(QuarantinedItem.objects.all()) == (3, 0)
    assert QuarantinedItem.objects.count() == 0
    assert aggregate().quarantined == 0
    assert totals() == expected


def test_the_same_quarantined_item_counts_once_for_two_people(database, monkeypatch):
    write()
    quarantine_all(monkeypatch)
    chosen = list(QuarantinedItem.objects.all())
    count_again(chosen)
    count_again(chosen)
    assert Item.objects.count() == len(WRITTEN)


@pytest.mark.parametrize("payload", ["", "[]", "{}", "null", "a line of a file", json.dumps({"total": 1})])
def test_what_is_no_item_stays_quarantined(database, payload):
    QuarantinedItem.objects.create(payload=payload, reason="damaged")
    assert count_again(QuarantinedItem.objects.all()) == (0, 1)
    assert QuarantinedItem.objects.count() == 1


def test_items_that_cannot_be_read_yet_stay_quarantined(database, monkeypatch):
    write()
    with monkeypatch.context() as patch:
        patch.setattr(uniques, "VERSION", 2)
        aggregate()
        assert count_again(QuarantinedItem.objects.all()) == (0, 1)
    assert count_again(QuarantinedItem.objects.all()) == (1, 0)
    aggregate()
    assert Metric.objects.get(slug="users").summary("year", DAY).count == 2
