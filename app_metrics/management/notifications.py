"""Functions of the commands that evaluate alerts or send mails."""

from django.core.management.base import CommandError
from django.db import DatabaseError

from ..autopilot.jobs import ALERTS
from ..core.plain_text import one_line
from ..notifications.alerts import check_alerts
from ..notifications.future_marks import future_marks
from ..notifications.outbox import send_notifications
from .base import MetricsCommand, note_scheduled
from .output import counted, fitting


def evaluate_alerts(command: MetricsCommand, verbosity: int) -> int:
    """Evaluate the alerts; write a line per reported change, and one per failure to stderr; return how many failed."""
    try:
        write_future_marks(command)
        done = check_alerts()
    except DatabaseError as error:
        raise CommandError(f"The alerts could not be evaluated: {error}") from error
    note_scheduled(ALERTS)
    for name, reason in done.failed.items():
        command.stderr.write(f"{one_line(name)}: {reason}")
    if verbosity:
        for name, reason in done.waiting.items():
            command.stdout.write(fitting(command.stdout, f"{one_line(name)}: {reason}"))
        for state, alerts in (("Fired", done.fired), ("Recovered", done.recovered)):
            for alert in alerts:
                command.stdout.write(fitting(command.stdout, f"{state}: {one_line(alert.name)}"))
        command.stdout.write(
            f"Evaluated {counted(len(done.evaluated), 'alert')}, {len(done.fired)} fired, "
            f"{len(done.recovered)} recovered, {len(done.failed)} failed."
        )
    return len(done.failed)


def mail_notifications(command: MetricsCommand, verbosity: int) -> int:
    """Send the planned notifications; write a line per problem to stderr; return the number of problems."""
    outcome = send_notifications()
    command.complain(outcome.problems)
    if verbosity and outcome.sent:
        command.stdout.write(f"Sent {counted(outcome.sent, 'notification')}.")
    return len(outcome.problems)


def write_future_marks(command: MetricsCommand) -> None:
    """Write a line to stderr for each mark that a run with a wrong clock left in the future."""
    command.complain(future_marks().lines())
