from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from ...aggregation.retention import EXAMPLE, Limit, expired, limits, prune
from ...autopilot.jobs import PRUNE
from ...storage.ledger import KEPT_DAYS, forget_old, old_rows
from ..base import MetricsCommand, note_scheduled
from ..output import counted
from ..progress import progress


class Command(MetricsCommand):
    help = "Delete totals older than APP_METRICS_RETENTION allows, and the ids of old batches. Safe to run at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Report what would be deleted, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = limits()
            if not chosen and options["verbosity"]:
                self.stdout.write(
                    f"No totals are deleted, because APP_METRICS_RETENTION is empty; set it to {EXAMPLE}."
                )
            for limit in chosen:
                self._prune(limit, options["dry_run"], options["verbosity"])
            self._forget(options["dry_run"], options["verbosity"])
            if not options["dry_run"]:
                note_scheduled(PRUNE)
        except ValueError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Deleting stopped; run the command again to continue: {error}") from error

    def _forget(self, dry_run: bool, verbosity: int) -> None:
        """Delete the ids of batches that are no longer delivered again; write how many, if any."""
        count = old_rows().count() if dry_run else forget_old()
        if count and (dry_run or verbosity):
            rows, end = counted(count, "ledger row"), "would be deleted" if dry_run else "deleted"
            self.stdout.write(f"{rows} of batches that were written more than {KEPT_DAYS} days ago {end}.")

    def _prune(self, limit: Limit, dry_run: bool, verbosity: int) -> None:
        what = f"by {limit.period} from before {limit.before}"
        if dry_run:
            self.stdout.write(f"{counted(expired(limit), 'total')} {what} would be deleted.")
            return
        done = f"by {limit.period} deleted"
        with progress(self.stdout, verbosity, partial(expired, limit), "total", done) as advance:
            deleted = prune(limit, on_progress=advance)
        if verbosity:
            self.stdout.write(f"Deleted {counted(deleted, 'total')} {what}.")
