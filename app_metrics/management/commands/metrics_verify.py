from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...core.formatting import shown
from ...core.labels import NO_LABELS
from ...core.numbers import plain
from ...core.plain_text import one_line
from ...core.summary import UNIQUE, Summary, headline
from ...transfer.source_tables import MetricSource, configured_slugs
from ...transfer.verify import Difference, count, verify
from ..base import MetricsCommand
from ..output import counted, fitting
from ..progress import progress
from ..source_options import add_source_arguments, named_source, skipped_undated

SHOWN_LINES = 100


class Command(MetricsCommand):
    help = "Compare the totals of metrics with the rows that their rules count. It fails if they differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "slugs", nargs="*", metavar="slug", help="Default: all metrics whose rules have the key `backfill`."
        )
        add_source_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        slugs = options["slugs"] or configured_slugs()
        if not slugs:
            raise CommandError(
                "There is nothing to verify, because no rule in APP_METRICS_MODELS has the key 'backfill'. Add it to a "
                "rule, or give a slug with --model and --field."
            )
        if options["model"] and len(options["slugs"]) != 1:
            raise CommandError("Give exactly one slug with --model.")
        try:
            differ = sum(self._verify(named_source(slug, options), options["verbosity"]) for slug in slugs)
        except (DatabaseError, ValueError) as error:
            raise CommandError(f"The totals could not be compared: {error}") from error
        if differ:
            raise CommandError(
                "1 total differs from its rows." if differ == 1 else f"{differ} totals differ from their rows."
            )

    def _verify(self, source: MetricSource, verbosity: int) -> int:
        """Write a line per difference and a summary; return the number of differences."""
        differ = rows = 0

        def advance(number: int) -> None:
            nonlocal rows
            rows += number
            show(number)

        with progress(self.stderr, verbosity, partial(count, source), "row", "read") as show:
            for difference in verify(source, on_progress=advance):
                differ += 1
                if differ <= SHOWN_LINES or verbosity > 1:
                    self._write(_line(source.slug, difference))
        if differ > SHOWN_LINES and verbosity < 2:
            self._write(f"… and {differ - SHOWN_LINES} more; --verbosity 2 shows them all.")
        if verbosity:
            self._write(_summary_line(source, rows, differ))
        return differ

    def _write(self, text: str) -> None:
        self.stdout.write(fitting(self.stdout, text))


def _summary_line(source: MetricSource, rows: int, differ: int) -> str:
    verdict = ("1 day differs" if differ == 1 else f"{differ} days differ") if differ else "all days agree"
    undated = source.undated()
    left_out = f" {skipped_undated(undated)}." if undated else ""
    return f"{source.slug}: {counted(rows, 'row')} compared, {verdict}.{left_out}"


def _line(slug: str, difference: Difference) -> str:
    day, labels, source, stored = difference
    of = slug if labels == NO_LABELS else f"{slug} {labels}"
    rows, totals = _sums(source, difference), _sums(stored, difference)
    if rows == totals:
        return one_line(f"{day} {of}: the rows and the totals have {rows}, but of others.")
    return one_line(f"{day} {of}: the rows have {rows}; the totals have {totals}.")


def _sums(summary: Summary, difference: Difference) -> str:
    events = counted(summary.count, "event")
    if difference.source.uniques or difference.stored.uniques:
        return f"{events} of {shown(headline(UNIQUE, summary), UNIQUE)} different ones"
    return f"{events}, total {plain(summary.total)}"
