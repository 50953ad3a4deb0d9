"""Each run of a Celery task is a scope, and can be counted by task name; tests/soak/brokers has more tests."""

import os
import subprocess
import sys

import pytest
from celery import Celery, shared_task
from celery.signals import worker_process_shutdown, worker_shutdown

from app_metrics import collect, metric, tasks
from app_metrics.contrib import celery as scopes
from app_metrics.recording.scope import current_scope
from app_metrics.testing.recorded import capture_metrics
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import load_backend
from tests.soak.brokers.tasks import count, fail, leave, nest, retry
from tests.support.paths import ROOT

NAMED = "project.named"


@shared_task(name="project." + "long" * 40)
def long_name():
    """A task name longer than a label value may be."""


@pytest.fixture(autouse=True)
def app(monkeypatch):
    """An app that runs tasks eagerly."""
    made = Celery("tests.contrib", broker="memory://", set_as_current=False, fixups=[])
    made.conf.task_always_eager = True
    monkeypatch.setattr("celery._state.default_app", made)
    monkeypatch.setattr("celery._state._tls.current_app", None)
    scopes.connect()
    return made


@pytest.fixture
def recording():
    with capture_metrics() as found:
        yield found


def slugs(recording):
    """Return the slugs of each batch, in the order of writing."""
    return [sorted({key.slug for key in batch.summaries}) for batch in recording.batches]


def test_the_events_of_a_task_are_one_batch(recording):
    count.delay("jobs", 5)
    assert slugs(recording) == [["jobs"]]
    assert recording.total("jobs") == 5


def test_a_task_within_a_task_is_a_batch_of_its_own_and_a_plain_call_is_not(recording):
    nest.delay()
    assert slugs(recording) == [["inner"], ["called", "outer"]]
    assert recording.total("outer") == 2


def test_a_task_run_within_a_scope_gives_it_back(recording):
    """An example is a request whose view runs an eager task."""
    with collect() as outer:
        metric("before")
        count.delay("jobs")
        assert current_scope() is outer
        metric("after")
    assert slugs(recording) == [["jobs"], ["after", "before"]]


def test_a_task_that_raises_is_a_batch(recording):
    fail.apply()
    assert slugs(recording) == [["failing"]]
    assert current_scope() is None


def test_every_try_of_a_task_is_a_batch(recording):
    """In eager mode, the second try runs within the first."""
    retry.apply()
    assert slugs(recording) == [["tries"]] * 3
    assert current_scope() is None


@pytest.mark.parametrize("reject", [True, False])
def test_a_task_that_ends_with_ignore_or_reject_is_one_batch(recording, reject):
    leave.apply((reject,))
    assert slugs(recording) == [["left"]]


def test_tasks_are_not_counted_unless_that_is_wanted(recording):
    count.delay("jobs")
    assert recording.slugs == ["jobs"]


class TestCounting:
    @pytest.fixture(autouse=True)
    def switched(self, settings):
        settings.APP_METRICS_CELERY = True

    @pytest.mark.parametrize(
        ("task", "arguments", "name", "outcome"),
        [
            (count, ("jobs",), "project.count", "success"),
            (fail, (), "project.fail", "failure"),
            (leave, (True,), "project.leave", "rejected"),
            (leave, (False,), "project.leave", "ignored"),
        ],
    )
    def test_a_run_is_counted_by_name_and_outcome(self, recording, task, arguments, name, outcome):
        task.apply(arguments)
        assert recording.total("celery_tasks", {"task": name, "outcome": outcome}) == 1
        assert recording.count("celery_task_seconds", {"task": name}) == 1
        assert len(recording.batches) == 1

    def test_an_attempt_that_is_repeated_counts_as_a_retry(self, recording):
        retry.apply()
        labels = {"task": "project.retry"}
        assert recording.total("celery_tasks", labels | {"outcome": "retry"}) == 2
        assert recording.total("celery_tasks", labels | {"outcome": "success"}) == 1

    def test_a_task_within_a_task_is_counted_too(self, recording):
        nest.delay()
        assert recording.total("celery_tasks") == 2

    def test_a_long_name_is_cut(self, recording, settings):
        settings.APP_METRICS_STRICT = True
        long_name.delay()
        assert recording.total("celery_tasks", {"task": long_name.name[:100], "outcome": "success"}) == 1

    @pytest.mark.django_db
    def test_our_own_tasks_are_not_counted(self, recording):
        tasks.prune.delay()
        assert recording.slugs == []

    def test_a_disabled_app_counts_nothing(self, recording, settings):
        settings.APP_METRICS_DISABLED = True
        count.delay("jobs")
        assert recording.slugs == []


class FailsOnce(MetricsBackend):
    def __init__(self):
        self.written = []
        self.failed = False

    def write(self, batch):
        if not self.failed:
            self.failed = True
            raise OSError("once")
        self.written.append(batch)


@pytest.mark.parametrize("ending", [worker_process_shutdown, worker_shutdown])
def test_pending_batches_are_written_when_a_worker_process_ends(ending, settings):
    settings.APP_METRICS_BACKEND = f"{__name__}.FailsOnce"
    backend = load_backend(settings.APP_METRICS_BACKEND)
    count.delay("jobs")
    assert backend.written == []
    ending.send(sender=None)
    assert len(backend.written) == 1


def test_a_process_that_does_not_use_celery_does_not_import_it():
    script = "import sys, django; django.setup(); assert not {'celery', 'kombu'} & set(sys.modules)"
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", script], env=environ, cwd=ROOT, check=True)


def test_connecting_twice_connects_once(recording):
    scopes.connect()
    count.delay("jobs")
    assert len(recording.batches) == 1
