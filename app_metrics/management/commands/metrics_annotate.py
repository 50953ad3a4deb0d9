from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from ...models.creation import create_annotation
from ..arguments import parse_moment
from ..base import MetricsCommand
from ..output import fitting


class Command(MetricsCommand):
    help = "Annotate all metrics: say what happened, such as a release, on their charts and in reports."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("text", help='What happened, such as "Release 4.2".')
        parser.add_argument(
            "--at",
            type=parse_moment,
            metavar="TIME",
            help="When it happened, such as 2026-11-23T09:00; without an offset, in the metrics time zone. "
            "Default: now.",
        )
        parser.add_argument("--url", default="", help="The address of a page about it.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            annotation = create_annotation(options["text"], options["at"], options["url"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(fitting(self.stdout, f"Annotated {annotation.moment:%Y-%m-%d %H:%M}: {annotation.text}"))
