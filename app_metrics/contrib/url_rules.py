"""`APP_METRICS_URLS`: count responses by the name of the URL they answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from asgiref.sync import sync_to_async
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

from ..conf import settings
from ..core.setting_rules import SettingError, entries
from ..core.summary import TIMER
from ..core.validation import MAX_LABELS, check_slug
from ..recording.metrics import record
from .rules import Getter, Parser, Rule, attribute_path, imported

SETTING = "APP_METRICS_URLS"
EXAMPLE = '{"downloads:file": "downloads"}'
# What fires these rules.
MIDDLEWARE = "app_metrics.middleware.MetricsMiddleware"
# The key that stands for the name of every URL, and the label that says which one it was.
EVERY = "*"
URL_LABEL = "url"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
# Stands for every other method, of which a visitor can invent any number.
OTHER_METHOD = "other"
DEFAULT_METHODS = METHODS - {"HEAD", "OPTIONS"} | {OTHER_METHOD}
DEFAULT_STATUSES = frozenset(range(200, 400))
# What a request without a response, whose error propagates to the server, is answered with.
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class EveryRule(Rule):
    """A rule of every URL, told apart by a label that it gives by itself."""

    @property
    def reads(self) -> bool:
        return bool(self.num or self.when or self.labels.keys() - {URL_LABEL})


def record_response(request: HttpRequest, response: HttpResponseBase | None, seconds: float) -> None:
    """Fire the rules of the URL that was resolved, if any; `seconds` is what the response took to make."""
    rules = _matching(request, response)
    if rules:
        _fire(rules, {"request": request, "response": response}, seconds)


async def arecord_response(request: HttpRequest, response: HttpResponseBase | None, seconds: float) -> None:
    """Do the same from an event loop; a rule that reads values may query for them, which needs a thread."""
    rules, source = _matching(request, response), {"request": request, "response": response}
    if any(rule.reads for rule in rules):
        await sync_to_async(_fire)(rules, source, seconds)
    else:
        _fire(rules, source, seconds)


def _matching(request: HttpRequest, response: HttpResponseBase | None) -> list[Rule]:
    match = request.resolver_match
    if match is None:
        return []
    rules = _rules_of(match.view_name)
    if not rules:
        return rules  # most requests of most sites
    method = _method(request)
    status = SERVER_ERROR if response is None else response.status_code
    return [
        rule
        for rule in rules
        if method in rule.options.get("methods", DEFAULT_METHODS)
        and status in rule.options.get("status", DEFAULT_STATUSES)
    ]


def _rules_of(name: str) -> list[Rule]:
    rules = rules_by_view_name()
    own = rules.get(name, [])
    return own + rules.get(EVERY, []) if name != EVERY else own


def _fire(rules: list[Rule], source: Mapping[str, Any], seconds: float) -> None:
    for rule in rules:
        labels = rule.fire(source)
        timer = rule.options.get("timing")
        if timer and labels is not None:
            record(timer, TIMER, seconds, labels)


@cache
def rules_by_view_name() -> Mapping[str, list[Rule]]:
    """Return the rules that are right; `manage.py check` tells the others."""
    return compile_urls(settings.APP_METRICS_URLS)[0]


def compile_urls(setting: Any) -> tuple[dict[str, list[Rule]], list[SettingError]]:
    rules: dict[str, list[Rule]] = {}
    errors: list[SettingError] = []
    try:
        for name, value in entries(SETTING, setting, EXAMPLE):
            rules[name], mistakes = Parser(f"{SETTING}[{name!r}]", _reference, OPTIONS).parse(value)
            errors += mistakes
            if name == EVERY:
                rules[name] = [rule for each in rules[name] if (rule := _told_apart(each, errors))]
    except SettingError as error:
        errors.append(error)
    return rules, errors


def _told_apart(rule: Rule, errors: list[SettingError]) -> Rule | None:
    """Return a rule of every URL with the label that names the URL, unless it gives that label itself."""
    if URL_LABEL in rule.labels:
        return rule
    if len(rule.labels) >= MAX_LABELS:
        hint = f"Name at most {MAX_LABELS - 1} labels: {URL_LABEL!r} comes by itself."
        errors.append(SettingError("E001", f"{rule.origin} has labels that no metric can have.", hint))
        return None
    labels = {URL_LABEL: _view_name, **rule.labels}
    return EveryRule(rule.origin, rule.slug, rule.num, labels, rule.when, rule.options)


def _view_name(source: Mapping[str, Any]) -> Any:
    return source["request"].resolver_match.view_name


def _reference(value: Any) -> Getter:
    if callable(value):
        return lambda source: value(source["request"], source["response"])
    if value == "request.method":
        return lambda source: _method(source["request"])
    root, _, path = value.partition(".")
    if root in ("request", "response"):
        get = attribute_path(path.split(".") if path else ())
        return lambda source: get(source[root])
    return _reference(imported(value, 'a path that begins with "request." or "response."'))


def _method(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else OTHER_METHOD


def _methods(value: Any) -> Collection[str]:
    if isinstance(value, str) or not isinstance(value, Collection) or not set(value) <= METHODS:
        raise SettingError("E001", f"has methods={value!r}", 'List HTTP methods in upper case: ["POST"].')
    return frozenset(value)


def _statuses(value: Any) -> Collection[int]:
    classes = {f"{hundred}xx": range(hundred * 100, hundred * 100 + 100) for hundred in range(1, 6)}
    statuses: set[int] = set()
    for each in value if isinstance(value, (list, tuple, set, frozenset)) else [value]:
        if isinstance(each, str) and each in classes:
            statuses.update(classes[each])
        elif type(each) is int and 100 <= each < 600:
            statuses.add(each)
        else:
            raise SettingError("E001", f"has status={value!r}", 'List classes and codes: ["2xx", 302].')
    return frozenset(statuses)


def _timer_slug(value: Any) -> str:
    try:
        return check_slug(value)
    except (TypeError, ValueError) as error:
        raise SettingError(
            "E007", f"has a bad slug for timing: {error}", 'Name a timer: "checkout_seconds".'
        ) from error


OPTIONS = {"methods": _methods, "status": _statuses, "timing": _timer_slug}


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == SETTING:
        rules_by_view_name.cache_clear()
