from argparse import ArgumentParser
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...aggregation.run import aggregate
from ...transfer.csv_export import check_where, overflown, rows, write_csv, write_json
from ...transfer.exported_totals import Chosen
from ...transfer.line_export import lines, write_lines
from ..arguments import add_where, parse_date, parse_days, where_of
from ..base import MetricsCommand, end
from ..files import replacing
from ..output import until_reader_leaves
from ..progress import progress

FORMATS = {"csv": write_csv, "json": write_json, "jsonl": write_lines}


class Command(MetricsCommand):
    help = (
        "Write all totals as CSV, as JSON, or as lines of JSON for data warehouses such as ClickHouse, to standard "
        "output or a file. It aggregates first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=FORMATS, default="csv", help="Default: csv.")
        when = parser.add_mutually_exclusive_group()
        when.add_argument(
            "--since",
            type=parse_date,
            metavar="YYYY-MM-DD",
            help="Only totals of periods that start on this date or later.",
        )
        when.add_argument(
            "--days",
            type=parse_days,
            metavar="N",
            help="Only totals of the periods of the last N days: 1 is today, with its week, month and year.",
        )
        add_where(parser, "Only totals of label sets with this label, among others; repeat it for more labels.")
        parser.add_argument("--output", type=Path, metavar="FILE", help="Default: standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = Chosen(options["since"], options["days"], where_of(options["where"]))
        self._unread = 0
        try:
            failures = aggregate().failures
            self.complain(failures)
            if chosen.where:
                check_where(chosen.where)
            with until_reader_leaves(self.stdout):
                self._export(options, chosen)
        except DatabaseError as error:
            raise CommandError(f"The export is incomplete: {error}") from error
        except UnicodeEncodeError as error:
            hint = "give --output FILE, which is written in UTF-8, or set PYTHONIOENCODING=utf-8"
            raise CommandError(f"The export is incomplete: {error}; {hint}.") from error
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        said = [f"Sketches that could not be read: {self._unread}."] if self._unread else []
        end(*said, failures=len(failures))

    def _export(self, options: dict[str, Any], chosen: Chosen) -> None:
        output, write = options["output"], FORMATS[options["format"]]
        # `_out` is the stream inside Django's OutputWrapper, which would end every write with a newline.
        target: Any = nullcontext(self.stdout._out) if output is None else replacing(output)
        exported: Any = lines(chosen, self._report) if write is write_lines else rows(chosen, self._report)
        # If writing fails, the cursor is still open, and must be closed before its connection.
        with (
            target as stream,
            closing(exported),
            progress(self.stderr, options["verbosity"], chosen.count, "total", "written") as advance,
        ):
            write(stream, exported, advance)
        if options["verbosity"]:
            self._note_what_is_left_out(chosen)

    def _report(self, problem: str) -> None:
        self._unread += 1
        self.complain([problem])

    def _note_what_is_left_out(self, chosen: Chosen) -> None:
        since = chosen.since
        if since and (since.month, since.day) != (1, 1):
            self.stderr.write(
                f"The export leaves out all periods that began before {since}, including the year {since.year}. After "
                "an import, all-time totals will lack that year, because they are sums of years. To include it, use "
                f"--since {since.year}-01-01."
            )
        if chosen.where and (slugs := overflown()):
            self.stderr.write(
                f"The export leaves out the overflow series of {', '.join(slugs)}: its labels are not known, so some "
                "of its events may match --where."
            )
