"""What a project's own tests record, under Django's runner and pytest-django, with nothing configured for tests."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

SETTINGS = """
import json
import os
from pathlib import Path

BASE = Path(__file__).parent
SECRET_KEY = "only for tests"
ROOT_URLCONF = "urls"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "app_metrics"]
MIDDLEWARE = ["app_metrics.middleware.MetricsMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "site.sqlite3"}}
globals().update(json.loads(os.environ["MORE"]))
"""

URLS = """
import threading
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from app_metrics import metric


def page(request):
    metric("visits")
    if "thread" in request.GET:
        thread = threading.Thread(target=metric, args=("visits",))
        thread.start()
        thread.join()
    return HttpResponse("a page")


def stream(request):
    metric("openings")
    return StreamingHttpResponse(parts())


def parts():
    metric("parts")
    yield b"a part"


urlpatterns = [path("", page), path("stream/", stream)]
"""

# Django runs TestCases first, and these classes by their names.
TESTS = """
from unittest import mock
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from app_metrics import metric
from app_metrics.models import Item
from app_metrics.backends.db import MetricsBackend


class RolledBackTests(TestCase):
    def test_a_page(self):
        self.client.get("/")
        assert Item.objects.get(slug="visits").count == 1


class BareTests(SimpleTestCase):
    def test_five_pages(self):
        for _ in range(5):
            assert self.client.get("/?thread").content == b"a page"


class StreamTests(SimpleTestCase):
    def test_a_stream_that_is_not_read(self):
        self.client.get("/stream/")

    def test_a_stream_that_is_read_in_part(self):
        self.response = self.client.get("/stream/")
        assert next(iter(self.response.streaming_content)) == b"a part"

    def test_a_number_that_cannot_be_recorded(self):
        metric("no slug!")


class CommittedTests(TransactionTestCase):
    def test_a_stream_that_is_not_read(self):
        self.client.get("/stream/")

    def test_a_page(self):
        self.client.get("/")
        assert list(Item.objects.filter(slug="visits").values_list("count", flat=True)) == [1]

    def test_another_page(self):
        self.client.get("/")
        assert list(Item.objects.filter(slug="visits").values_list("count", flat=True)) == [1]


class FailingTests(TransactionTestCase):
    def test_writes_that_fail(self):
        with mock.patch.object(MetricsBackend, "write", side_effect=OSError("down")):
            self.client.get("/")
"""

PYTEST_TESTS = """
def test_five_pages_without_the_mark(client):
    for _ in range(5):
        assert client.get("/").content == b"a page"
"""

RUNNERS = {"manage.py": ("django", "test"), "pytest": ("pytest", "-q", "-p", "no:cacheprovider")}


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """A small project whose own database has all tables."""
    project = tmp_path_factory.mktemp("project")
    (project / "spool").mkdir()
    (project / "mysettings.py").write_text(SETTINGS)
    (project / "urls.py").write_text(URLS)
    (project / "test_unittest.py").write_text(TESTS)
    (project / "test_pytest.py").write_text(PYTEST_TESTS)
    run(project, "django", "migrate", "--verbosity=0")
    return project


def run(project, module, *arguments, more=None):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "APP_METRICS"))},
        "DJANGO_SETTINGS_MODULE": "mysettings",
        "PYTHONPATH": os.pathsep.join([str(project), str(ROOT)]),
        "MORE": json.dumps(more or {}),
    }
    command = [sys.executable, "-m", module, *arguments]
    answer = subprocess.run(
        command, cwd=project, env=environment, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


@pytest.mark.parametrize(
    ("runner", "more"),
    [
        ("manage.py", {}),
        ("manage.py", {"APP_METRICS_FLUSH_INTERVAL": 0.01, "APP_METRICS_SPOOL_DIR": "spool"}),
        pytest.param("pytest", {}, marks=pytest.mark.slow),
        ("pytest", {"APP_METRICS_FLUSH_INTERVAL": 0.01}),
    ],
    ids=str,
)
def test_tests_of_a_project_count_only_in_the_test_database(migrated, tmp_path, runner, more):
    project = shutil.copytree(migrated, tmp_path / "project")
    said = run(project, *RUNNERS[runner], more=more)
    assert ("Ran 9 tests" if runner == "manage.py" else "10 passed") in said
    assert_untouched(project)


@pytest.mark.parametrize("more", [{}, {"APP_METRICS_FLUSH_INTERVAL": 0.01}], ids=str)
@pytest.mark.parametrize("chosen", ["BareTests", "StreamTests", "StreamTests.test_a_number_that_cannot_be_recorded"])
def test_tests_without_a_database_leave_the_real_one_alone(migrated, tmp_path, chosen, more):
    project = shutil.copytree(migrated, tmp_path / "project")
    said = run(project, "django", "test", f"test_unittest.{chosen}", more=more)
    assert "\nOK" in said
    assert "test database" not in said
    assert_untouched(project)


def assert_untouched(project):
    with contextlib.closing(sqlite3.connect(project / "site.sqlite3")) as connection:
        assert connection.execute("SELECT slug, count FROM app_metrics_item").fetchall() == []
    assert list((project / "spool").iterdir()) == []
    assert not (project / "site.sqlite3-metrics").exists()
