"""Whether a change of a metric is good or bad news."""

from collections.abc import Iterable, Iterator

from django.contrib.auth.signals import user_login_failed
from django.core.signals import got_request_exception

from ..conf import cached, settings
from ..core.comparisons import BETTER, DOWN, NEITHER, UP, Comparison
from ..core.dropped import DROPPED_SLUG
from ..core.summary import GAUGE, TIMER
from ..models import Metric
from .auth import auth_signals
from .configured import configured_rules
from .model_rules import configured
from .rules import Rule
from .signal_rules import compile_signals
from .url_keys import DEFAULT_STATUSES
from .url_rules import rules_by_key

FAILURES = (got_request_exception, user_login_failed)
ERRORS = frozenset(range(400, 600))
OPPOSITE = {UP: DOWN, DOWN: UP}


def news(comparison: Comparison, metric: Metric) -> str:
    """Return "up" if the change of a metric is good news, "down" if it is bad, "" if it is neither."""
    return judged(comparison.verdict, better_of(metric))


def judged(verdict: str, better: str) -> str:
    """Return the same for the verdict of a comparison, and for the change that is good news."""
    if verdict not in OPPOSITE or better not in OPPOSITE:
        return ""
    return verdict if better == UP else OPPOSITE[verdict]


def better_of(metric: Metric) -> str:
    """Return which change of a metric is good news: "up", "down" or "neither".

    The metric says it, or else a rule that records it. Otherwise more is better for a counter that does not count
    failures, and less for one that does and for a timer. A gauge may be anything, and so may a metric that says
    something unknown.
    """
    if said := metric.better or _said_by_rules().get(metric.slug):
        return said if said in BETTER else NEITHER  # loaddata stores any text
    if metric.kind == GAUGE:
        return NEITHER
    return DOWN if metric.kind == TIMER or metric.slug in failures() else UP


@cached
def _said_by_rules() -> dict[str, str]:
    """Return what rules say to be good news by slug; of several rules, what the first one says."""
    rules, _ = configured_rules()
    return {rule.slug: rule.better for rule in reversed(rules) if rule.better}


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
