"""A process that copies the declared sets of one release, again and again: ALIAS DATABASE RELEASE TIMES."""

import os
import sys

from tests.support.processes import configure

ENTRY = {"metrics": ["signups", "orders"], "recipients": ["team@example.com"], "send": ["daily"]}


def main(alias: str, name: str, release: str, times: str) -> None:
    from django.conf import settings

    # Each release has a set that the other one drops, and gives the common ones in another order.
    names = {"old": ["A", "B", "old"], "new": ["new", "B", "A"]}[release]
    settings.APP_METRICS_SETS = dict.fromkeys(names, ENTRY)
    configure(alias, name)

    from app_metrics.reports.declared_sets import declare

    for _ in range(int(times)):
        declare()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
