from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from ...aggregation.backlog import backlog
from ...aggregation.intake import gather_from
from ...aggregation.run import Aggregation, aggregate, checked_chunk_size
from ...core.plain_text import one_line
from ...models.pending import is_complete, pending_batches
from ...transport import spool
from ..notifications import end, evaluate_alerts, mail_notices
from ..output import counted
from ..progress import progress


class Command(BaseCommand):
    # An invalid rule must not stop the aggregation of what was counted.
    requires_system_checks = ()
    help = "Add what was recorded to the hourly, daily, weekly, monthly and yearly totals. Safe to run at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what waits, and change nothing.")
        parser.add_argument(
            "--chunk-size", type=int, help="Items per transaction, at most (default: APP_METRICS_CHUNK_SIZE)."
        )
        parser.add_argument(
            "--from",
            dest="backend",
            metavar="BACKEND",
            help="Bring first what waits at the destination of this backend, which was configured before.",
        )
        parser.add_argument(
            "--then-alerts", action="store_true", help="Evaluate the alerts afterwards, as metrics_check_alerts does."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            failures = 0
            if options["dry_run"]:
                self._say_what_waits()
            else:
                failures = self._aggregate(options["chunk_size"], options["verbosity"], options["backend"])
        except (DatabaseError, ValueError) as error:
            raise CommandError(f"Aggregation failed, what was counted before stays counted: {error}") from error
        if not options["dry_run"]:
            failed = evaluate_alerts(self, options["verbosity"]) if options["then_alerts"] else 0
            end(failures=failures, alerts=failed, mails=mail_notices(self, options["verbosity"]))

    def _say_what_waits(self) -> None:
        waiting = backlog()
        age = f", the oldest for {waiting.age:.0f} s" if waiting.items else ""
        self.stdout.write(
            f"{counted(waiting.items, 'item')} {'waits' if waiting.items == 1 else 'wait'}{age}. Nothing was changed."
        )
        elsewhere = sum(len(batch.summaries) for batch in pending_batches().batches)
        if elsewhere:
            self.stdout.write(f"Elsewhere, at the backend's destination: {elsewhere}.")
        if not is_complete():
            self.stderr.write("The backend's destination does not answer; what waits there is not known.")
        spooled = spool.waiting()
        if spooled and spooled.segments:
            self.stdout.write(f"The spool holds {counted(spooled.bytes, 'byte')} more.")

    def _aggregate(self, chunk_size: int | None, verbosity: int, backend: str | None) -> int:
        """Aggregate; return the number of failures to move pending batches to the item log."""
        missed = gather_from(backend) if backend else []
        with self._progress(verbosity, checked_chunk_size(chunk_size)) as advance:
            done = aggregate(chunk_size=chunk_size, on_progress=advance)
        if done.quarantined:
            items = counted(done.quarantined, "item")
            self.stderr.write(f"{items} could not be counted; see the quarantined items in the admin.")
        if verbosity:
            self.stdout.write(_summary_line(done))
        failures = [*missed, *done.failures]
        for failure in failures:
            self.stderr.write(one_line(failure))
        return len(failures)

    @contextmanager
    def _progress(self, verbosity: int, chunk_size: int) -> Iterator[Callable[[int], None] | None]:
        """Show the progress if more than one chunk of items is pending."""
        waiting = backlog().items if verbosity else 0
        if waiting <= chunk_size:
            yield None
        else:
            with progress(self.stdout, waiting, "item", "aggregated") as advance:
                yield advance


def _summary_line(done: Aggregation) -> str:
    return (
        f"Aggregated {counted(done.items, 'item')} in {done.seconds:.2f} s, "
        f"{done.quarantined} quarantined, {backlog().items} waiting."
    )
