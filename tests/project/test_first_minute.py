"""What a new user does: three lines of settings, a migration, some visits; no command of ours, no cron."""

import contextlib
import http.cookiejar
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.fresh_project import RULE, installation
from scripts.server import HOST, free_port, stop, wait_until_ready
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

# A shorter interval than the default only makes the test shorter.
SOON = "APP_METRICS_AUTOPILOT_INTERVAL = 2\n"
# The server's clock, which a test sets ahead.
CLOCK = """
import os
if days := os.environ.get("DAYS_AHEAD"):
    from datetime import UTC, datetime, timedelta
    from freezegun import freeze_time
    freeze_time(datetime.now(UTC) + timedelta(int(days)), tick=True).start()
"""
DASHBOARD = "/admin/app_metrics/dashboard/"


@dataclass
class Project:
    folder: Path
    python: str
    path: Path  # where Python finds what is not installed

    def environment(self, **variables):
        # Without the time zone of the tests, too: freezegun loses an hour if Django changes it after the clock was set.
        foreign = ("DJANGO", "PYTHON", "TZ")
        own = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return {**own, "PYTHONPATH": str(self.path), "DJANGO_SUPERUSER_PASSWORD": "admin", **variables}

    def run(self, *arguments):
        command = [self.python, *arguments]
        subprocess.run(command, cwd=self.folder, env=self.environment(), check=True, timeout=120)


@pytest.fixture
def here(tmp_path):
    return Project(tmp_path, sys.executable, ROOT), SOON


@pytest.fixture
def installed(new_environment, wheelhouse, tmp_path):
    """The wheel in an environment of its own, with the default interval; freezegun is beside it, for the clock."""
    project, clock = Project(tmp_path / "site", new_environment, tmp_path / "clock"), tmp_path / "clock"
    project.folder.mkdir()
    packages = ("--no-index", f"--find-links={wheelhouse}", f"--target={clock}", "freezegun")
    project.run("-m", "pip", "install", "--quiet", *packages)
    return project, ""


@pytest.fixture(params=["here", pytest.param("installed", marks=pytest.mark.slow)])
def project(request):
    project, settings_of_the_test = request.getfixturevalue(request.param)
    project.run("-m", "django", "startproject", "mysite", ".")
    with (project.folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(installation() + RULE + settings_of_the_test + CLOCK)
    project.run("manage.py", "migrate", "--verbosity=0")
    project.run("manage.py", "createsuperuser", "--noinput", "--username=admin", "--email=admin@example.com")
    return project


@contextlib.contextmanager
def served(project, **variables):
    """Start the development server; yield a function that opens one of its pages, with cookies, and returns it."""
    port, log = free_port(), project.folder / "log"
    with log.open("wb") as output:
        command = [project.python, "manage.py", "runserver", "--noreload", f"{HOST}:{port}"]
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.environment(**variables),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_ready(f"http://{HOST}:{port}", process, log)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

        def visit(path, data=None):
            encoded = None if data is None else urllib.parse.urlencode(data).encode()
            with opener.open(f"http://{HOST}:{port}{path}", encoded, timeout=60) as answer:
                return answer.read().decode()

        yield visit
    finally:
        stop(process)


def log_in(visit):
    """Make two of the requests that are counted: open the page, and send it."""
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', visit("/admin/login/"))[1]
    visit("/admin/login/", {"username": "admin", "password": "admin", "csrfmiddlewaretoken": token, "next": DASHBOARD})


def shows_five(visit):
    """Return whether the card of the metric and the chart on its page show five."""
    card = re.search(r'id="card-login_pages".*?<strong>5</strong>.*?<svg.*?</li>', visit(DASHBOARD), re.DOTALL)
    page = visit(f"{DASHBOARD}metric/login_pages/")
    return card and re.search(r'<svg class="chart".*?Total: 5\b', page, re.DOTALL)


def totals(project):
    """Return the totals of the metric by day, oldest first."""
    rows = """SELECT total FROM app_metrics_total JOIN app_metrics_metric AS metric ON metric.id = metric_id
              WHERE period = 'day' AND slug = 'login_pages' ORDER BY start"""
    with contextlib.closing(sqlite3.connect(project.folder / "db.sqlite3", timeout=60)) as connection:
        return [int(total) for (total,) in connection.execute(rows)]


def test_five_visits_are_on_the_dashboard_within_a_minute_and_in_the_totals_of_each_day_without_a_command(project):
    with served(project) as visit:
        began = time.monotonic()
        log_in(visit)
        for _ in range(3):
            visit("/admin/login/")  # leads who is logged in to the admin
        wait_until(lambda: shows_five(visit), began + 60 - time.monotonic())
        wait_until(lambda: totals(project) == [5])
    with served(project, DAYS_AHEAD="1") as visit:
        visit("/admin/login/")
        wait_until(lambda: totals(project) == [5, 1])
