from argparse import ArgumentParser
from contextlib import closing, nullcontext
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...aggregation.run import aggregate
from ...models.splitting import Where
from ...transfer.csv_export import check_where, count_rows, overflown, rows, write_csv, write_json
from ..arguments import add_where, parse_date, where_of
from ..base import MetricsCommand, end
from ..files import replacing
from ..output import until_reader_leaves
from ..progress import progress

FORMATS = {"csv": write_csv, "json": write_json}


class Command(MetricsCommand):
    help = "Write all totals as CSV or JSON, to standard output or a file. It aggregates first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=FORMATS, default="csv", help="Default: csv.")
        parser.add_argument(
            "--since",
            type=parse_date,
            metavar="YYYY-MM-DD",
            help="Only totals of periods that start on this date or later.",
        )
        add_where(parser, "Only totals of label sets with this label, among others; repeat it for more labels.")
        parser.add_argument("--output", type=Path, metavar="FILE", help="Default: standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        where = where_of(options["where"])
        self._unread = 0
        try:
            failures = aggregate().failures
            self.complain(failures)
            if where:
                check_where(where)
            with until_reader_leaves(self.stdout):
                self._export(FORMATS[options["format"]], options, where)
        except DatabaseError as error:
            raise CommandError(f"The export is incomplete: {error}") from error
        except UnicodeEncodeError as error:
            hint = "give --output FILE, which is written in UTF-8, or set PYTHONIOENCODING=utf-8"
            raise CommandError(f"The export is incomplete: {error}; {hint}.") from error
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        said = [f"Sketches that could not be read: {self._unread}."] if self._unread else []
        end(*said, failures=len(failures))

    def _export(self, write: Any, options: dict[str, Any], where: Where) -> None:
        since, output = options["since"], options["output"]
        # `_out` is the stream inside Django's OutputWrapper, which would end every write with a newline.
        target = nullcontext(self.stdout._out) if output is None else replacing(output)
        exported: Any = rows(since, where, self._report)
        # If writing fails, the cursor is still open, and must be closed before its connection.
        with (
            target as stream,
            closing(exported),
            progress(
                self.stderr, options["verbosity"], partial(count_rows, since, where), "total", "written"
            ) as advance,
        ):
            write(stream, exported, advance)
        if options["verbosity"]:
            self._note_what_is_left_out(since, where)

    def _report(self, problem: str) -> None:
        self._unread += 1
        self.complain([problem])

    def _note_what_is_left_out(self, since: date | None, where: Where) -> None:
        if since and (since.month, since.day) != (1, 1):
            self.stderr.write(
                f"The export leaves out all periods that began before {since}, including the year {since.year}. After "
                "an import, all-time totals will lack that year, because they are sums of years. To include it, use "
                f"--since {since.year}-01-01."
            )
        if where and (slugs := overflown()):
            self.stderr.write(
                f"The export leaves out the overflow series of {', '.join(slugs)}: its labels are not known, so some "
                "of its events may match --where."
            )
