import json
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from example_project.visits.figures import figures, periods

PRINTED = {"day": 7, "week": 2, "month": 1}


class Command(BaseCommand):
    help = "Print figures of the site's own tables as JSON, and what the terminal and the mail show of them."

    def handle(self, *args: Any, **options: Any) -> None:
        today = timezone.localdate()
        own = {name: figures(*dates) for name, dates in periods(today).items()}
        printed = {slug: tables(slug) for slug in own["today"]}
        mail = call("metrics_send_mail", "--preview=Growth")
        # The day after the others were read: if it is another one, they may belong to either.
        day = timezone.localdate()
        self.stdout.write(json.dumps({"days": [str(today), str(day)], "own": own, "terminal": printed, "mail": mail}))


def tables(slug: str) -> dict[str, str]:
    return {
        period: call("metrics_show", slug, f"--period={period}", f"--last={last}") for period, last in PRINTED.items()
    }


def call(*command: str) -> str:
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()
