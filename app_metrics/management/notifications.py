"""Functions of the commands that evaluate alerts or send mails."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from ..core.plain_text import one_line
from ..notifications.alerts import check_alerts
from ..notifications.future_marks import future_marks
from ..notifications.outbox import Outcome, send_notices
from .output import counted, fitting


def evaluate_alerts(command: BaseCommand, verbosity: int) -> int:
    """Evaluate the alerts; write a line per reported change, and one per failure to stderr; return how many failed."""
    try:
        write_future_marks(command)
        done = check_alerts()
    except DatabaseError as error:
        raise CommandError(f"The alerts could not be evaluated: {error}") from error
    for name, reason in done.failed.items():
        command.stderr.write(f"{one_line(name)}: {reason}")
    if verbosity:
        for state, alerts in (("Fired", done.fired), ("Recovered", done.recovered)):
            for alert in alerts:
                command.stdout.write(fitting(command.stdout, f"{state}: {one_line(alert.name)}"))
        command.stdout.write(
            f"Evaluated {counted(len(done.evaluated), 'alert')}, {len(done.fired)} fired, "
            f"{len(done.recovered)} recovered, {len(done.failed)} failed."
        )
    return len(done.failed)


def mail_notices(command: BaseCommand, verbosity: int) -> int:
    """Send the planned notices; write a line per problem to stderr; return the number of problems."""
    outcome = send_notices()
    write_problems(command, [outcome])
    if verbosity and outcome.sent:
        command.stdout.write(f"Sent {counted(outcome.sent, 'notice')}.")
    return len(outcome.problems)


def write_future_marks(command: BaseCommand) -> None:
    """Write a line to stderr for each mark that a run with a wrong clock left in the future."""
    for line in future_marks().lines():
        command.stderr.write(one_line(line))


def write_problems(command: BaseCommand, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        for problem in (*outcome.undrained, *outcome.problems):
            command.stderr.write(one_line(problem))


def end(*, failures: int = 0, alerts: int = 0, mails: int = 0) -> None:
    """Raise CommandError if pending batches could not be drained, alerts failed, or mails failed or are undecided."""
    said = []
    if failures:
        said.append("Some pending batches could not be drained; the next run tries again.")
    if alerts:
        said.append(f"Alerts that could not be evaluated: {alerts}.")
    if mails:
        said.append(f"Mails that failed or are undecided: {mails}. The next run retries the failed ones.")
    if said:
        raise CommandError(" ".join(said))
