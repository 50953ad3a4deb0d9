"""A project with ten mistakes in its settings: `manage.py check` reports each, and no page fails because of one."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

SETTINGS = """
from tests.settings import *

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
DATABASE_ROUTERS = []
DEBUG = True  # so that a bad argument raises
ROOT_URLCONF = "tests.support.rule_urls"
APP_METRICS_URLS = {
    "pgae": "views",
    "page": ["views", {"slug": "posts", "method": ["POST"]}],
    "async": {"slug": "no slug"},
    "answer": {"slug": "answers", "when": "user.is_staff"},
    "failing": {"slug": "failures", "status": ["5xx"], "labels": {"page": "request.path"}},
}
APP_METRICS_MODELS = {
    "auth.Usr": {"created": "signups"},
    "testapp.Document": {"create": "orders", "created": {"slug": "documents", "labels": {"plan": "plan"}}},
}
APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_loged_in": "logins"}
APP_METRICS_BACKEND = "app_metrics.backends.bd"
APP_METRICS_DATABASE = "defualt"
APP_METRICS_MAX_LABEL_SETS = "many"
"""

VISIT = """
import json
import django

django.setup()

from django.core.management import call_command
from django.test import Client, override_settings
from app_metrics import metric
from app_metrics.testing import capture_metrics

def visit():
    client = Client(raise_request_exception=False)
    addresses = ["/page/", "/async/", "/answer/200/", "/order/", "/failing/", "/private/"]
    login = {"username": "ann", "password": "wrong"}
    metric("by_hand", labels={"plan": "pro"})
    return [client.get(each).status_code for each in addresses] + [client.post("/login/", login).status_code]

call_command("migrate", verbosity=0, skip_checks=True)
answers = [visit()]
with override_settings(APP_METRICS_BACKEND="app_metrics.backends.db"):  # writes to a database that there is not
    answers.append(visit())
with capture_metrics() as recorded:
    answers.append(visit())
print(json.dumps({"answers": answers, "recorded": recorded.slugs}))
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "mistaken_settings.py").write_text(SETTINGS)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("APP_METRICS_TEST")},
        "DJANGO_SETTINGS_MODULE": "mistaken_settings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    return lambda *arguments: subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_ten_mistakes_get_ten_messages_with_hints(run):
    done = run("-m", "django", "check")
    assert done.returncode == 1
    ids = re.findall(r"\(app_metrics\.(\w+)\)", done.stderr)
    assert sorted(ids) == [f"E{number:03}" for number in range(2, 12)]
    assert done.stderr.count("\tHINT: ") == 10
    assert "identified 10 issues" in done.stderr


def test_with_mistaken_settings_pages_work_and_good_rules_count(run):
    done = run("-c", VISIT)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["answers"] == [[200, 200, 200, 200, 500, 302, 200]] * 3
    assert {"by_hand", "documents", "failures", "views"} <= set(printed["recorded"])
