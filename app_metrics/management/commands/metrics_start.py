from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.urls import NoReverseMatch, reverse

from ...conf import settings, usable
from ...contrib.auth import models_of
from ...contrib.configured import configured_rules
from ...contrib.model_rules import CompiledRules, compile_models
from ...core.plain_text import one_line
from ...models import Metric, MetricSet
from ...models.creation import create_metric_set
from ...reports.recipients import DASHBOARD
from ...suggestions.present import present
from ...suggestions.proposals import AUTH, MODELS
from ...suggestions.rendering import settings_lines
from ...suggestions.suggest import COMPILERS, Suggestions, suggest
from ...transfer.backfill import Filled, backfill, remaining
from ...transfer.source_tables import MetricSource, sources_of
from ...transfer.verify import count, verify
from ..base import MetricsCommand
from ..output import counted, fitting, minute
from ..progress import progress
from ..rules_module import DEFAULT, module_name, rules_in, write_rules
from ..source_options import INTERRUPTED, aggregate_first

# The metric set that it makes, with as many metrics as a glance takes in.
SET = "First metrics"
SET_SIZE = 8
# Where `runserver` serves a site, unless APP_METRICS_BASE_URL says another address.
LOCAL = "http://127.0.0.1:8000"


class Command(MetricsCommand):
    help = (
        "Begin in one step: write the rules that metrics_suggest proposes, migrate, fill in the past, verify it, and "
        "make a first metric set. It asks first. You can run it again: it continues, and counts nothing twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--write",
            type=Path,
            default=DEFAULT,
            metavar=str(DEFAULT),
            help=f"The module for the rules (default: {DEFAULT}). If it exists, its rules are used as they are.",
        )
        parser.add_argument("--no-input", "--noinput", action="store_false", dest="interactive", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        path, verbosity = options["write"], options["verbosity"]
        name = module_name(path)
        _refuse_mistakes(rules_in(path))
        found = None if path.exists() else suggest()
        self.complain(found.notes if found else ())
        if options["interactive"] and not self._agreed(_plan(path, found)):
            self._say("Nothing was changed.")
            return
        if found and found.proposals:
            write_rules(path, found)
        rules = rules_in(path)
        call_command("migrate", "app_metrics", database=settings.APP_METRICS_DATABASE, verbosity=0, interactive=False)
        problems = self._fill_and_verify(sources_of(_compiled(rules)), verbosity)
        self._say(*_end(name, rules))
        if problems:
            raise CommandError(" ".join(problems))

    def _agreed(self, plan: Sequence[str]) -> bool:
        self._say(*plan)
        try:
            return input("Continue? [y/N] ").strip().lower() in ("y", "yes")
        except EOFError as error:
            raise CommandError("There is nobody to ask. Give --no-input to go ahead.") from error
        except KeyboardInterrupt as error:
            raise CommandError(INTERRUPTED) from error

    def _fill_and_verify(self, sources: Sequence[MetricSource], verbosity: int) -> list[str]:
        """Fill and verify the metrics, and put them into a set; return the problems."""
        problems: dict[str, str] = {}
        try:
            aggregate_first()
            filled = self._fill_each(sources, verbosity, problems)
            differ = [source.slug for source in filled if not self._agrees(source, verbosity)]
            _make_set([source.slug for source in filled])
        except DatabaseError as error:
            # The missing table may be one of the project.
            reason = f"It stopped: {one_line(str(error))}. If a table is missing, run manage.py migrate."
            raise CommandError(f"{reason} Then run the command again to continue.") from error
        except KeyboardInterrupt as error:
            raise CommandError(INTERRUPTED) from error
        return [
            *(f"{slug} was not filled: {problem}" for slug, problem in problems.items()),
            *(f"{slug} differs from its rows: run metrics_verify to see the days." for slug in differ),
        ]

    def _fill_each(
        self, sources: Sequence[MetricSource], verbosity: int, problems: dict[str, str]
    ) -> list[MetricSource]:
        """Fill metrics and return them; note why others cannot be filled, such as gauges."""
        filled = []
        for source in sources:
            try:
                filled.append((source, self._fill(source, verbosity)))
            except ValueError as error:
                problems[source.slug] = one_line(str(error))
        self._say(*_left_out(done for _, done in filled))
        return [source for source, _ in filled]

    def _fill(self, source: MetricSource, verbosity: int) -> Filled:
        with progress(self.stderr, verbosity, partial(remaining, source), "row", f"of {source.slug} read") as ahead:
            done = backfill(source, on_progress=ahead)
        if done.until is None:
            self._say(f"{source.slug}: there are no rows to fill it from")
            return done
        skipped = f", {counted(done.skipped, 'row')} skipped: the log says why" if done.skipped else ""
        added = f"{counted(done.events, 'event')} added up to {minute(done.until)}"
        self._say(f"{source.slug}: {counted(done.rows, 'row')} read, {added}{skipped}")
        return done

    def _agrees(self, source: MetricSource, verbosity: int) -> bool:
        with progress(self.stderr, verbosity, partial(count, source), "row", f"of {source.slug} compared") as advance:
            differ = sum(1 for _ in verify(source, on_progress=advance))
        self._say(
            f"{source.slug}: "
            + (f"{counted(differ, 'day')} differ from the rows" if differ else "all days agree with the rows")
        )
        return not differ

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.stdout.write(fitting(self.stdout, line))


def _plan(path: Path, found: Suggestions | None) -> list[str]:
    first = "use the rules of the settings, because there is nothing to propose"
    if found is None:
        first = f"use the rules of {path}"
    elif found.proposals:
        first = f"write {path} with {counted(len(found.proposals), 'rule')}"
    return [
        "This command will",
        f"- {first},",
        f"- migrate app_metrics in the database {settings.APP_METRICS_DATABASE!r},",
        "- fill in the past of the metrics whose rules have the key backfill, from the rows of the database,",
        "- compare these metrics with the rows,",
        f"- make the metric set {SET!r}, whose reports are not mailed.",
    ]


def _left_out(filled: Iterable[Filled]) -> list[str]:
    if all(done.is_finished or done.until is None for done in filled):
        return []
    return ["Rows after these times belong to an hour or a day that is not over. A later run adds their events."]


def _refuse_mistakes(rules: Mapping[str, Any]) -> None:
    """Raise CommandError if a rule would be left out: `manage.py check` does not read a module that is not imported."""
    mistakes = [
        *configured_rules()[1],
        *(mistake for name, read in COMPILERS.items() if name in rules for mistake in read(rules[name])[1]),
    ]
    if mistakes:
        raise CommandError(f"The rules have a mistake. {one_line(str(mistakes[0]))} {one_line(mistakes[0].hint)}")


def _compiled(rules: Mapping[str, Any]) -> CompiledRules:
    """Return the rules of models in the settings and in the module, which the settings may not import yet."""
    models = {**settings.APP_METRICS_MODELS, **rules.get(MODELS, {})}
    auth = models_of(settings.APP_METRICS_AUTH or rules.get(AUTH))
    return [each for setting in (models, auth) for each in compile_models(setting)[0]]


def _make_set(slugs: Sequence[str]) -> None:
    metrics = {metric.slug: metric for metric in Metric.objects.filter(slug__in=slugs)}
    if metrics and not MetricSet.objects.filter(name=SET).exists():
        create_metric_set(SET, [metrics[slug] for slug in slugs if slug in metrics][:SET_SIZE], no_email=True)


def _end(name: str, rules: Mapping[str, Any]) -> list[str]:
    """Return what is left to do, and where the dashboard is."""
    lines = [_dashboard()]
    if not _is_imported(rules):
        lines += [
            "The settings do not use the rules yet. Add this to their end, and restart the site:",
            "",
            settings_lines(name, rules, present({})),
            "",
            "An hour after that, run metrics_start again: it fills the hours in between.",
        ]
    return lines


def _is_imported(rules: Mapping[str, Any]) -> bool:
    values = {name: (rule, getattr(settings, name)) for name, rule in rules.items()}
    return all(
        rule.items() <= there.items() if isinstance(rule, dict) and isinstance(there, Mapping) else rule == there
        for rule, there in values.values()
    )


def _dashboard() -> str:
    try:
        return f"The dashboard: {str(usable('BASE_URL') or LOCAL).rstrip('/')}{reverse(DASHBOARD)}"
    except NoReverseMatch:
        return "The dashboard is a page of the admin: to see it, add the admin to the URLs of the project."
