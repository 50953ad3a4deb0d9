"""Check the rules in the settings, and the names of URLs that they use."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning
from django.urls import Resolver404, get_resolver, resolve

from ..aggregation.retention import compile_retention
from ..api.access import compile_tokens
from ..conf import settings
from ..contrib.configured import configured_rules
from ..contrib.path_checks import is_text
from ..contrib.rules import Rule
from ..contrib.url_keys import EXCLUDE, UNRESOLVED
from ..contrib.url_names import EVERY, is_pattern, matches, patterns_of, shadowed_names, url_names
from ..contrib.url_rules import SETTING as URLS
from ..contrib.url_rules import rules_by_key
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..dashboard.unused import OTHERS
from ..notifications.alert_rules import compile_alerts
from ..notifications.milestones import compile_milestones
from ..reports.declared_sets import compile_sets


@register("app_metrics")
def check_rules(**kwargs: Any) -> list[CheckMessage]:
    rules, mistakes = configured_rules()
    mistakes = [
        *mistakes,
        *_unknown_urls(),
        *compile_milestones(settings.APP_METRICS_MILESTONES)[1],
        *compile_alerts(settings.APP_METRICS_ALERTS)[1],
        *compile_retention(settings.APP_METRICS_RETENTION)[1],
        *compile_sets(settings.APP_METRICS_SETS)[1],
        *compile_tokens(settings.APP_METRICS_API_TOKENS)[1],
    ]
    return [*(mistake.as_check() for mistake in mistakes), *_text_numbers(rules)]


def _text_numbers(rules: Iterable[Rule]) -> Iterator[CheckMessage]:
    for rule in rules:
        field = getattr(rule.num, "field", None)
        if is_text(field) and not rule.several:
            hint = "Give a field of numbers, or a callable that returns a number."
            message = f"{rule.origin} reads a number from the text field {field}."
            yield CheckWarning(message, hint=hint, id="app_metrics.W020")


def _unknown_urls() -> Iterator[SettingError]:
    rules = rules_by_key()
    if not rules or not getattr(settings, "ROOT_URLCONF", None):
        return
    names = list(url_names(get_resolver()))
    shadowed = shadowed_names(names)
    known = {each.name: each.apps for each in names if each.name not in shadowed}
    for key, found in rules.items():
        entry = SettingReader("E002", URLS).entry(key)
        if key in shadowed:
            message = f"counts nothing, because {shadowed[key]!r} comes first and has the same route"
            instead = f'{shadowed[key]!r} instead, with "methods" if their methods differ'
            yield entry.error(message, f"Name {instead}, or give one of the URLs another route.")
        elif key not in (EVERY, UNRESOLVED):
            yield from _unknown_name(entry, key, known, "is")
        for excluded in {each for rule in found for each in rule.options.get(EXCLUDE, ())}:
            yield from _unknown_name(entry, excluded, known, f"excludes {excluded!r}, which is")


def _unknown_name(
    entry: SettingReader, name: str, known: Mapping[str, Collection[str]], verb: str
) -> Iterator[SettingError]:
    if any(matches(name, each) for each in known):
        return
    # A name of the admin is meant only if it is similar.
    own = [each for each, apps in known.items() if not OTHERS.intersection(apps)]
    if is_pattern(name):
        yield entry.error(
            f"{verb} a pattern of no URL name", suggest(name, _patterns(known) or [*known], _patterns(own))
        )
    elif "/" in name:
        yield entry.error(f"{verb} a path, not a URL name", _hint_for_path(name))
    else:
        yield entry.error(f"{verb} not a URL name", suggest(name, [*known], own))


def _patterns(names: Iterable[str]) -> list[str]:
    return sorted({pattern for each in names for pattern in patterns_of(each)})


def _hint_for_path(path: str) -> str:
    try:
        return f"Write {resolve('/' + path.lstrip('/')).view_name!r}, the name of its URL."
    except Resolver404:
        return "Give the name of a URL, as reverse() takes it."
