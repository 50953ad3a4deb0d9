"""Warn of two rules that count one event as the same metric."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning
from django.core.signals import got_request_exception
from django.urls import get_resolver

from ..conf import settings
from ..contrib.auth import SETTING as AUTH
from ..contrib.auth import auth_models, auth_signals
from ..contrib.model_rules import compile_models
from ..contrib.rules import Rule
from ..contrib.signal_rules import compile_signals
from ..contrib.track import counted_by_track
from ..contrib.url_keys import DEFAULT_METHODS, DEFAULT_STATUSES, METHODS, OTHER_METHOD, UNRESOLVED
from ..contrib.url_names import url_names
from ..contrib.url_rules import rules_by_key, rules_of
from ..core.summary import COUNTER

# The events of a model that a signal with another name is sent for, too.
SAME_EVENTS = {
    "pre_save": ("created", "updated"),
    "post_save": ("created", "updated"),
    "pre_delete": ("deleted",),
    "post_delete": ("deleted",),
}


@register("app_metrics")
def check_doubled(**kwargs: Any) -> list[CheckMessage]:
    rules = chain(_by_signal(), _by_model(), _by_url())
    # A rule of a pattern meets another one at many URLs.
    found = {(one.slug, one.origin, other.origin): None for each in rules for one, other in _doubled(each)}
    return [_warning(*each) for each in found]


def _warning(slug: str, one: str, other: str) -> CheckMessage:
    by = f"Two rules of {one}" if one == other else f"{one} and {other}"
    return CheckWarning(
        f"{by} count the same events as {slug!r}, so each counts twice.",
        hint="Remove one of them, or give it another slug.",
        id="app_metrics.W023",
    )


def _doubled(rules: Iterable[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Yield the pairs of rules for one event that certainly count it twice.

    Two rules that both have conditions may exclude each other, and rules with numbers may add parts of one amount.
    """
    counting = [rule for rule in rules if rule.kind == COUNTER and rule.num is None]
    for one, other in combinations(counting, 2):
        if one.slug == other.slug and not (one.when and other.when) and _have_common_responses(one, other):
            yield one, other


def _have_common_responses(one: Rule, other: Rule) -> bool:
    """Return whether rules of a URL count any method and status that is the same; True for other rules."""
    return all(
        not one.options.get(key, default).isdisjoint(other.options.get(key, default))
        for key, default in (("methods", DEFAULT_METHODS), ("status", DEFAULT_STATUSES))
    )


def _by_signal() -> Iterable[list[Rule]]:
    found: dict[Hashable, list[Rule]] = defaultdict(list)
    for signal, rules in compile_signals(settings.APP_METRICS_SIGNALS)[0]:
        found[signal] += rules
    for signal, rules in compile_signals(auth_signals())[0]:
        found[signal] += _of_auth(rules)
    return found.values()


def _by_model() -> Iterable[list[Rule]]:
    found: dict[Hashable, list[Rule]] = defaultdict(list)
    compiled = compile_models(settings.APP_METRICS_MODELS)[0]
    compiled += [(model, event, _of_auth(rules)) for model, event, rules in compile_models(auth_models())[0]]
    for model, event, rules in compiled:
        for each in SAME_EVENTS.get(event, (event,)):
            found[model, each] += rules
    return found.values()


def _of_auth(rules: Iterable[Rule]) -> list[Rule]:
    return [replace(rule, origin=AUTH) for rule in rules]


def _by_url() -> Iterator[list[Rule]]:
    keys = rules_by_key()
    if not keys or not getattr(settings, "ROOT_URLCONF", None):
        return
    yield keys.get(UNRESOLVED, [])
    views: dict[str, list[Any]] = defaultdict(list)
    for each in url_names(get_resolver()):
        views[each.name].append(each.view)
    raised = _of_exceptions()
    for name, found in views.items():
        yield [*rules_of(name), *_by_track(name, found), *raised]


def _of_exceptions() -> list[Rule]:
    """Return the rules on the signal of an exception as rules of a URL: each exception makes a response with 500."""
    options = {"methods": METHODS | {OTHER_METHOD}, "status": frozenset({500})}
    compiled = compile_signals(settings.APP_METRICS_SIGNALS)[0]
    found = chain.from_iterable(rules for signal, rules in compiled if signal is got_request_exception)
    return [replace(rule, options=options) for rule in found]


def _by_track(name: str, views: Iterable[Any]) -> list[Rule]:
    """Return rules that stand for `@track` on the views of a URL name."""
    slugs = {slug: None for view in views for slug in counted_by_track(view)}
    return [Rule(f"@track({slug!r}) on the view of {name!r}", slug) for slug in slugs]
