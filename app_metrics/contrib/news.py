"""Whether a change of a metric is good or bad news."""

from collections.abc import Iterable, Iterator

from django.contrib.auth.signals import user_login_failed
from django.core.signals import got_request_exception

from ..conf import cached, settings
from ..core.comparisons import DOWN, UP, Comparison
from ..core.dropped import DROPPED_SLUG
from ..core.summary import GAUGE, TIMER
from .auth import auth_signals
from .model_rules import configured
from .rules import Rule
from .signal_rules import compile_signals
from .url_keys import DEFAULT_STATUSES
from .url_rules import rules_by_key

FAILURES = (got_request_exception, user_login_failed)
ERRORS = frozenset(range(400, 600))
OPPOSITE = {UP: DOWN, DOWN: UP}


def news(comparison: Comparison, slug: str) -> str:
    """Return "up" if the change of a metric is good news, "down" if it is bad, "" if it is neither.

    A rise of a counter is good news unless it counts failures, and one of a timer is bad. A gauge may be anything.
    """
    verdict = comparison.verdict
    if verdict not in OPPOSITE or comparison.kind == GAUGE:
        return ""
    return OPPOSITE[verdict] if comparison.kind == TIMER or slug in failures() else verdict


@cached
def failures() -> frozenset[str]:
    """Return the metrics that count failures alone, as far as the settings show it."""
    rules = [*_by_url(), *_by_signal(), *_by_model()]
    others = {rule.slug for rule, is_failure in rules if not is_failure}
    return frozenset({DROPPED_SLUG, *(rule.slug for rule, _ in rules)} - others)


def _by_url() -> Iterator[tuple[Rule, bool]]:
    for rules in rules_by_key().values():
        yield from ((rule, rule.options.get("status", DEFAULT_STATUSES) <= ERRORS) for rule in rules)


def _by_signal() -> Iterable[tuple[Rule, bool]]:
    for setting in (settings.APP_METRICS_SIGNALS, auth_signals()):
        for signal, rules in compile_signals(setting)[0]:
            yield from ((rule, signal in FAILURES) for rule in rules)


def _by_model() -> Iterator[tuple[Rule, bool]]:
    for _, _, rules in configured():
        yield from ((rule, False) for rule in rules)
