"""Import files by the command, and compare what is stored."""

import re
from io import StringIO

from django.core.management import CommandError, call_command

from app_metrics.core.summary import Summary
from app_metrics.models import Total

STORED = (
    "metric__slug", "metric__kind", "period", "start", "hour", "labels", *Summary._fields,
)  # fmt: skip

IMPORTED_BEFORE = re.compile(
    r"This file was imported on \d{4}-\d\d-\d\d at \d\d:\d\d as file\.csv; nothing was changed\.\n"
)


def stored():
    return sorted(Total.objects.values_list(*STORED))


def load(path, *options):
    """Import a file; return what the command wrote, to both outputs, and its error, or None."""
    out, err = StringIO(), StringIO()
    try:
        call_command("metrics_import", str(path), *options, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue(), err.getvalue(), str(error)
    return out.getvalue(), err.getvalue(), None


def saved(tmp_path, text, name="file.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path
