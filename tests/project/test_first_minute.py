"""What a new user does: three lines of settings, a migration, some visits; no command of ours, no cron."""

import contextlib
import http.cookiejar
import os
import re
import sqlite3
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest

from scripts.fresh_project import installation
from scripts.server import HOST, free_port, stop, wait_until_ready
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

# A shorter interval than the default only makes the test shorter.
RULE = 'APP_METRICS_URLS = {"admin:login": "login_pages"}\nAPP_METRICS_AUTOPILOT_INTERVAL = 2\n'
# The server's clock, which a test sets ahead.
CLOCK = """
import os
from datetime import UTC, datetime, timedelta
from freezegun import freeze_time
if days := os.environ.get("DAYS_AHEAD"):
    freeze_time(datetime.now(UTC) + timedelta(int(days)), tick=True).start()
"""
DASHBOARD = "/admin/app_metrics/dashboard/"


@pytest.fixture
def project(tmp_path):
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write(installation() + RULE + CLOCK)
    run(tmp_path, "manage.py", "migrate", "--verbosity=0")
    run(tmp_path, "manage.py", "createsuperuser", "--noinput", "--username=admin", "--email=admin@example.com")
    return tmp_path


def environment(**variables):
    own = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO")}
    return {**own, "PYTHONPATH": str(ROOT), "DJANGO_SUPERUSER_PASSWORD": "admin", **variables}


def run(folder, *arguments):
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment(), check=True, timeout=120)


@contextlib.contextmanager
def served(project, **variables):
    """Start the development server; yield a function that opens one of its pages, with cookies, and returns it."""
    port, log = free_port(), project / "log"
    with log.open("wb") as output:
        command = [sys.executable, "manage.py", "runserver", "--noreload", f"{HOST}:{port}"]
        process = subprocess.Popen(
            command, cwd=project, env=environment(**variables), stdout=output, stderr=output, start_new_session=True
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
    """Log in with the page that was opened last, and return the dashboard."""
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', visit("/admin/login/"))[1]
    form = {"username": "admin", "password": "admin", "csrfmiddlewaretoken": token, "next": DASHBOARD}
    return visit("/admin/login/", form)


def totals(project):
    """Return the totals of the metric by day, oldest first."""
    rows = """SELECT total FROM app_metrics_total JOIN app_metrics_metric AS metric ON metric.id = metric_id
              WHERE period = 'day' AND slug = 'login_pages' ORDER BY start"""
    with contextlib.closing(sqlite3.connect(project / "db.sqlite3", timeout=60)) as connection:
        return [int(total) for (total,) in connection.execute(rows)]


def test_five_visits_are_on_the_dashboard_at_once_and_in_totals_without_a_command(project):
    with served(project) as visit:
        for _ in range(4):
            visit("/admin/login/")
        overview = log_in(visit)  # opens the fifth
        assert "login_pages" in overview
        page = visit(f"{DASHBOARD}metric/login_pages/")
        assert re.search(r'<svg class="chart".*?Total: (5|6)\b', page, re.DOTALL)
        wait_until(lambda: sum(totals(project)) >= 1, 60)


def test_the_totals_of_the_next_day_come_without_a_command(project):
    with served(project) as visit:
        visit("/admin/login/")
        wait_until(lambda: totals(project) == [1], 60)
    with served(project, DAYS_AHEAD="1") as visit:
        visit("/admin/login/")
        wait_until(lambda: totals(project) == [1, 1], 60)
