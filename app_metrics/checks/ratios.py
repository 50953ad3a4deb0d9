"""Check the ratios in the settings, and the metrics that they name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError

from ..conf import settings
from ..contrib.configured import configured_rules
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..core.summary import MEASURED, UNIQUE
from ..definitions.discovery import discover
from ..models import Metric
from ..models.discovery import unknown_kinds
from ..models.primary import primary
from ..notifications.alert_rules import SETTING as ALERTS
from ..notifications.alert_rules import compile_alerts
from ..ratios.declared import SETTING, compile_ratios, ratios
from ..ratios.operands import DISTINCT
from ..reports.declared_sets import SETTING as SETS
from ..reports.declared_sets import compile_sets


@register("app_metrics")
def check_ratios(**kwargs: Any) -> list[CheckMessage]:
    mistakes = compile_ratios(settings.APP_METRICS_RATIOS)[1]
    names = (*_named_as_metric(_counted_by_rules()), *_read_as_metric())
    return [each.as_check() for each in (*mistakes, *names, *_without_field(_kinds_by_rules()))]


@register(Tags.database)
def check_slugs_of_ratios(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if not ratios() or settings.APP_METRICS_DATABASE not in (databases or ()):
        return []
    try:
        metrics = primary(Metric.objects)
        kinds = {**unknown_kinds(metrics), **dict(metrics.values_list("slug", "kind"))}
    except DatabaseError:  # not migrated, or not reachable: Django reports that
        return []
    by_rules = _counted_by_rules()
    collisions = _named_as_metric(kinds.keys() - by_rules)
    others = {slug: kind for slug, kind in kinds.items() if slug not in _kinds_by_rules()}
    mistakes = [mistake.as_check() for mistake in (*collisions, *_without_field(others))]
    # `migrate` creates those that are defined only after this check.
    return [*mistakes, *_unknown(kinds.keys() | by_rules | {each.slug for each in discover()})]


def _counted_by_rules() -> set[str]:
    return {slug for rule in configured_rules()[0] for slug in rule.slugs}


def _kinds_by_rules() -> dict[str, str]:
    return {rule.slug: rule.kind for rule in configured_rules()[0]}


def _without_field(kinds: Mapping[str, str]) -> Iterator[SettingError]:
    for name, ratio in ratios().items():
        for operand in sorted({ratio.of, ratio.to}):
            kind = kinds.get(operand.slug)
            if operand.is_percentile and kind and kind not in MEASURED:
                hint = "Only timers and distributions have percentiles: choose another field, or another metric."
                yield _mistake(name, f"reads {operand.field} of the {kind} {operand.slug!r}", hint)
            if operand.field == DISTINCT and kind and kind != UNIQUE:
                hint = "Only unique counts count different ones: choose another field, or another metric."
                yield _mistake(name, f"reads {operand.field} of the {kind} {operand.slug!r}", hint)


def _named_as_metric(slugs: Iterable[str]) -> Iterator[SettingError]:
    for name in sorted(ratios().keys() & set(slugs)):
        yield _mistake(name, "has the name of a metric", "Rename it, so that a name means one of them.")


def _read_as_metric() -> Iterator[SettingError]:
    """Yield a mistake for each set and each alert that names a ratio where a metric belongs."""
    for declared in compile_sets(settings.APP_METRICS_SETS)[0]:
        for name in ratios().keys() & set(declared.metrics):
            place = f"{SETS}[{declared.name!r}]"
            yield _mistake(name, f"is among the metrics of {place}", "Name it under 'ratios' there.")
    for alert in compile_alerts(settings.APP_METRICS_ALERTS)[0].values():
        if alert.metric in ratios() and not alert.ratio:
            place = f"{ALERTS}[{alert.name!r}]"
            yield _mistake(alert.metric, f"is the metric of {place}", "Write 'ratio' instead of 'metric' there.")


def _mistake(name: str, problem: str, hint: str) -> SettingError:
    return SettingReader("E031", SETTING).entry(name).error(problem, hint)


def _unknown(known: Iterable[str]) -> Iterator[CheckMessage]:
    for name, ratio in ratios().items():
        for operand in sorted({ratio.of, ratio.to}):
            if operand.slug not in known:
                close = f"{suggest(operand.slug, sorted(known))} " if known else ""
                yield CheckWarning(
                    f"{SETTING}[{name!r}] names {operand.slug!r}, for which there is no rule and nothing was recorded.",
                    hint=f"{close}If the slug is right, this warning ends with its first event.",
                    id="app_metrics.W025",
                )
