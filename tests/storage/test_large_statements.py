"""Rows with the largest histograms are written, in statements that MariaDB and MySQL take."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connections, transaction

from app_metrics.core.batch import Batch, Key
from app_metrics.core.histogram import MAX_BUCKETS, Histogram
from app_metrics.core.summary import TIMER, to_sketches
from app_metrics.models import Item, Metric, Total
from app_metrics.storage.dialects import dialect_for
from app_metrics.storage.dialects.base import TotalKey, in_statements
from app_metrics.storage.ledger import write_once
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY
from tests.support.summaries import summary_of

pytestmark = pytest.mark.every_database

HISTOGRAM = Histogram.of(dict.fromkeys(range(1, MAX_BUCKETS + 1), 10**14))
LARGEST = summary_of(1)._replace(count=HISTOGRAM.count, histogram=HISTOGRAM)
# More than 16 MiB, the default of MariaDB.
MANY = 16 * 2**20 // len(to_sketches(LARGEST)[0]) + 1


def batch(size):
    return Batch({Key(f"export-{number}", TIMER, "{}", DAY, 12): LARGEST for number in range(size)})


def test_any_number_of_totals_is_written_and_merged(transactional_database, monkeypatch):
    monkeypatch.setattr("app_metrics.storage.dialects.mysql.random", lambda: 0)
    metric = Metric.objects.create(slug="export", name="export", kind=TIMER)
    totals = [(TotalKey(metric.pk, "day", DAY + timedelta(days=day), 0, "{}"), LARGEST) for day in range(MANY)]
    for _ in range(2):
        with transaction.atomic(using=transactional_database):
            dialect = dialect_for(connections[transactional_database])
            dialect.add_totals(connections[transactional_database], totals)
    stored = set(Total.objects.values_list("histogram", flat=True))
    assert stored == {(HISTOGRAM + HISTOGRAM).encode()}
    assert Total.objects.count() == MANY


@pytest.mark.parametrize("write", [load_backend("app_metrics.backends.db").write, write_once], ids=["request", "drain"])
def test_a_batch_of_any_size_is_written_whole(transactional_database, write):
    with transaction.atomic(using=transactional_database):  # a batch in a transaction does not go to SQLite's journal
        write(batch(MANY))
    assert set(Item.objects.values_list("histogram", flat=True)) == {HISTOGRAM.encode()}
    assert Item.objects.count() == MANY


def test_a_batch_that_takes_several_statements_is_written_whole_or_not_at_all(transactional_database, monkeypatch):
    dialect = type(dialect_for(connections[transactional_database]))
    insert, calls = dialect.insert_items, []

    def fail_at_the_second(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise DatabaseError("the disk is full")
        insert(self, *arguments)

    monkeypatch.setattr(dialect, "insert_items", fail_at_the_second)
    monkeypatch.setattr("app_metrics.storage.journal.append", lambda *arguments: False)
    with pytest.raises(DatabaseError):
        load_backend("app_metrics.backends.db").write(batch(MANY))
    assert (len(calls), Item.objects.count()) == (2, 0)


def test_rows_are_sent_together_as_far_as_their_number_and_their_text_allow():
    names = ("id", "labels", "histogram")
    short, long = [("ab", "{}", None)] * 250, [("ab", "x" * 50_000, "x" * 50_000)] * 250
    assert list(map(len, in_statements(short, 100, names))) == [62, 63, 62, 63]
    assert max(map(len, in_statements(long, 1000, names))) * 100_000 < 3 * 2**20
    assert [row for part in in_statements([*short, *long], 1000, names) for row in part] == [*short, *long]
