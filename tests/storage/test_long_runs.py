"""On SQLite a long run lets others write between its transactions, and none of these takes long."""

import re
import time
from datetime import date, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from app_metrics import metric
from app_metrics.aggregation import intake, retention
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import new_batch_id
from app_metrics.core.periods import DAY
from app_metrics.models import LedgerRow
from app_metrics.storage import ledger, turns
from app_metrics.storage.turns import Turns
from app_metrics.transfer.csv_export import COLUMNS
from app_metrics.transport import spool
from tests.support.contract import batch_of
from tests.support.transferring import load, saved
from tests.testapp.models import Order

pytestmark = pytest.mark.only_sqlite

SIZE = 5


@pytest.fixture
def given(transactional_database, monkeypatch):
    """The pauses of a run, which pauses after each transaction."""
    pauses = []
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))
    monkeypatch.setattr(turns, "LONGEST", 0)
    return pauses


def old_totals(monkeypatch, settings, tmp_path):
    monkeypatch.setattr(retention, "CHUNK_SIZE", 1)
    for day in range(SIZE):
        metric("orders", at=timezone.now() - timedelta(days=day))
    aggregate()
    return partial(retention.prune, retention.Limit(DAY, date(2100, 1, 1)))


def old_ledger_rows(monkeypatch, settings, tmp_path):
    monkeypatch.setattr(ledger, "PRUNED_AT_ONCE", 1)
    for _ in range(SIZE):
        LedgerRow.objects.create(id=new_batch_id(), written_at=timezone.now() - timedelta(days=30))
    return ledger.forget_old


def spooled_batches(monkeypatch, settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path
    monkeypatch.setattr(intake, "AT_ONCE", 1)
    for number in range(SIZE):
        assert spool.append(batch_of("orders", number=number))
    return intake.replay


def events_in_a_file(monkeypatch, settings, tmp_path):
    return partial(load, saved(tmp_path, "timestamp,slug,num,labels\n2026-01-01,orders,1,\n"))


def totals_in_a_file(monkeypatch, settings, tmp_path):
    header, line = ",".join(COLUMNS), "orders,counter,day,2026-01-01,{},1,1,1,1,1,0"
    return partial(load, saved(tmp_path, f"{header}\r\n{line}\r\n"))


def rows_of_a_table(monkeypatch, settings, tmp_path):
    rule = {"slug": "orders", "backfill": "placed_at"}
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": rule}}
    Order.objects.bulk_create([Order(placed_at=timezone.now() - timedelta(days=1))])
    return partial(call_command, "metrics_backfill", "orders", verbosity=0)


@pytest.mark.parametrize(
    "prepare",
    [old_totals, old_ledger_rows, spooled_batches, events_in_a_file, totals_in_a_file, rows_of_a_table],
)
def test_a_run_writes_much_only_while_no_transaction_is_open(
    prepare, transactional_database, monkeypatch, settings, tmp_path
):
    run = prepare(monkeypatch, settings, tmp_path)
    with CaptureQueriesContext(connections[transactional_database]) as queries:
        run()
    assert set(transactions_of_writes(query["sql"] for query in queries)) == {"BEGIN EXCLUSIVE"}


def transactions_of_writes(statements):
    """Yield how the transaction began of each statement that writes items, totals, or rows of the ledger."""
    begun = None
    for sql in statements:
        if sql.startswith(("BEGIN", "COMMIT")):
            begun = sql
        elif re.match('(INSERT INTO|DELETE FROM) "?app_metrics_(item|total|ledgerrow)', sql.strip()):
            yield begun


@pytest.mark.parametrize("prepare", [old_totals, old_ledger_rows, spooled_batches])
def test_on_sqlite_a_long_run_pauses_after_each_of_its_transactions(prepare, given, monkeypatch, settings, tmp_path):
    run = prepare(monkeypatch, settings, tmp_path)
    given.clear()
    run()
    assert given == [turns.PAUSE] * SIZE


def fitting(monkeypatch, alias, seconds, wanted, size):
    """Return the size of a transaction that follows one of this size and time."""
    run = Turns(connections[alias])
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: run._last + seconds, sleep=lambda pause: None))
    run.let_others_write()
    return run.fitting(wanted, size)


@pytest.mark.parametrize(
    ("seconds", "size"), [(0, 10_000), (0.5, 10_000), (1, 8_000), (2, 4_000), (5, 2_000), (100, 2_000)]
)
def test_after_a_long_transaction_the_next_one_is_of_about_a_second(seconds, size, transactional_database, monkeypatch):
    assert fitting(monkeypatch, transactional_database, seconds, wanted=10_000, size=8_000) == size


def test_a_run_begins_with_a_small_transaction(transactional_database):
    assert Turns(connections[transactional_database]).fitting(10_000) == turns.FEWEST
    assert Turns(connections[transactional_database]).fitting(10) == 10


def test_on_sqlite_a_run_in_a_callers_transaction_does_not_shrink_its_chunks(transactional_database):
    with transaction.atomic(transactional_database):
        assert Turns(connections[transactional_database]).fitting(10_000) == 10_000
