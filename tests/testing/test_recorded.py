"""The helpers for the test suites of projects, used as projects use them."""

import asyncio
import os
import subprocess
import sys

import pytest
from django.test import TestCase, override_settings

from app_metrics import collect, gauge, metric
from app_metrics.backends.locmem import outbox
from app_metrics.testing.recorded import assert_metric_recorded, capture_metrics
from app_metrics.transport.loading import get_backend
from tests.support.paths import ROOT
from tests.testapp.models import Document

ON_LOCMEM = {"APP_METRICS_BACKEND": "app_metrics.backends.locmem"}
COUNTING = {
    "ROOT_URLCONF": "tests.support.rule_urls",
    "APP_METRICS_URLS": {"order": {"slug": "answers", "labels": {"method": "request.method"}}},
    "APP_METRICS_MODELS": {"testapp.Document": {"created": "orders"}},
}


def test_captured_metrics_are_visible_at_once_without_a_database():
    with capture_metrics() as recorded:
        metric("orders", 3, labels={"plan": "pro"})
        metric("orders", 4, labels={"plan": "free"})
        assert recorded.slugs == ["orders"]
        gauge("stock", 17)
    assert recorded.slugs == ["orders", "stock"]
    assert (recorded.total("orders"), recorded.count("orders")) == (7, 2)
    assert (recorded.total("orders", {"plan": "pro"}), recorded.count("orders", {"plan": "pro"})) == (3, 1)
    assert recorded.summary("stock").last == 17


def test_captured_numbers_have_no_trailing_zeros():
    with capture_metrics() as recording:
        gauge("queue", 2.5)
        gauge("empty", 0.0)
    assert [str(recording.total(slug)) for slug in ("queue", "empty")] == ["2.5", "0"]
    assert str(recording.summary("queue").last) == "2.5"


def test_an_unrecorded_metric_is_zero():
    with capture_metrics() as recorded:
        pass
    assert (recorded.slugs, recorded.summary("x"), recorded.total("x"), recorded.count("x")) == ([], None, 0, 0)


def test_an_open_scope_is_set_aside_and_taken_up_again():
    with capture_metrics() as outer, collect():
        metric("before")
        with capture_metrics() as inner:
            metric("inside")
            assert inner.slugs == ["inside"]
        metric("after")
    assert (outer.slugs, inner.slugs) == (["after", "before"], ["inside"])


def test_the_configured_backend_is_back_after_a_block_that_raised():
    configured = get_backend()
    with pytest.raises(LookupError), capture_metrics():
        raise LookupError
    assert get_backend() is configured


def test_events_of_a_coroutine_are_visible_at_once():
    async def order():
        metric("orders")
        return recorded.slugs

    with capture_metrics() as recorded:
        assert asyncio.run(order()) == ["orders"]


def test_events_of_a_coroutine_are_in_the_outbox_at_once(settings):
    async def order():
        metric("orders")
        return len(outbox)

    settings.APP_METRICS_BACKEND = "app_metrics.backends.locmem"
    outbox.clear()
    assert asyncio.run(order()) == 1


def message_of(recorded, slug, **expected):
    with pytest.raises(AssertionError) as raised:
        assert_metric_recorded(recorded, slug, **expected)
    return str(raised.value)


def test_the_assertion_passes_for_recorded_metrics():
    with capture_metrics() as recorded:
        metric("orders", 3, labels={"plan": "pro"})
    assert_metric_recorded(recorded, "orders")
    assert_metric_recorded(recorded, "orders", total=3, count=1, labels={"plan": "pro"})


@pytest.mark.parametrize(
    ("slug", "expected", "message"),
    [
        ("refunds", {}, '\'refunds\' was not recorded. Recorded metrics: orders {"plan":"pro"}, visits.'),
        ("orders", {"labels": {"plan": "x"}}, "'orders' with labels {'plan': 'x'} was not recorded. Recorded"),
        ("orders", {"labels": {}}, "'orders' with labels {} was not recorded. Recorded metrics: orders {"),
        ("orders", {"total": 4}, "The total of 'orders' is 3, not 4."),
        ("orders", {"count": 2}, "'orders' was recorded 1 times, not 2."),
        ("orders", {"total": 0}, "The total of 'orders' is 3, not 0."),
    ],
)
def test_the_assertion_shows_the_recorded_metrics(slug, expected, message):
    with capture_metrics() as recorded:
        metric("orders", 3, labels={"plan": "pro"})
        metric("visits")
    assert message_of(recorded, slug, **expected).startswith(message)


def test_the_assertion_says_when_nothing_is_recorded_at_all(settings):
    settings.APP_METRICS_DISABLED = True
    with capture_metrics() as recorded:
        metric("orders")
    assert message_of(recorded, "orders").endswith("Recorded metrics: none. APP_METRICS_DISABLED is True.")


@override_settings(**COUNTING)
class ProjectTests(TestCase):
    """Tests as a project writes them."""

    def test_counts_that_wait_for_a_commit_come_with_it(self):
        with capture_metrics() as recorded, self.captureOnCommitCallbacks(execute=True):
            self.client.get("/order/")
        assert_metric_recorded(recorded, "orders", total=1)
        assert_metric_recorded(recorded, "answers", total=1, labels={"method": "GET"})

    def test_the_assertion_mentions_a_pending_commit(self):
        with capture_metrics() as recorded:
            Document.objects.create(title="a")
        assert "captureOnCommitCallbacks(execute=True)" in message_of(recorded, "orders")

    def test_without_a_switch_a_request_has_more_statements(self):
        with pytest.raises(AssertionError, match="queries executed, 1 expected"), self.assertNumQueries(1):
            self.client.get("/order/")

    @override_settings(**ON_LOCMEM)
    def test_with_the_locmem_backend_a_request_has_the_statements_that_it_had(self):
        outbox.clear()
        with self.assertNumQueries(1):
            self.client.get("/order/")
        (batch,) = outbox
        assert [key.slug for key in batch.summaries] == ["answers"]

    @override_settings(APP_METRICS_DISABLED=True)
    def test_disabled_a_request_has_the_statements_that_it_had(self):
        outbox.clear()
        with self.assertNumQueries(1):
            self.client.get("/order/")
        assert len(outbox) == 0


PROJECT = {
    "conftest.py": 'pytest_plugins = ["app_metrics.testing.pytest_plugin"]\n',
    "project_settings.py": """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "app_metrics"]
""",
    "test_project.py": """
from app_metrics import metric
from app_metrics.testing import assert_metric_recorded

def test_one(capture_metrics):
    metric("orders", 2)
    assert_metric_recorded(capture_metrics, "orders", total=2)

def test_two_starts_afresh(capture_metrics):
    assert capture_metrics.slugs == []
""",
}


def test_the_pytest_fixture_works_in_a_project_that_has_no_database(tmp_path):
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds=project_settings", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
