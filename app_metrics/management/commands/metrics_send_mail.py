from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils.text import slugify

from ...autopilot.jobs import REPORTS
from ...core.plain_text import one_line
from ...models import MetricSet
from ...models.reports import SENT_PERIODS
from ...notifications.outbox import Outcome, Skip, due_notifications, send_notifications
from ...reports.declared_sets import declare
from ...reports.planning import checked_day, chosen_sets, due_deliveries, plan, rehearsal
from ...reports.rendering import Mail
from ...reports.sending import Writer, next_report, rendered, send_reports
from ..arguments import parse_date
from ..base import MetricsCommand, end, note_scheduled
from ..files import replacing
from ..notifications import write_future_marks
from ..output import counted


class Command(MetricsCommand):
    help = "Mail the reports that are due, each only once. It aggregates first. Safe to run at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="List the mails that are due, and send nothing.")
        parser.add_argument("--preview", metavar="SET", help="Show the next reports of a set, and send nothing.")
        parser.add_argument("--html", action="store_true", help="Print the preview's HTML instead of its text.")
        parser.add_argument(
            "--output", type=Path, metavar="FOLDER", help="Write the preview to this folder, as text and HTML."
        )
        parser.add_argument(
            "--set", action="append", dest="sets", metavar="SET", help="Send only this set; can be repeated."
        )
        parser.add_argument("--date", type=parse_date, metavar="YYYY-MM-DD", help="Treat this date as today.")
        parser.add_argument(
            "--force", action="store_true", help="Send the latest reports again, even to recipients who have them."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["preview"] is None and (options["html"] or options["output"] is not None):
            raise CommandError("--html and --output are options of a preview; add --preview SET.")
        try:
            if options["preview"] is not None:
                self._preview(options["preview"], options["date"], options["output"], html=options["html"])
            elif options["dry_run"]:
                self._report_due(options["sets"], options["date"], options["force"])
            else:
                self._send(options["sets"], options["date"], options["force"], options["verbosity"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Sending stopped; run the command again to continue: {error}") from error

    def _send(self, sets: list[str] | None, day: date | None, force: bool, verbosity: int) -> None:
        write_future_marks(self)
        reports = send_reports(sets=sets, day=day, force=force)
        notifications = send_notifications()
        if sets is None and day is None:
            note_scheduled(REPORTS)
        self.complain([*reports.undrained, *reports.problems, *notifications.problems])
        if verbosity:
            self.stdout.write(_summary_line(reports, notifications))
        end(failures=len(reports.undrained), mails=len(reports.problems) + len(notifications.problems))

    def _report_due(self, sets: list[str] | None, day: date | None, force: bool) -> None:
        as_of = checked_day(day)
        with rehearsal():
            declare()
            reports = 0
            for metric_set in chosen_sets(sets):
                plan(metric_set, as_of, force=force)
                reports += self._report_set(metric_set, as_of)
        notifications = list(due_notifications())
        for notification in notifications:
            self.stdout.write(one_line(str(notification)))
        planned = f"{counted(reports, 'report')} and {counted(len(notifications), 'notification')}"
        self.stdout.write(f"{planned} would be sent. Nothing was changed.")

    def _report_set(self, metric_set: MetricSet, as_of: date) -> int:
        """Write a line per due delivery of a set; return how many would be sent."""
        count, writer = 0, Writer(metric_set)
        for delivery in due_deliveries(metric_set, as_of):
            try:
                writer.report(delivery)
            except Skip as skip:
                self.stdout.write(one_line(f"{delivery}: skipped. {skip}"))
            else:
                count += 1
                self.stdout.write(one_line(str(delivery)))
        return count

    def _preview(self, name: str, day: date | None, folder: Path | None, *, html: bool) -> None:
        as_of = checked_day(day)
        with rehearsal():
            declare()
            metric_set = chosen_sets([name])[0]
            periods = metric_set.periods or SENT_PERIODS
            mails = {period: rendered(next_report(metric_set, period, as_of)) for period in periods}
        for period, mail in mails.items():
            if folder is None:
                self.stdout.write(mail.html if html else f"{mail.subject}\n\n{mail.text}")
            else:
                self._write(folder / f"{slugify(name) or 'report'}-{period}", mail)

    def _write(self, path: Path, mail: Mail) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for suffix, text in ((".txt", f"{mail.subject}\n\n{mail.text}"), (".html", mail.html)):
                with replacing(path.with_suffix(suffix)) as stream:
                    stream.write(text)
                self.stdout.write(str(path.with_suffix(suffix)))
        except OSError as error:
            raise CommandError(f"The preview cannot be written: {error}") from error


def _summary_line(reports: Outcome, notifications: Outcome) -> str:
    sent = f"{counted(reports.sent, 'report')} and {counted(notifications.sent, 'notification')}"
    problems = len(reports.problems) + len(notifications.problems)
    return f"Sent {sent}, {reports.skipped} skipped, {problems} with problems."
