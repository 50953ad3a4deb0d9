"""A site whose models are those of the example site, and whose settings have no rules."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

SETTINGS = """
from example_project.settings import *

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
ALLOWED_HOSTS = ["testserver"]
MIDDLEWARE = [each for each in MIDDLEWARE if not each.startswith("app_metrics")]
APP_METRICS_AUTH = False
APP_METRICS_MODELS = APP_METRICS_URLS = APP_METRICS_SIGNALS = APP_METRICS_SETS = {}
APP_METRICS_ALERTS = APP_METRICS_MILESTONES = APP_METRICS_RATIOS = {}
"""


@pytest.fixture
def site(tmp_path):
    """Return a function that runs Python in the folder of a site with the example site's models."""
    (tmp_path / "site_settings.py").write_text(SETTINGS)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("APP_METRICS_TEST", "EXAMPLE"))},
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "django", "migrate", "--verbosity=0")
    return run
