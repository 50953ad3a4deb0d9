"""The Celery tasks do the same as the commands; tests/soak/brokers tests the delivery of batches."""

from uuid import UUID

import pytest
from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded
from django.core.management import CommandError
from django.db import DataError, InterfaceError, OperationalError, ProgrammingError, connections

from app_metrics import collect, metric, tasks
from app_metrics.aggregation.backlog import backlog
from app_metrics.core import dropped
from app_metrics.core.batch import Batch, Key
from app_metrics.core.serialization import encode_batch
from app_metrics.core.summary import UNIQUE
from app_metrics.models import AggregationRun, Item, LedgerRow
from app_metrics.storage.ledger import write_once
from app_metrics.transport import aside
from tests.support.contract import DAY, VARIED, batch_of
from tests.support.newer import newer_text
from tests.support.summaries import seen


def dropped_entries():
    return [(labels, amount) for _, _, labels, amount, _ in dropped.take_entries()]


BAD = '{"reason":"bad_message"}'


@pytest.fixture
def request_of_a_worker():
    """Make the task believe that a worker runs it, so that it may retry."""

    def push(**values):
        tasks.write_batch.push_request(called_directly=False, id="1", args=("text",), kwargs={}, **values)

    yield push
    tasks.write_batch.pop_request()


def failing(error):
    def fail(batch):
        raise error

    return fail


class TestWriteBatch:
    def test_a_batch_that_comes_again_is_written_once(self, database):
        text = encode_batch(Batch(VARIED))
        for _ in range(3):
            tasks.write_batch(text)
        assert Item.objects.count() == len(VARIED)

    def test_a_project_that_counts_its_statements_publishes_no_message_for_each_message(self, transactional_database):
        def count(execute, sql, params, many, context):
            metric("statements")
            return execute(sql, params, many, context)

        with connections[transactional_database].execute_wrapper(count), collect():
            for _ in range(3):
                tasks.write_batch(encode_batch(batch_of("orders")))
        assert set(Item.objects.values_list("slug", flat=True)) == {"orders"}
        assert aside.take()

    @pytest.mark.django_db
    @pytest.mark.parametrize("text", ["", "[2]", '[1,"no id",[]]', "null", None, 5, '[1,"x",[["a"]]]'])
    def test_an_invalid_message_is_dropped_and_counted(self, text, caplog):
        tasks.write_batch(text)
        assert dropped_entries() == [(BAD, 1)]
        assert "bad_message" in caplog.text

    @pytest.mark.every_database
    def test_a_batch_that_is_delivered_twice_counts_once_without_use_tz(self, database, settings):
        settings.USE_TZ = False
        message = encode_batch(batch_of("orders"))
        for _ in range(2):
            tasks.write_batch(message)
        assert list(Item.objects.values_list("slug", "count")) == [("orders", 1)]

    @pytest.mark.every_database
    @pytest.mark.parametrize(
        "batch_id", ["ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-7fff-bfff-ffffffff0000"]
    )
    def test_a_batch_with_an_impossible_id_is_dropped(self, database, batch_id):
        tasks.write_batch(encode_batch(Batch(VARIED, UUID(batch_id))))
        assert (Item.objects.count(), LedgerRow.objects.count()) == (0, 0)
        assert dropped_entries() == [(BAD, 1)]

    def test_a_message_that_is_dropped_is_quoted_in_the_log_unless_it_has_hashes(self, monkeypatch, caplog):
        monkeypatch.setattr(tasks, "write_once", failing(DataError("too large")))
        counted = Key("users", UNIQUE, "{}", DAY, 22)
        for batch in (batch_of("orders"), Batch({counted: seen(0x0C5B1D2F8A90E374)})):
            tasks.write_batch(encode_batch(batch))
        assert '"orders"' in caplog.text
        assert "AQAB" not in caplog.text
        assert "may have hashes of unique counts" in caplog.text

    @pytest.mark.parametrize("error", [DataError("too large"), ValueError("NUL")])
    def test_a_batch_that_the_database_refuses_for_good_is_dropped(self, monkeypatch, error):
        monkeypatch.setattr(tasks, "write_once", failing(error))
        tasks.write_batch(encode_batch(batch_of("orders")))
        assert dropped_entries() == [(BAD, 1)]

    @pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("gone"), ProgrammingError("no table")])
    @pytest.mark.parametrize(("retries", "pause"), [(0, 1), (3, 8), (5000, 60)])
    def test_a_task_is_retried_until_the_database_is_back(
        self, monkeypatch, request_of_a_worker, error, retries, pause
    ):
        asked = []
        monkeypatch.setattr(tasks, "write_once", failing(error))
        monkeypatch.setattr("celery.canvas.Signature.apply_async", lambda signature: asked.append(signature))
        request_of_a_worker(retries=retries)
        with pytest.raises(Retry):
            tasks.write_batch.run(encode_batch(batch_of("orders")))
        assert [each.options["countdown"] for each in asked] == [pause]
        assert dropped_entries() == []

    def test_a_message_of_a_newer_version_stays_in_the_queue_until_a_worker_can_read_it(
        self, monkeypatch, request_of_a_worker, caplog
    ):
        monkeypatch.setattr("celery.canvas.Signature.apply_async", lambda signature: None)
        request_of_a_worker(retries=7)
        for _ in range(2):
            with pytest.raises(Retry):
                tasks.write_batch.run(newer_text(batch_of("orders")))
        assert dropped_entries() == []
        assert caplog.text.count("upgrade app_metrics here") == 1

    def test_a_soft_time_limit_retries_the_task(self, monkeypatch, request_of_a_worker):
        """Celery discards the message of a task that fails."""
        monkeypatch.setattr(tasks, "write_once", failing(SoftTimeLimitExceeded()))
        monkeypatch.setattr("celery.canvas.Signature.apply_async", lambda signature: None)
        request_of_a_worker(retries=0)
        with pytest.raises(Retry):
            tasks.write_batch.run(encode_batch(batch_of("orders")))

    def test_a_message_is_requeued_if_both_the_database_and_the_broker_fail(self, monkeypatch, request_of_a_worker):
        monkeypatch.setattr(tasks, "write_once", failing(OperationalError("away")))
        monkeypatch.setattr("celery.canvas.Signature.apply_async", failing(OSError("away")))
        request_of_a_worker(retries=0)
        with pytest.raises(Reject) as rejected:
            tasks.write_batch.run(encode_batch(batch_of("orders")))
        assert rejected.value.requeue

    def test_it_is_acknowledged_when_it_is_done_and_not_when_a_worker_is_lost(self):
        task = tasks.write_batch
        assert (task.acks_late, task.reject_on_worker_lost, task.acks_on_failure_or_timeout) == (True, True, False)


