"""Processes that open the database of the test that starts them, whatever name its run gave it."""

import subprocess
import sys

import django
from django.conf import settings
from django.db import connections

from tests.support.paths import ROOT


def start(module, alias, *arguments, name=None, **options):
    """Run a module of the tests; it is given an alias, the name of that database, and the arguments."""
    name = name or str(connections[alias].settings_dict["NAME"])
    command = [sys.executable, "-m", module, alias, name, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, **options)


def configure(alias, name, **values):
    """Let the site of this process live in a database, with these settings; call it before any model is imported."""
    settings.DATABASES[alias]["NAME"] = name
    settings.APP_METRICS_DATABASE = settings.TEST_SITE_DATABASE = alias
    for setting, value in values.items():
        setattr(settings, setting, value)
    django.setup()
