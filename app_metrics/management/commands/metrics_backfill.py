from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...transfer.backfill import Filled, backfill, remaining
from ...transfer.source_tables import MetricSource
from ..base import MetricsCommand
from ..output import counted, fitting, minute
from ..progress import progress
from ..source_options import INTERRUPTED, add_source_arguments, aggregate_first, named_source, skipped_undated


class Command(MetricsCommand):
    help = (
        "Fill the past of a metric from the rows that its rules count, up to the start of live counting. It aggregates "
        "first. You can interrupt it and run it again: nothing is counted twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="The metric's slug.")
        add_source_arguments(parser)
        parser.add_argument(
            "--again",
            action="store_true",
            help="Start again from the first row: compare all hours that are over, and add their missing events.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = named_source(options["slug"], options)
        try:
            aggregate_first()
            done = self._backfill(source, options["verbosity"], again=options["again"])
            undated = source.undated()
        except ValueError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError(INTERRUPTED) from error
        except DatabaseError as error:
            raise CommandError(f"Filling stopped; run the command again to continue: {error}") from error
        if done.ahead:
            ahead = f"{source.slug} was filled up to {done.ahead}, which is in the future and counts as unknown; "
            self.stderr.write(f"{ahead}check the clocks of the machines that run commands.")
        if options["verbosity"]:
            self._say(done, undated, source.slug)

    def _backfill(self, source: MetricSource, verbosity: int, *, again: bool) -> Filled:
        with progress(self.stderr, verbosity, partial(remaining, source, again=again), "row", "read") as advance:
            return backfill(source, again=again, on_progress=advance)

    def _say(self, done: Filled, undated: int, slug: str) -> None:
        for line in (*_skipped_lines(done, undated), *_lines(done, slug)):
            self.stdout.write(fitting(self.stdout, line))


def _skipped_lines(done: Filled, undated: int) -> list[str]:
    lines = []
    if undated:
        lines.append(f"{skipped_undated(undated)}.")
    if done.skipped:
        why = (
            "1 row was skipped because its rule raised an error"
            if done.skipped == 1
            else f"{done.skipped} rows were skipped because their rule raised an error"
        )
        lines.append(f"{why}; the log shows it. Fix the rule or the rows, then add the missing events with --again.")
    return lines


def _lines(done: Filled, slug: str) -> list[str]:
    if done.until is None:
        return [f"There are no rows to fill {slug!r} from."]
    if done.was_finished:
        already = f"{slug!r} is filled up to {minute(done.until)} already; nothing was changed."
        return [f"{already} Use --again to compare all hours."]
    did = f"Read {counted(done.rows, 'row')}, added {counted(done.events, 'event')} to {slug!r}"
    lines = [f"{did}: it is filled up to {minute(done.until)}."]
    if done.is_finished:
        lines.append("Later events were counted live, so the metric is complete.")
    elif done.again_at:
        lines.append(
            f"Live counting began too recently to fill all hours; run this again after {minute(done.again_at)}."
        )
    else:
        lines.append("No later event has been counted live yet; run this again once one has.")
    return lines
