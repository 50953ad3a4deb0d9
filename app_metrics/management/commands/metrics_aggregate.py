from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...aggregation.backlog import backlog
from ...aggregation.intake import gather_from
from ...aggregation.run import Aggregation, aggregate, checked_chunk_size
from ...autopilot.jobs import AGGREGATE
from ...models.pending import is_complete
from ...transport import spool
from ..base import MetricsCommand, end, note_scheduled
from ..notifications import evaluate_alerts, mail_notifications
from ..output import counted, duration
from ..progress import progress


class Command(MetricsCommand):
    help = "Add the pending items to the hourly, daily, weekly, monthly and yearly totals. Safe to run at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Report the pending items, and change nothing.")
        parser.add_argument(
            "--chunk-size",
            type=int,
            help="Maximum number of items per transaction (default: APP_METRICS_CHUNK_SIZE).",
        )
        parser.add_argument(
            "--from",
            dest="backend",
            metavar="BACKEND",
            help="First drain the pending batches of this backend, which was configured before.",
        )
        parser.add_argument(
            "--then-alerts", action="store_true", help="Evaluate the alerts afterwards, as metrics_check_alerts does."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            failures = 0
            if options["dry_run"]:
                self._report_pending()
            else:
                failures = self._aggregate(options["chunk_size"], options["verbosity"], options["backend"])
        except (DatabaseError, ValueError) as error:
            raise CommandError(f"Aggregation failed; items aggregated before stay counted: {error}") from error
        if not options["dry_run"]:
            note_scheduled(AGGREGATE)
            failed = evaluate_alerts(self, options["verbosity"]) if options["then_alerts"] else 0
            end(failures=failures, alerts=failed, mails=mail_notifications(self, options["verbosity"]))

    def _report_pending(self) -> None:
        pending = backlog()
        age = f", the oldest for {duration(pending.age)}" if pending.items else ""
        verb = "is" if pending.items == 1 else "are"
        self.stdout.write(f"{counted(pending.items, 'item')} {verb} pending{age}. Nothing was changed.")
        if elsewhere := pending.elsewhere.summaries:
            self.stdout.write(f"{elsewhere} of them {'is' if elsewhere == 1 else 'are'} not in the database yet.")
        if not is_complete():
            self.stderr.write(
                "Some pending batches could not be read, so their items are missing from this number; the log says why."
            )
        spooled = spool.pending()
        if spooled and spooled.segments:
            self.stdout.write(f"The spool holds {counted(spooled.bytes, 'byte')} of pending batches.")

    def _aggregate(self, chunk_size: int | None, verbosity: int, backend: str | None) -> int:
        """Aggregate; return the number of failures to drain pending batches."""
        missed = gather_from(backend) if backend else []
        with self._progress(verbosity, checked_chunk_size(chunk_size)) as advance:
            done = aggregate(chunk_size=chunk_size, on_progress=advance)
        if done.quarantined:
            items = counted(done.quarantined, "item")
            self.stderr.write(f"{items} could not be counted; see the quarantined items in the admin.")
        if verbosity:
            self.stdout.write(_summary_line(done))
        failures = [*missed, *done.failures]
        self.complain(failures)
        return len(failures)

    @contextmanager
    def _progress(self, verbosity: int, chunk_size: int) -> Iterator[Callable[[int], None] | None]:
        """Show the progress if more than one chunk of items is pending."""
        pending = backlog().items if verbosity else 0
        if pending <= chunk_size:
            yield None
        else:
            with progress(self.stdout, verbosity, lambda: pending, "item", "aggregated") as advance:
                yield advance


def _summary_line(done: Aggregation) -> str:
    return (
        f"Aggregated {counted(done.items, 'item')} in {done.seconds:.2f} s, "
        f"{done.quarantined} quarantined, {backlog().items} pending."
    )
