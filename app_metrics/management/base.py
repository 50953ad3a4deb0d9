import sys
from argparse import Action, ArgumentError, ArgumentParser, _AppendAction
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from ..adoption import missing_tables
from ..autopilot import lease
from ..core.plain_text import one_line


class MetricsCommand(BaseCommand):
    """Reads an option that `call_command()` gives as text like one on the command line.

    An error of the database ends it with CommandError; if migrations or the adoption are missing, it says so.
    """

    # An invalid rule must not stop a command.
    requires_system_checks = ()

    def execute(self, *args: Any, **options: Any) -> Any:
        parser = self.create_parser("manage.py", "")
        for action in parser._actions:
            if isinstance(options.get(action.dest), str):
                options[action.dest] = _read(parser, action, options[action.dest])
        try:
            return super().execute(*args, **options)
        except (CommandError, DatabaseError) as error:
            failed = error if isinstance(error, DatabaseError) else error.__cause__
            if isinstance(failed, DatabaseError) and (cure := missing_tables.cure()):
                raise CommandError(cure) from error
            if isinstance(error, CommandError):
                raise
            raise CommandError(f"The database failed: {error}") from error

    def complain(self, problems: Iterable[str]) -> None:
        """Write a line per problem to stderr."""
        for problem in problems:
            self.stderr.write(one_line(problem))


def note_scheduled(job: str) -> None:
    """Note that a scheduler has done a job, so that the autopilot leaves it alone; a person at a terminal is none."""
    if not (sys.stdin and sys.stdin.isatty()):
        with suppress(DatabaseError):  # a missing table must not fail what is done already
            lease.note_scheduled(job)


def end(*said: str, failures: int = 0, alerts: int = 0, mails: int = 0) -> None:
    """Raise CommandError, which ends a command with the exit code 1, if there is anything to say.

    The numbers are those of failures to drain pending batches, of alerts that failed, and of mails that failed or are
    undecided.
    """
    problems = list(said)
    if failures:
        problems.append("Some pending batches could not be drained; the next run tries again.")
    if alerts:
        problems.append(f"Alerts that could not be evaluated: {alerts}.")
    if mails:
        problems.append(f"Mails that failed or are undecided: {mails}. The next run retries the failed ones.")
    if problems:
        raise CommandError(" ".join(problems))


def _read(parser: ArgumentParser, action: Action, text: str) -> Any:
    """Return the value of an option. Raises CommandError if the text is bad."""
    try:
        value = parser._get_value(action, text)
        parser._check_value(action, value)
    except ArgumentError as error:
        raise CommandError(f"Error: {error}") from error
    # An argument that can be repeated has a list.
    return [value] if action.nargs == "*" or isinstance(action, _AppendAction) else value
