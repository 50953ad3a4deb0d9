from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...aggregation.run import aggregate
from ...conf import time_zone
from ...core.calendar import aware
from ...core.plain_text import brief, one_line
from ...models import ImportedFile
from ...transfer.csv_import import Checked, Incomplete, Rejected, check_file, former_import, import_file
from ..base import MetricsCommand, end
from ..files import create
from ..output import counted, fitting
from ..progress import progress

SHOWN_LINES = 20


class Command(MetricsCommand):
    help = (
        "Import a CSV file: totals that metrics_export wrote, or lines of timestamp,slug,num[,labels]. The same file "
        "counts only once. Lines that cannot be counted are reported and written to FILE.rejected."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--add",
            action="store_true",
            help="Add the totals of an export even to metrics that already have totals, but the same file only once.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rejects = Rejects(options["file"], self.stderr)
        try:
            if former := former_import(options["file"]):
                self._say(options["verbosity"], _was_imported(former, may_add=options["add"]))
                return
            checked, count = self._count(options, rejects)
        except Incomplete as error:
            raise CommandError(str(error)) from error
        except (OSError, ValueError) as error:
            raise CommandError(f"Nothing was imported: {error}") from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted. Import the same file again to continue; do not change it.") from error
        except DatabaseError as error:
            raise CommandError(f"The import stopped; run it again: {error}") from error
        if count is None:
            self._say(
                options["verbosity"], "Another process has imported this file meanwhile; each line is counted once."
            )
            return
        self._say(options["verbosity"], f"Imported {count} of {counted(checked.lines, 'line')}.")
        said = [f"{_lines_were(rejects.count)} rejected. Fix and import {rejects.path}."] if rejects.count else []
        end(*said, failures=self._aggregate())

    def _say(self, verbosity: int, text: str) -> None:
        if verbosity:
            self.stdout.write(fitting(self.stdout, text))

    def _aggregate(self) -> int:
        """Aggregate; return the number of failures to drain pending batches."""
        try:
            failures = aggregate().failures
        except (DatabaseError, ValueError) as error:
            message = f"The lines were imported, but not aggregated; run metrics_aggregate: {error}"
            raise CommandError(message) from error
        self.complain(failures)
        return len(failures)

    def _count(self, options: dict[str, Any], rejects: "Rejects") -> tuple[Checked, int | None]:
        """Check a file and count its good lines; return what was found, and how many were counted.

        The number is None if another process has imported the file.
        """
        count = None
        try:
            with rejects:
                checked = check_file(options["file"], rejects.add)
            count = self._import(checked, options["verbosity"], may_add=options["add"])
        finally:
            if count is None:
                rejects.discard()  # the next import finds the lines again, or the other process has found them
        return checked, count

    def _import(self, checked: Checked, verbosity: int, *, may_add: bool) -> int | None:
        with progress(self.stderr, verbosity, lambda: checked.lines, "line", "imported") as advance:
            return import_file(checked, may_add=may_add, on_progress=advance)


class Rejects:
    """The new file for the bad lines of an imported file, in the same folder; created with the first bad line."""

    def __init__(self, path: Path, stderr: Any) -> None:
        self.path = path.parent / f"{path.name}.rejected"
        self.count = 0
        self._stderr = stderr
        self._opened = ExitStack()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: object) -> None:
        self._opened.close()
        if self.count > SHOWN_LINES:
            self._stderr.write(fitting(self._stderr, f"… and {self.count - SHOWN_LINES} more"))

    def add(self, rejected: Rejected) -> None:
        if not self.count:
            self.path, stream = create(self.path)
            self._file = self._opened.enter_context(stream)
            self._write(",".join(rejected.columns))
        self.count += 1
        self._write(rejected.text)
        if self.count <= SHOWN_LINES:
            self._stderr.write(f"Line {rejected.number}: {brief(rejected.reason, show=str)}")

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\r\n")

    def discard(self) -> None:
        if self.count:
            self.path.unlink(missing_ok=True)


def _was_imported(former: ImportedFile, *, may_add: bool) -> str:
    at = aware(former.imported_at).astimezone(time_zone())
    text = f"This file was imported on {at:%Y-%m-%d} at {at:%H:%M} as {one_line(former.name)}; nothing was changed."
    if may_add:
        text += " To count its lines again, import a copy with another content: add an empty line at the end."
    return text


def _lines_were(number: int) -> str:
    return f"{counted(number, 'line')} {'was' if number == 1 else 'were'}"
