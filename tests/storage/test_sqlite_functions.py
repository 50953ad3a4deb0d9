"""The functions with which SQLite merges totals neither hide an interruption nor need an idle connection."""

import pytest
from django.db import connection, transaction

from app_metrics.models import Metric, Total
from app_metrics.storage.dialects import dialect_for, sqlite
from app_metrics.storage.dialects.base import TotalKey
from tests.support.contract import DAY
from tests.support.summaries import summary_of

pytestmark = pytest.mark.django_db


def add(metric):
    with transaction.atomic():
        dialect_for(connection).add_totals(connection, [(TotalKey(metric.pk, "day", DAY, 0, "{}"), summary_of(1))])


def test_an_interruption_during_a_merge_stays_one(monkeypatch):
    metric = Metric.objects.create(slug="a", name="a")
    add(metric)

    def interrupt(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlite, "digits", interrupt)
    with pytest.raises(KeyboardInterrupt):
        add(metric)


def test_totals_are_merged_while_a_reading_of_the_same_connection_is_open():
    metric = Metric.objects.create(slug="a", name="a")
    Metric.objects.bulk_create(Metric(slug=f"b{number}", name="b") for number in range(500))
    add(metric)
    rows = Metric.objects.iterator(chunk_size=10)
    next(rows)
    add(metric)
    assert Total.objects.get().count == 2
