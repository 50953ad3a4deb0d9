#!/usr/bin/env python
"""Run the management commands of the example site: `python example_project/manage.py migrate`."""

import os
import sys
from pathlib import Path


def main() -> None:
    # Make the package `example_project` importable from any working directory.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
