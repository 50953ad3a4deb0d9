"""Add blocks of settings from a list on stdin to the settings, and print what `check` finds after each, as JSON.

Each block is added to the settings alone; with the argument `pasted`, to those that the blocks before it have made, and
the metrics that it took away are printed, too.
"""

import json
import sys

import django
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

MIDDLEWARE = "app_metrics.middleware.MetricsMiddleware"


def before():
    """Return settings that the installation has left, which a block of rules may add to."""
    return {
        "MIDDLEWARE": [MIDDLEWARE, *settings.MIDDLEWARE],
        "APP_METRICS_AUTH": True,
        "APP_METRICS_URLS": {},
        "APP_METRICS_MODELS": {"shop.Order": {}},
        "APP_METRICS_SIGNALS": {},
    }


def in_use(names):
    return override_settings(**{name: value for name, value in names.items() if name.isupper()})


def metrics():
    from app_metrics.contrib.configured import configured_rules

    return {slug for rule in configured_rules()[0] if rule.origin != "APP_METRICS_AUTH" for slug in rule.slugs}


django.setup()
is_pasted = "pasted" in sys.argv
found, names, known = [], before(), set()
for block in json.load(sys.stdin):
    names = names if is_pasted else before()
    exec(block, names)
    with in_use(names):
        left = metrics()
        lost = sorted(known - left) if is_pasted else []
        found.append([str(message) for message in run_checks()] + [f"{slug} is lost" for slug in lost])
        known = left
print(json.dumps(found))
