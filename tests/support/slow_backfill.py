"""Run `metrics_backfill` in small chunks with pauses, so that it can be killed within any chunk."""

import os
import sys
import time

from tests.support.processes import configure

CHUNK_ROWS = 200


def main(alias, name, *arguments):
    configure(alias, name)
    from django.core.management import execute_from_command_line
    from django.db import connections

    from app_metrics.transfer import source_tables

    source_tables.CHUNK_ROWS = CHUNK_ROWS

    def slowly(execute, *details):
        time.sleep(0.02)
        return execute(*details)

    with connections[alias].execute_wrapper(slowly):
        execute_from_command_line(["manage.py", "metrics_backfill", *arguments])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
