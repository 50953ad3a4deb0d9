"""Run a management command as a separate process: `python -m tests.support.manage ALIAS DATABASE COMMAND …`."""

import os
import sys

from django.core.management import execute_from_command_line

from tests.support.processes import configure

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    alias, name, *arguments = sys.argv[1:]
    configure(alias, name)
    execute_from_command_line(["manage.py", *arguments])
