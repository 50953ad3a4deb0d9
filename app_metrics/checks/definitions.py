"""Compare the definitions in code with each other, with the settings and with the database."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connections
from django.db.utils import DatabaseError

from ..conf import settings
from ..contrib.configured import configured_rules
from ..core.dropped import DROPPED_SLUG
from ..core.setting_rules import suggest
from ..core.summary import UNIQUE
from ..definitions.definition import Definition
from ..definitions.discovery import discover
from ..definitions.spelling import resembles
from ..models import Metric
from ..models.primary import primary
from ..notifications.alert_rules import SETTING as ALERTS
from ..notifications.alert_rules import compile_alerts
from ..notifications.milestones import SETTING as MILESTONES
from ..notifications.milestones import compile_milestones
from ..ratios.declared import SETTING as RATIOS
from ..ratios.declared import ratios
from ..reports.declared_sets import SETTING as SETS
from ..reports.declared_sets import compile_sets
from .templates import shown_slugs

Defined = Mapping[str, Definition]


class Use(NamedTuple):
    """A metric that a setting or a template names, with the names of labels; `kind` is "" if that does not say it."""

    origin: str
    slug: str
    labels: Iterable[str] = ()
    kind: str = ""


@register("app_metrics")
def check_definitions(**kwargs: Any) -> list[CheckMessage]:
    definitions = discover()
    if not definitions:
        return []
    defined = {each.slug: each for each in definitions}
    recorded, read = list(_recorded()), list(_read())
    others = {*ratios(), *(each.slug for each in recorded)}
    misspelt = [*_misspelt(recorded, defined), *_misspelt(read, defined, others)]
    return [*_defined_twice(definitions), *misspelt, *_contradictions([*recorded, *read], defined)]


@register(Tags.database)
def check_stored_definitions(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    alias = settings.APP_METRICS_DATABASE
    if not databases or alias not in databases or alias not in connections.settings:
        return []
    defined = {each.slug: each for each in discover()}
    if not defined:
        return []
    try:
        stored = [Use("The database", slug, (), kind) for slug, kind in _stored_kinds()]
    except DatabaseError:  # not migrated, or not reachable: Django reports that
        return []
    by_rules = {DROPPED_SLUG, *(each.slug for each in _recorded())}
    return [*_misspelt(stored, defined, by_rules, " If it is left over, delete it."), *_contradictions(stored, defined)]


def _stored_kinds() -> list[tuple[str, str]]:
    return list(primary(Metric.objects).values_list("slug", "kind"))


def _recorded() -> Iterator[Use]:
    for rule in configured_rules()[0]:
        for slug in rule.slugs:
            yield Use(rule.origin, slug, rule.labels, rule.kind if slug == rule.slug else "")


def _read() -> Iterator[Use]:
    for declared in compile_sets(settings.APP_METRICS_SETS)[0]:
        yield from (Use(f"{SETS}[{declared.name!r}]", slug) for slug in declared.metrics)
    for alert in compile_alerts(settings.APP_METRICS_ALERTS)[0].values():
        if not alert.ratio:
            yield Use(f"{ALERTS}[{alert.name!r}]", alert.metric, alert.labels or ())
    for name, ratio in ratios().items():
        for operand in (ratio.of, ratio.to):
            yield Use(f"{RATIOS}[{name!r}]", operand.slug, dict(operand.labels))
    for slug in compile_milestones(settings.APP_METRICS_MILESTONES)[0]:
        yield Use(f"{MILESTONES}[{slug!r}]", slug)
    yield from (Use(f"The template {name}", slug) for name, slug in shown_slugs())


def _defined_twice(definitions: Iterable[Definition]) -> Iterator[CheckMessage]:
    by_slug = defaultdict(list)
    for each in definitions:
        by_slug[each.slug].append(each)
    for slug, (first, *others) in by_slug.items():
        for other in others:
            if differences := list(_differences(first, other)):
                yield Error(
                    f"{first.module} and {other.module} define {slug!r} in two ways: {', '.join(differences)}.",
                    hint="Define it once, and import it where else it is recorded.",
                    id="app_metrics.E032",
                )


def _differences(one: Definition, other: Definition) -> Iterator[str]:
    for name, first in _said(one).items():
        if first != (second := _said(other)[name]):
            yield f"{name} is {first!r} and {second!r}"


def _said(definition: Definition) -> dict[str, Any]:
    return {"kind": definition.kind, "labels": sorted(definition.labels), **definition.texts}


def _misspelt(
    uses: Iterable[Use], defined: Defined, known: Collection[str] = (), hint: str = ""
) -> Iterator[CheckMessage]:
    for use in dict.fromkeys(each[:2] for each in uses):
        origin, slug = use
        near = next((each for each in defined if resembles(slug, each)), None)
        if near and slug not in defined and slug not in known:
            yield CheckWarning(
                f"{origin} has the metric {slug!r}, which is not defined; {defined[near].module} defines {near!r}.",
                hint=f"Did you mean {near!r}? If there are both, define {slug!r}, too.{hint}",
                id="app_metrics.W027",
            )


def _contradictions(uses: Iterable[Use], defined: Defined) -> Iterator[CheckMessage]:
    for use in uses:
        if definition := defined.get(use.slug):
            yield from chain(_other_kind(use, definition), _unknown_labels(use, definition))


def _other_kind(use: Use, definition: Definition) -> Iterator[CheckMessage]:
    if use.kind not in ("", definition.kind):
        yield CheckWarning(
            f"{use.origin} has {use.slug!r} as a {_noun(use.kind)}; {definition.module} defines it as a "
            f"{_noun(definition.kind)}.",
            hint="Choose one kind, which the metric's form in the admin can change, or give one of them another slug.",
            id="app_metrics.W028",
        )


def _noun(kind: str) -> str:
    return "unique count" if kind == UNIQUE else kind


def _unknown_labels(use: Use, definition: Definition) -> Iterator[CheckMessage]:
    known = sorted(definition.labels)
    for label in sorted({*use.labels} - definition.labels):
        yield CheckWarning(
            f"{use.origin} has the label {label!r} of {use.slug!r}, which {definition.module} does not define.",
            hint=suggest(label, known) if known else f"Define it: labels=[{label!r}].",
            id="app_metrics.W029",
        )
