"""What the commands share that tell somebody: alerts, and the mails planned about them and about milestones."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from ..alerts import check_alerts
from ..figures import one_line
from ..outbox import Outcome, send_notices


def evaluate_alerts(command: BaseCommand, verbosity: int) -> int:
    """Write a line per change that was told, and one per failure to the error output; return how many failed."""
    try:
        done = check_alerts()
    except DatabaseError as error:
        raise CommandError(f"The alerts could not be evaluated: {error}") from error
    for name, reason in done.failed.items():
        command.stderr.write(f"{one_line(name)}: {reason}")
    if verbosity:
        for state, alerts in (("Fired", done.fired), ("Recovered", done.recovered)):
            for alert in alerts:
                command.stdout.write(f"{state}: {one_line(alert.name)}")
        command.stdout.write(
            f"Evaluated {len(done.evaluated)} alerts, {len(done.fired)} fired, {len(done.recovered)} recovered, "
            f"{len(done.failed)} failed."
        )
    return len(done.failed)


def mail_notices(command: BaseCommand, verbosity: int) -> int:
    """Send the planned notices, with a line to the error output for each problem; return how many there were."""
    outcome = send_notices()
    write_problems(command, [outcome])
    if verbosity and outcome.sent:
        command.stdout.write(f"Sent {outcome.sent} notices.")
    return len(outcome.problems)


def write_problems(command: BaseCommand, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        for problem in outcome.problems:
            command.stderr.write(one_line(problem))


def end(*, alerts: int = 0, mails: int = 0) -> None:
    """Raise CommandError where alerts failed, or mails did."""
    failures = []
    if alerts:
        failures.append(f"Alerts that could not be evaluated: {alerts}.")
    if mails:
        failures.append(f"Mails that failed or are undecided: {mails}. What failed is tried again by the next run.")
    if failures:
        raise CommandError(" ".join(failures))
