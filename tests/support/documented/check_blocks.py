"""Add each block of settings from a list on stdin to the settings, and print what `check` finds in each, as JSON."""

import json
import sys

import django
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

MIDDLEWARE = "app_metrics.middleware.MetricsMiddleware"

django.setup()
found = []
for block in json.load(sys.stdin):
    names = {"MIDDLEWARE": [MIDDLEWARE, *settings.MIDDLEWARE]}
    exec(block, names)
    with override_settings(**{name: value for name, value in names.items() if name.isupper()}):
        found.append([str(message) for message in run_checks()])
print(json.dumps(found))
