"""A process that repeatedly syncs the metric sets declared by one release: ALIAS DATABASE RELEASE TIMES."""

import os
import sys

from tests.support.processes import configure

ENTRY = {"metrics": ["signups", "orders"], "recipients": ["team@example.com"], "send": ["daily"]}


def main(alias: str, name: str, release: str, times: str) -> None:
    from django.conf import settings

    # Each release drops a set of the other one, and orders the shared sets differently.
    names = {"old": ["A", "B", "old"], "new": ["new", "B", "A"]}[release]
    settings.APP_METRICS_SETS = dict.fromkeys(names, ENTRY)
    configure(alias, name)

    from app_metrics.reports.declared_sets import declare

    for _ in range(int(times)):
        declare()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
