"""URL names without a hit, and rules that recorded nothing, in the last days."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from django.urls import get_resolver

from ..conf import settings
from ..contrib.configured import configured_rules
from ..contrib.rules import Rule
from ..contrib.url_keys import DEFAULT_METHODS, DEFAULT_STATUSES
from ..contrib.url_names import EVERY, is_pattern, shadowed_names, url_names
from ..contrib.url_rules import (
    MIDDLEWARE,
    URL_LABEL,
    PatternRule,
    rules_by_key,
    rules_of,
)
from ..core.calendar import today
from ..core.labels import OVERFLOW_LABELS, encode_labels, readable_labels
from ..core.summary import COUNTER, MICROSECONDS
from ..core.validation import MAX_LABEL_LENGTH
from .last_seen import date_of, first_recorded, last_recorded

SPANS = (7, 30, 90, 365)
DEFAULT_SPAN = 30

# Namespaces whose URLs are not the project's own.
OTHERS = frozenset({"admin", "app_metrics"})

# The verdicts on a URL name; `Unused` explains the last three.
USED, UNUSED, UNCOUNTED, SHARED, PARTLY, OVERFLOWN = "used", "unused", "uncounted", "shared", "partly", "overflown"

Known = Mapping[tuple[str, str], int]


class Seen(NamedTuple):
    """A URL name or a rule, and the date it was last recorded; None if never. `slug` is a metric of the rule."""

    name: str
    last: date | None
    slug: str = ""


@dataclass(frozen=True, slots=True)
class Unused:
    """The URL names and rules that nothing was recorded for in the last `days`.

    `doubts` holds the URL names that may have had hits, by reason: SHARED, if other rules record the same metric,
    PARTLY, if their rules count only some responses, or OVERFLOWN, if hits may be in the overflow series.
    `uncounted` is the number of URL names that no rule counts. `counts_every` is whether rules of patterns count all
    of them. `since` is the date the pattern of all names began to count, if it did so within these days.
    """

    days: int
    urls: Sequence[Seen]
    doubts: Mapping[str, Sequence[Seen]]
    uncounted: int
    counts_every: bool
    since: date | None
    rules: Sequence[Seen]
    has_middleware: bool


def find_unused(days: int) -> Unused:
    """Return what was unused in the last days; three queries."""
    rules, _ = configured_rules()
    naming = {rule.slug for found in rules_by_key().values() for rule in found if isinstance(rule, PatternRule)}
    known = last_recorded({slug for rule in rules for slug in rule.slugs}, apart=naming)
    evidence = _Evidence(rules, known, int((time.time() - days * 86_400) * MICROSECONDS))
    judged: dict[str, list[Seen]] = defaultdict(list)
    urls = list(url_names(get_resolver()))
    names = sorted({each.name for each in urls if not each.apps & OTHERS} - shadowed_names(urls).keys())
    for name in names:
        judged[evidence.judge(name)].append(Seen(name, _date(evidence.last_hit(name))))
    return Unused(
        days,
        sorted(judged[UNUSED], key=lambda seen: (seen.last or date.min, seen.name)),
        {reason: judged[reason] for reason in (SHARED, PARTLY, OVERFLOWN) if judged[reason]},
        len(judged[UNCOUNTED]),
        all(names_hits(name) for name in names),
        _since(days),
        evidence.idle_rules(),
        MIDDLEWARE in settings.MIDDLEWARE,
    )


def counts_all(rule: Rule) -> bool:
    """Return whether a URL rule counts every hit that a rule without options counts."""
    methods, statuses = _counted(rule)
    if rule.kind != COUNTER or rule.several:  # nothing is recorded without a value
        return False
    return rule.when is None and methods >= DEFAULT_METHODS and statuses >= DEFAULT_STATUSES


def counts_none(rule: Rule) -> bool:
    """Return whether a URL rule counts no hit, such as one for errors."""
    methods, statuses = _counted(rule)
    return methods.isdisjoint(DEFAULT_METHODS) or statuses.isdisjoint(DEFAULT_STATUSES)


def _counted(rule: Rule) -> tuple[frozenset[str], frozenset[int]]:
    """Return the methods and statuses of the responses that a URL rule counts."""
    return rule.options.get("methods", DEFAULT_METHODS), rule.options.get("status", DEFAULT_STATUSES)


def names_hits(name: str) -> bool:
    """Return whether the rule of a pattern counts every hit of a URL, by its name."""
    return any(isinstance(rule, PatternRule) and counts_all(rule) for rule in rules_of(name))


class _Evidence:
    """What the metrics show about hits since a time, in microseconds of Unix time."""

    def __init__(self, rules: Iterable[Rule], known: Known, since: int) -> None:
        self._rules, self._since = list(rules), since
        self._last: dict[str, int] = {}
        for (slug, _), at in known.items():
            self._last[slug] = max(at, self._last.get(slug, 0))
        telling = {slug for rule in self._rules if not counts_none(rule) for slug in rule.slugs}
        self._known = {(slug, labels): at for (slug, labels), at in known.items() if slug in telling}
        self._hits: dict[str, int] = {}
        for (_, labels), at in self._known.items():
            url = _url_of(labels)
            self._hits[url] = max(at, self._hits.get(url, 0))
        self._origins: dict[str, set[str]] = defaultdict(set)
        for rule in self._rules:
            for slug in rule.slugs:
                self._origins[slug].add(rule.origin)
        overflown = [at for (_, labels), at in self._known.items() if labels == OVERFLOW_LABELS]
        self._overflows = max(overflown, default=0) >= since

    def last_hit(self, name: str) -> int | None:
        """Return when a URL was last recorded, by its name or by a metric that only its own rules record."""
        own = [
            self._last[rule.slug]
            for rule in self._rules_of_name(name)
            if self._is_alone(rule) and rule.slug in self._last and not counts_none(rule)
        ]
        hit = self._hits.get(_label(name))
        return max([*own, *([] if hit is None else [hit])], default=None)

    def judge(self, name: str) -> str:
        if (self.last_hit(name) or 0) >= self._since:
            return USED
        own = self._rules_of_name(name)
        telling = [rule for rule in own if counts_all(rule)]
        if any(self._is_idle(rule.slug) for rule in telling):
            return UNUSED
        if names_hits(name):
            return OVERFLOWN if self._overflows and not self._has_series(name) else UNUSED
        if not own:
            return UNCOUNTED
        return SHARED if telling else PARTLY

    def idle_rules(self) -> list[Seen]:
        idle = {
            Seen(rule.origin, _date(self._last.get(slug)), slug)
            for rule in self._rules
            for slug in filter(self._is_idle, rule.slugs)
        }
        return sorted(idle, key=lambda seen: (seen.last or date.min, seen.name, seen.slug))

    def _rules_of_name(self, name: str) -> Sequence[Rule]:
        return () if is_pattern(name) else rules_by_key().get(name, ())

    def _is_alone(self, rule: Rule) -> bool:
        return self._origins[rule.slug] == {rule.origin}

    def _is_idle(self, slug: str) -> bool:
        return self._last.get(slug, 0) < self._since

    def _has_series(self, name: str) -> bool:
        """Return whether a URL has a series of its own, so that none of its hits are in the overflow series."""
        text = encode_labels({URL_LABEL: _label(name)})
        return any(labels == text for _, labels in self._known)


def _label(name: str) -> str:
    return name[:MAX_LABEL_LENGTH]


def _url_of(text: str) -> str:
    """Return the URL name in a label set, or an empty text."""
    return readable_labels(text).get(URL_LABEL, "")


def _date(last_at: int | None) -> date | None:
    return None if last_at is None else date_of(last_at)


def _since(days: int) -> date | None:
    """Return the date on which the pattern of all names began to count, if that is less than `days` ago."""
    slugs = {rule.slug for rule in rules_by_key().get(EVERY, ()) if isinstance(rule, PatternRule) and counts_all(rule)}
    if not slugs:
        return None
    first = first_recorded(slugs, f'"{URL_LABEL}":"') or today()
    return first if first > today() - timedelta(days=days) else None