class TestCommands:
    def test_the_celery_task_aggregates_pending_items_even_twice(self, database):
        metric("orders", 4)
        for _ in range(2):
            tasks.aggregate()
        assert backlog().items == 0
        assert AggregationRun.objects.count() == 1

    @pytest.mark.parametrize(
        ("task", "command"),
        [
            (tasks.aggregate, "metrics_aggregate"),
            (tasks.send_reports, "metrics_send_mail"),
            (tasks.check_alerts, "metrics_check_alerts"),
            (tasks.prune, "metrics_prune"),
        ],
    )
    def test_a_task_runs_its_command(self, monkeypatch, task, command):
        called = []
        monkeypatch.setattr(tasks, "call_command", lambda name, **options: called.append((name, options)))
        task()
        assert called == [(command, {"verbosity": 0})]
        assert task.name == f"app_metrics.tasks.{task.__name__}"

    @pytest.mark.django_db
    def test_a_task_fails_if_its_command_fails(self, settings):
        settings.APP_METRICS_RETENTION = {"hour": "60"}
        with pytest.raises(CommandError):
            tasks.prune()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("task", [tasks.aggregate, tasks.send_reports, tasks.check_alerts, tasks.prune])
    def test_every_task_runs(self, task):
        task()


def test_an_item_with_a_time_far_in_the_future_does_not_break_the_backlog(database):
    write_once(Batch(VARIED, UUID("ffffffff-ffff-7fff-bfff-ffffffff0000")))
    assert backlog().items == len(VARIED)
    assert backlog().age == 0
