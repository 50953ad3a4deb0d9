from argparse import Action, ArgumentError, ArgumentParser, _AppendAction
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class MetricsCommand(BaseCommand):
    """Reads an option that `call_command()` gives as text like one on the command line."""

    # An invalid rule must not stop a command.
    requires_system_checks = ()

    def execute(self, *args: Any, **options: Any) -> Any:
        parser = self.create_parser("manage.py", "")
        for action in parser._actions:
            if isinstance(options.get(action.dest), str):
                options[action.dest] = _read(parser, action, options[action.dest])
        return super().execute(*args, **options)


def _read(parser: ArgumentParser, action: Action, text: str) -> Any:
    """Return the value of an option. Raises CommandError if the text is bad."""
    try:
        value = parser._get_value(action, text)
        parser._check_value(action, value)
    except ArgumentError as error:
        raise CommandError(f"Error: {error}") from error
    # An argument that can be repeated has a list.
    return [value] if action.nargs == "*" or isinstance(action, _AppendAction) else value
