"""`APP_METRICS_URLS`: count responses by the name of the URL they answer."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from asgiref.sync import sync_to_async
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

from ..arguments import check_slug
from ..conf import settings
from ..recording import record
from ..summary import TIMER
from .rules import Getter, Parser, Rule, RuleError, attribute_path, entries, imported

SETTING = "APP_METRICS_URLS"
EXAMPLE = '{"downloads:file": "downloads"}'
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
# Stands for every other method, of which a visitor can invent any number.
OTHER_METHOD = "other"
DEFAULT_METHODS = METHODS - {"HEAD", "OPTIONS"} | {OTHER_METHOD}
DEFAULT_STATUSES = frozenset(range(200, 400))
# What a request without a response, whose error propagates to the server, is answered with.
SERVER_ERROR = 500


def record_response(request: HttpRequest, response: HttpResponseBase | None, seconds: float) -> None:
    """Fire the rules of the URL that was resolved, if any; `seconds` is what the response took to make."""
    _fire(_matching(request, response), {"request": request, "response": response}, seconds)


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
    status = SERVER_ERROR if response is None else response.status_code
    return [
        rule
        for rule in rules_by_view_name().get(match.view_name, ())
        if _method(request) in rule.options.get("methods", DEFAULT_METHODS)
        and status in rule.options.get("status", DEFAULT_STATUSES)
    ]


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


def compile_urls(setting: Any) -> tuple[dict[str, list[Rule]], list[RuleError]]:
    rules: dict[str, list[Rule]] = {}
    errors: list[RuleError] = []
    try:
        for name, value in entries(SETTING, setting, EXAMPLE):
            rules[name], mistakes = Parser(f"{SETTING}[{name!r}]", _reference, OPTIONS).parse(value)
            errors += mistakes
    except RuleError as error:
        errors.append(error)
    return rules, errors


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
        raise RuleError("E001", f"has methods={value!r}", 'List HTTP methods in upper case: ["POST"].')
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
            raise RuleError("E001", f"has status={value!r}", 'List classes and codes: ["2xx", 302].')
    return frozenset(statuses)


def _timer_slug(value: Any) -> str:
    try:
        return check_slug(value)
    except (TypeError, ValueError) as error:
        raise RuleError("E007", f"has a bad slug for timing: {error}", 'Name a timer: "checkout_seconds".') from error


OPTIONS = {"methods": _methods, "status": _statuses, "timing": _timer_slug}


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == SETTING:
        rules_by_view_name.cache_clear()
