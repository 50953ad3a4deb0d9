from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from ...aggregation import Aggregation, aggregate, backlog, checked_chunk_size
from ..progress import progress
from ..telling import end, evaluate_alerts, mail_notices


class Command(BaseCommand):
    # A mistake in a rule must not keep what was counted from its totals.
    requires_system_checks = ()
    help = "Add what was recorded to the hourly, daily, weekly, monthly and yearly totals. Safe to run at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what waits, and change nothing.")
        parser.add_argument("--chunk-size", type=int, help="Items per transaction (default: APP_METRICS_CHUNK_SIZE).")
        parser.add_argument(
            "--then-alerts", action="store_true", help="Evaluate the alerts afterwards, as metrics_check_alerts does."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["dry_run"]:
                self._say_what_waits()
            else:
                self._aggregate(options["chunk_size"], options["verbosity"])
        except (DatabaseError, ValueError) as error:
            raise CommandError(f"Aggregation failed, what was counted before stays counted: {error}") from error
        if not options["dry_run"]:
            failed = evaluate_alerts(self, options["verbosity"]) if options["then_alerts"] else 0
            end(alerts=failed, mails=mail_notices(self, options["verbosity"]))

    def _say_what_waits(self) -> None:
        waiting = backlog()
        age = f", the oldest for {waiting.age:.0f} s" if waiting.items else ""
        self.stdout.write(f"{waiting.items} items wait{age}. Nothing was changed.")

    def _aggregate(self, chunk_size: int | None, verbosity: int) -> None:
        with self._progress(verbosity, checked_chunk_size(chunk_size)) as advance:
            done = aggregate(chunk_size=chunk_size, on_progress=advance)
        if done.quarantined:
            self.stderr.write(f"{done.quarantined} items could not be counted; see the quarantined items in the admin.")
        if verbosity:
            self.stdout.write(_summary_line(done))

    @contextmanager
    def _progress(self, verbosity: int, chunk_size: int) -> Iterator[Callable[[int], None] | None]:
        """Show a bar on a terminal and plain lines elsewhere, where there is more than one chunk to wait for."""
        waiting = backlog().items if verbosity else 0
        if waiting <= chunk_size:
            yield None
        else:
            with progress(self.stdout, waiting, "items", "aggregated") as advance:
                yield advance


def _summary_line(done: Aggregation) -> str:
    return (
        f"Aggregated {done.items} items in {done.seconds:.2f} s, "
        f"{done.quarantined} quarantined, {backlog().items} waiting."
    )
