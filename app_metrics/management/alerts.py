"""Evaluate the alerts for a command, and say what came of it."""

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from ..alerts import check_alerts
from ..figures import one_line


def run_alerts(command: BaseCommand, verbosity: int) -> None:
    """Write a line per change that was told, and one per failure to the error output.

    Raises CommandError where anything failed.
    """
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
    if done.failed:
        raise CommandError(f"{len(done.failed)} alerts could not be evaluated.")
