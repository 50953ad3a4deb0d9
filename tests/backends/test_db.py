"""The backend that appends to the item log."""

import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from celery import Celery
from django.db import DatabaseError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics.core.batch import Batch, Key
from app_metrics.models import Item
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY, VARIED, batch_of
from tests.support.threads import at_once
from tests.support.totals import stored_items

pytestmark = pytest.mark.every_database


def write(batch):
    load_backend("app_metrics.backends.db").write(batch)


# The number of other slugs in a batch: SQLite takes few as parameters, and many as JSON.
FEW_AND_MANY = pytest.mark.parametrize("others", [[], [f"slug-{number}" for number in range(100)]], ids=["few", "many"])


@FEW_AND_MANY
def test_every_number_and_text_is_stored_exactly(database, others):
    summaries = {**VARIED, **batch_of(*others).summaries}
    write(Batch(summaries))
    assert stored_items() == summaries


def test_slugs_and_labels_that_a_collation_would_merge_stay_apart(database):
    labels = ['{"name":"login"}', '{"name":"Login"}', '{"name":"lögin"}', '{"name":"login "}']
    (summary,) = batch_of("orders").summaries.values()
    keys = [Key(slug, "counter", each, DAY, 22) for slug in ("a", "A") for each in labels]
    write(Batch(dict.fromkeys(keys, summary)))
    assert Item.objects.values("slug", "labels").distinct().count() == 8
    assert Item.objects.filter(slug="a", labels=labels[0]).count() == 1


def test_a_batch_of_any_size_is_one_statement(transactional_database):
    for size in (1, 300):
        with CaptureQueriesContext(connections[transactional_database]) as queries:
            write(batch_of(*(f"slug-{number}" for number in range(size))))
        assert [query["sql"].split()[0] for query in queries] == ["INSERT"]


def test_the_ids_of_items_follow_from_the_batch_and_ascend_in_time(database):
    batches = []
    for second, slugs in ((1, "ab"), (2, "c")):
        with freeze_time(datetime(2026, 5, 31, 12, 0, second, tzinfo=UTC)):
            batches.append(batch_of(*slugs))
    for batch in reversed(batches):
        write(batch)
    assert list(Item.objects.order_by("pk").values_list("slug", flat=True)) == ["a", "b", "c"]
    assert Item.objects.filter(pk=batches[0].id, slug="a").exists()


@FEW_AND_MANY
def test_the_same_batch_written_twice_is_stored_once(database, others):
    batch = batch_of("a", "b", *others, number=4)
    write(batch)
    write(batch)
    written = sorted(Item.objects.values_list("slug", "count", "total"))
    assert written == [(slug, 1, 4) for slug in sorted(["a", "b", *others])]


def test_the_same_batch_written_by_two_threads_is_stored_once(transactional_database):
    batch = batch_of(*(f"slug-{number}" for number in range(200)))
    at_once(4, lambda: write(batch))
    assert Item.objects.count() == 200


def test_a_refused_batch_leaves_the_callers_transaction_usable(transactional_database):
    raises = pytest.raises(DatabaseError) if connections[transactional_database].vendor == "sqlite" else nullcontext()
    with transaction.atomic(using=transactional_database):
        write(batch_of("before"))
        with raises:
            write(refused(connections[transactional_database]))
        write(batch_of("after"))
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["after", "before"]


def refused(connection):
    """Return a batch that a column rejects; on SQLite, whose columns reject only NULL, one with a NULL."""
    key = Key(None if connection.vendor == "sqlite" else "x" * 101, "counter", "{}", DAY, 22)
    (summary,) = batch_of("orders", number=Decimal(1)).summaries.values()
    return Batch({key: summary})


def test_a_write_in_a_broken_transaction_raises(transactional_database):
    with transaction.atomic(using=transactional_database):
        transaction.set_rollback(True, using=transactional_database)
        with pytest.raises(TransactionManagementError):
            write(batch_of("orders"))
    assert Item.objects.count() == 0


def test_a_write_is_rolled_back_with_its_transaction(transactional_database):
    with transaction.atomic(using=transactional_database):
        write(batch_of("orders"))
        transaction.set_rollback(True, using=transactional_database)
    assert Item.objects.count() == 0


@pytest.fixture
def without_broker(monkeypatch):
    """The Celery backend writes to the database itself."""
    app = Celery("tests.backends", set_as_current=False, fixups=[])
    app.conf.task_always_eager = True
    monkeypatch.setattr("celery._state.default_app", app)
    monkeypatch.setattr("celery._state._tls.current_app", None)


@pytest.mark.parametrize("age", [0, None])
@pytest.mark.parametrize("backend", ["db", "celery"])
@pytest.mark.usefixtures("without_broker")
def test_a_thread_that_only_counts_closes_its_connection_after_its_maximum_age(
    backend, age, transactional_database, monkeypatch
):
    monkeypatch.setitem(connections[transactional_database].settings_dict, "CONN_MAX_AGE", age)
    opened = []

    def count():
        load_backend(f"app_metrics.backends.{backend}").write(batch_of("a"))
        opened.append(connections[transactional_database].connection is not None)
        connections[transactional_database].close()

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert opened == [age is None]
    assert Item.objects.count() == 1
