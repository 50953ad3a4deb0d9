"""On SQLite a long run lets others write between its transactions, and none of these takes long."""

import time
from datetime import date, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from django.db import connections, transaction
from django.utils import timezone

from app_metrics import metric
from app_metrics.aggregation import intake, retention
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import new_batch_id
from app_metrics.core.periods import DAY
from app_metrics.models import LedgerRow
from app_metrics.storage import ledger, turns
from app_metrics.storage.turns import Turns
from app_metrics.transport import spool
from tests.support.contract import batch_of

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


@pytest.mark.parametrize("prepare", [old_totals, old_ledger_rows, spooled_batches])
def test_others_get_to_write_between_the_transactions_of_a_run(prepare, given, monkeypatch, settings, tmp_path):
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


def test_within_a_callers_transaction_which_keeps_the_lock_anyway_all_have_the_usual_size(transactional_database):
    with transaction.atomic(transactional_database):
        assert Turns(connections[transactional_database]).fitting(10_000) == 10_000
