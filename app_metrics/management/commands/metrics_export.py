from argparse import ArgumentParser
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...aggregation.run import aggregate
from ...transfer.csv_export import count_rows, rows, write_csv, write_json
from ..arguments import parse_date
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
        parser.add_argument("--output", type=Path, metavar="FILE", help="Default: standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            failures = aggregate().failures
            self.complain(failures)
            with until_reader_leaves(self.stdout):
                self._export(FORMATS[options["format"]], options)
        except DatabaseError as error:
            raise CommandError(f"The export is incomplete: {error}") from error
        except UnicodeEncodeError as error:
            hint = "give --output FILE, which is written in UTF-8, or set PYTHONIOENCODING=utf-8"
            raise CommandError(f"The export is incomplete: {error}; {hint}.") from error
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        end(failures=len(failures))

    def _export(self, write: Any, options: dict[str, Any]) -> None:
        since, output = options["since"], options["output"]
        # `_out` is the stream inside Django's OutputWrapper, which would end every write with a newline.
        target = nullcontext(self.stdout._out) if output is None else replacing(output)
        exported: Any = rows(since)
        # If writing fails, the cursor is still open, and must be closed before its connection.
        with (
            target as stream,
            closing(exported),
            progress(self.stderr, options["verbosity"], partial(count_rows, since), "total", "written") as advance,
        ):
            write(stream, exported, advance)
        if since and options["verbosity"] and (since.month, since.day) != (1, 1):
            self.stderr.write(
                f"The export leaves out all periods that began before {since}, including the year {since.year}. After "
                "an import, all-time totals will lack that year, because they are sums of years. To include it, use "
                f"--since {since.year}-01-01."
            )
