from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections

from ...adoption.invariants import Checked
from ...adoption.old_tables import CannotAdopt, OldSet
from ...adoption.run import Plan, adopt, drop, plan, try_out
from ...conf import settings
from ...core.plain_text import one_line
from ..base import MetricsCommand
from ..output import counted, fitting


class Command(MetricsCommand):
    help = "Take over the database of django-app-metrics 0.9 or a fork of it. First stop the site, and back it up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Show what would be done, and change nothing.")
        parser.add_argument(
            "--drop",
            action="store_true",
            help="Drop the old rows, which an adoption keeps in app_metrics_old_* tables.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[settings.APP_METRICS_DATABASE]
        if options["drop"] and options["dry_run"]:
            raise CommandError("Give --dry-run or --drop, not both.")
        try:
            if options["drop"]:
                self._say(f"Dropped {counted(len(drop(connection)), 'table')}.")
                return
            planned = plan(connection)
            self._say(*_changes(planned))
            (try_out if options["dry_run"] else adopt)(connection, planned, self._show)
        except CannotAdopt as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            # Without a cause: the base class would look at it, and name another command.
            raise CommandError(f"The adoption stopped; fix the cause and run it again: {error}") from None
        self._say(*_notes(planned), *_next(dry=options["dry_run"]))

    def _show(self, checked: Checked) -> None:
        self._say(one_line(str(checked)))

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.stdout.write(fitting(self.stdout, line))


def _changes(planned: Plan) -> Iterator[str]:
    """Yield a line for each thing that is not kept as it is."""
    for what, old, new, has_alias in _renamed(planned):
        change = "" if has_alias else " Change the code that records it."
        yield one_line(f"{what} {old} becomes {new}.{change}")
    for each in planned.sets:
        yield from map(one_line, _changes_of(each, planned.names[each.pk]))
    for table, columns in planned.extra.items():
        yield f"The columns of {table} that a fork added are left out: {', '.join(columns)}."
    if planned.strays:
        yield f"{counted(planned.strays, 'row')} of metrics that do not exist are left out."


def _renamed(planned: Plan) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what gets a new slug, the old and the new one, and whether an alias leads there."""
    aliases = planned.aliases
    for what, renamed in (("Metric", planned.renamed_metrics), ("Gauge", planned.renamed_gauges)):
        yield from ((what, old, new, aliases.get(old) == new) for old, new in renamed)


def _changes_of(old: OldSet, name: str) -> Iterator[str]:
    if name != old.name:
        yield f"Metric set {old.name} becomes {name}."
    if old.no_email:
        yield f"Metric set {name} sends no mails, as before: its periods are switched off."
    elif not old.send_daily and (old.send_weekly or old.send_monthly):
        yield f"Metric set {name} is not mailed daily any more: the old version ignored its periods."


def _notes(planned: Plan) -> Iterator[str]:
    if aliases := planned.aliases:
        yield "So that the code of the site keeps counting, add to its settings:"
        yield "APP_METRICS_ALIASES = {"
        yield from (f"    {old!r}: {new!r}," for old, new in aliases.items())
        yield "}"
    if changed := [each for each in _renamed(planned) if not each[-1]]:
        yield "Before you start the site, change the code that records these;"
        yield "otherwise their numbers are added to the metric that has the old slug:"
        yield from (f"    {what.lower()} {one_line(old)}, now {new}" for what, old, new, _ in changed)


def _next(*, dry: bool) -> Iterator[str]:
    if dry:
        yield "Nothing was changed. Run metrics_adopt without --dry-run to do it."
    else:
        yield "Adopted. Run manage.py migrate, then manage.py metrics_aggregate."
        yield "If migrate says that a table exists already, run it with --fake-initial."
        yield "The old rows are kept in app_metrics_old_* tables until you run metrics_adopt --drop."
