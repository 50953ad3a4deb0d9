"""Each run of a django.tasks task is a scope, and the cron jobs are available as tasks."""

import asyncio

import django
import pytest
from django.core.management import CommandError

from app_metrics import collect, metric
from app_metrics.aggregation.backlog import backlog
from app_metrics.recording.scope import current_scope

if django.VERSION < (6, 0):
    pytest.skip("django.tasks came with Django 6.0", allow_module_level=True)

from django.tasks import task

from app_metrics.contrib import django_task_functions


@task
def count(slug, times=1):
    for _ in range(times):
        metric(slug)


@task
def nest():
    metric("outer")
    count.enqueue("inner")
    metric("outer")


@task
def fail():
    metric("failing")
    raise ValueError("a project's own")


@task
async def wait():
    metric("waited")
    await asyncio.sleep(0)
    metric("waited")


def slugs(recording):
    return [sorted({key.slug for key in batch.summaries}) for batch in recording.batches]


def test_the_events_of_a_task_are_one_batch(recorded):
    count.enqueue("jobs", 5)
    assert slugs(recorded) == [["jobs"]]
    assert recorded.total("jobs") == 5


def test_a_coroutine_is_one_batch(recorded):
    wait.enqueue()
    assert slugs(recorded) == [["waited"]]
    assert recorded.total("waited") == 2


def test_a_task_enqueued_from_an_event_loop_is_one_batch(recorded):
    asyncio.run(count.aenqueue("jobs", 5))
    assert slugs(recorded) == [["jobs"]]


def test_a_task_within_a_task_is_a_batch_of_its_own(recorded):
    nest.enqueue()
    assert slugs(recorded) == [["inner"], ["outer"]]


def test_a_task_run_within_a_scope_gives_it_back(recorded):
    with collect() as outer:
        count.enqueue("jobs")
        assert current_scope() is outer
        metric("after")
    assert slugs(recorded) == [["jobs"], ["after"]]


def test_a_task_that_raises_is_a_batch(recorded):
    fail.enqueue()
    assert slugs(recorded) == [["failing"]]
    assert current_scope() is None


@pytest.mark.django_db
def test_the_aggregate_task_adds_pending_items_to_the_totals():
    metric("orders")
    result = django_task_functions.aggregate.enqueue()
    assert (result.errors, backlog().items) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_send_reports_runs():
    assert django_task_functions.send_reports.enqueue().errors == []


@pytest.mark.django_db
def test_a_task_fails_if_its_command_fails(monkeypatch):
    def fail(*arguments, **options):
        raise CommandError("failed")

    monkeypatch.setattr(django_task_functions, "call_command", fail)
    assert [error.exception_class for error in django_task_functions.aggregate.enqueue().errors] == [CommandError]
