from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from ...suggestions.rendering import settings_block, settings_lines
from ...suggestions.suggest import Suggestions, suggest
from ..base import MetricsCommand
from ..output import counted, fitting
from ..rules_module import DEFAULT, module_name, rules_in, write_rules

NOTHING = (
    "There is nothing to propose: what this command looks for is counted already, or the project does not have it."
)
PAST = " Once the settings use them, manage.py metrics_start fills in the past and verifies it."


class Command(MetricsCommand):
    help = (
        "Propose what to count: read the project's models, URL names and signals, look at a sample of its data, and "
        "print settings to paste. It changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--write",
            type=Path,
            metavar=str(DEFAULT),
            help="Write a module with the settings instead, and print the lines that import it.",
        )
        parser.add_argument("--overwrite", action="store_true", help="Replace the file that --write names.")

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["write"]
        if options["overwrite"] and path is None:
            raise CommandError("Give --overwrite only with --write.")
        if path is None:
            found = suggest()
            if found.proposals:
                self._print(settings_block(found))
        else:
            found = self._write(path, overwrite=options["overwrite"])
        self._say(found, path, options["verbosity"])

    def _write(self, path: Path, *, overwrite: bool) -> Suggestions:
        name = module_name(path)
        if path.exists() and not overwrite:
            raise CommandError(f"{path} exists. Give --overwrite to replace it, or another name.")
        found = suggest(rules_in(path))
        if found.proposals:
            write_rules(path, found)
            lines = settings_lines(name, rules_in(path), found.present)
            self._print(f"Wrote {path}. Add these lines to the end of the settings:\n\n{lines}")
        return found

    def _say(self, found: Suggestions, path: Path | None, verbosity: int) -> None:
        self.complain(found.notes)
        if verbosity and not found.proposals:
            self.stderr.write(NOTHING + (f" {path} was not written." if path else ""))
        elif verbosity:
            past = any(each.has_past for each in found.proposals)
            self.stderr.write(f"{counted(len(found.proposals), 'proposal')}.{PAST if past else ''}")

    def _print(self, text: str) -> None:
        self.stdout.write(fitting(self.stdout, text))
