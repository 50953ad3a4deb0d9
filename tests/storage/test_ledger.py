"""A batch that is written through the ledger counts once, however often it arrives."""

from datetime import timedelta
from itertools import chain
from uuid import UUID

import pytest
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from app_metrics.core.batch import Batch
from app_metrics.models import Item, LedgerRow
from app_metrics.storage import items, ledger
from app_metrics.storage.dialects import dialect_for
from app_metrics.storage.ledger import KEPT_DAYS, forget_old, write_once
from tests.support.contract import VARIED, batch_of
from tests.support.threads import at_once
from tests.support.totals import stored_items

pytestmark = pytest.mark.every_database


def test_a_batch_that_comes_again_is_recognised_also_when_its_items_are_gone(database):
    batch = batch_of("orders", "signups")
    assert write_once(batch)
    assert Item.objects.count() == 2
    Item.objects.all().delete()
    assert not write_once(batch)
    assert Item.objects.count() == 0


def test_items_have_the_values_of_their_batch(database):
    write_once(Batch(VARIED))
    assert stored_items() == VARIED


def test_a_batch_of_more_items_than_a_statement_takes_is_written_whole(database, monkeypatch):
    monkeypatch.setattr(items, "ITEMS_PER_STATEMENT", 2)
    write_once(batch_of(*(f"slug-{number}" for number in range(5))))
    assert Item.objects.count() == 5


def test_a_batch_whose_items_cannot_be_written_can_be_written_again(transactional_database, monkeypatch):
    batch = batch_of("orders")

    def fail(*arguments):
        raise DatabaseError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(type(dialect_for(connections[transactional_database])), "insert_items", fail)
        with pytest.raises(DatabaseError):
            write_once(batch)
    assert not LedgerRow.objects.exists()
    assert write_once(batch)


def test_a_durable_write_is_refused_where_nothing_commits_it(transactional_database):
    connections[transactional_database].set_autocommit(False)
    try:
        with pytest.raises(RuntimeError, match="autocommit is off"):
            write_once(batch_of("orders"), durable=True)
    finally:
        connections[transactional_database].rollback()
        connections[transactional_database].set_autocommit(True)
    assert (Item.objects.count(), LedgerRow.objects.count()) == (0, 0)


def test_a_repeat_leaves_the_transaction_of_the_caller_usable(transactional_database):
    with transaction.atomic(using=transactional_database):
        assert write_once(batch_of("first"))
        batch = batch_of("orders")
        assert [write_once(batch), write_once(batch)] == [True, False]
        assert write_once(batch_of("last"))
    assert Item.objects.count() == 3


def test_a_batch_written_by_several_processes_counts_once(transactional_database):
    batches = [batch_of(f"slug-{number}") for number in range(20)]
    news = list(chain(*at_once(4, lambda: list(map(write_once, batches)))))
    assert (news.count(True), news.count(False)) == (20, 60)
    assert Item.objects.count() == 20


def test_rows_are_forgotten_after_a_week_and_not_before(database, monkeypatch):
    monkeypatch.setattr(ledger, "PRUNED_AT_ONCE", 2)
    now = timezone.now()
    for number in range(5):
        LedgerRow.objects.create(id=UUID(int=number), written_at=now - timedelta(days=KEPT_DAYS, minutes=1))
    LedgerRow.objects.create(id=UUID(int=9), written_at=now - timedelta(days=KEPT_DAYS, minutes=-1))
    assert forget_old() == 5
    assert [row.id.int for row in LedgerRow.objects.all()] == [9]
