"""Processes that open the database of the test that starts them, whatever its name in this run."""

import subprocess
import sys

import django
from django.conf import settings
from django.db import connections

from tests.support.paths import ROOT


def start(module, alias, *arguments, name=None, **options):
    """Run a test module as a process; it gets an alias, that database's name, and the arguments."""
    name = name or str(connections[alias].settings_dict["NAME"])
    command = [sys.executable, "-m", module, alias, name, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, **options)


def configure(alias, name, **values):
    """Point this process's site to a database, and set these settings; call it before any model is imported."""
    settings.DATABASES[alias]["NAME"] = name
    settings.APP_METRICS_DATABASE = settings.TEST_SITE_DATABASE = alias
    for setting, value in values.items():
        setattr(settings, setting, value)
    django.setup()
