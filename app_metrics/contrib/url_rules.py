"""`APP_METRICS_URLS`: count responses by the name of the URL they answer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

from asgiref.sync import sync_to_async
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

from ..conf import settings
from ..core.setting_rules import SettingError, SettingReader
from ..core.summary import TIMER, UNIQUE
from ..core.validation import MAX_LABELS
from ..recording.metrics import record
from .path_checks import check_value_path, request_sample, response_sample
from .paths import Getter, attribute_path, imported
from .rule_keys import read_rules
from .rules import TIMING, Rule
from .url_keys import (
    ANY_STATUS,
    DEFAULT_METHODS,
    DEFAULT_STATUSES,
    EXCLUDE,
    METHODS,
    OTHER_METHOD,
    UNRESOLVED,
    UNRESOLVED_KEYS,
    URL_KEYS,
)
from .url_names import is_pattern, matches

SETTING = "APP_METRICS_URLS"
EXAMPLE = '{"downloads:file": "downloads"}'
# The middleware that fires these rules.
MIDDLEWARE = "app_metrics.middleware.MetricsMiddleware"
# The label that rules of patterns get: the name of the URL.
URL_LABEL = "url"
# The status of a request without a response: its error went on to the server.
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class PatternRule(Rule):
    """A rule for all URLs of a pattern, with a label that names the URL."""

    @property
    def reads(self) -> bool:
        return bool(self.num or self.when or self.labels.keys() - {URL_LABEL})


def record_response(request: HttpRequest, response: HttpResponseBase | None, seconds: float) -> None:
    """Fire the rules of the resolved URL, if any; `seconds` is the time that the response took."""
    rules = _matching(request, response)
    if rules:
        _fire(rules, {"request": request, "response": response}, seconds)


async def arecord_response(request: HttpRequest, response: HttpResponseBase | None, seconds: float) -> None:
    """Fire the rules of a response on an event loop; in a thread if they read values, which may query the database."""
    rules, source = _matching(request, response), {"request": request, "response": response}
    if any(rule.reads for rule in rules):
        await sync_to_async(_fire)(rules, source, seconds)
    else:
        _fire(rules, source, seconds)


def _matching(request: HttpRequest, response: HttpResponseBase | None) -> list[Rule]:
    match = request.resolver_match
    status = SERVER_ERROR if response is None else response.status_code
    return _rules_for(None if match is None else match.view_name, _method(request), status)


@lru_cache(maxsize=4096)
def _rules_for(name: str | None, method: str, status: int) -> list[Rule]:
    """Return the rules for responses of a URL name, or for those that no URL resolved."""
    rules = rules_by_key().get(UNRESOLVED, []) if name is None else rules_of(name)
    return [
        rule
        for rule in rules
        if method in rule.options.get("methods", DEFAULT_METHODS)
        and status in rule.options.get("status", ANY_STATUS if name is None else DEFAULT_STATUSES)
    ]


@lru_cache(maxsize=4096)
def rules_of(name: str) -> list[Rule]:
    """Return the rules of a URL name: its own, and those of patterns."""
    rules = rules_by_key()
    return rules.get(name, []) + [
        rule
        for key, found in rules.items()
        if key != name and matches(key, name)
        for rule in found
        if not excludes(rule, name)
    ]


def excludes(rule: Rule, name: str) -> bool:
    """Return whether a rule of a pattern leaves out a URL name."""
    return any(matches(each, name) for each in rule.options.get(EXCLUDE, ()))


def _fire(rules: list[Rule], source: Mapping[str, Any], seconds: float) -> None:
    for rule in rules:
        labels = rule.fire(source)
        if TIMING in rule.options and labels is not None:
            record(rule.options[TIMING], TIMER, seconds, labels)


@cache
def rules_by_key() -> Mapping[str, list[Rule]]:
    """Return the good rules by URL name or pattern; `manage.py check` reports the others."""
    return compile_urls(settings.APP_METRICS_URLS)[0]


def compile_urls(setting: Any) -> tuple[dict[str, list[Rule]], list[SettingError]]:
    """Return the good rules by URL name or pattern, and the mistakes in the others."""
    reader = SettingReader("E001", SETTING)
    rules: dict[str, list[Rule]] = {}
    for entry, value in reader.entries(setting, EXAMPLE):
        keys = UNRESOLVED_KEYS if entry.key == UNRESOLVED else URL_KEYS
        rules[entry.key] = read_rules(entry, value, _reference, keys)
        if is_pattern(entry.key):
            rules[entry.key] = list(_with_url_label(entry, rules[entry.key]))
    return rules, reader.errors


def _with_url_label(entry: SettingReader, rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield the rules of a pattern, with the label that names the URL unless they have a label of that name.

    Unique counts get no such label: each label set has a sketch in each period, and would say who saw which page.
    """
    for rule in rules:
        if URL_LABEL in rule.labels or rule.kind == UNIQUE:
            yield rule
        elif len(rule.labels) < MAX_LABELS:
            own = {field.name: getattr(rule, field.name) for field in fields(rule)}
            yield PatternRule(**{**own, "labels": {URL_LABEL: _view_name, **rule.labels}})
        else:
            hint = f"Give at most {MAX_LABELS - 1} labels, because the label {URL_LABEL!r} is added."
            entry.errors.append(entry.error("has too many labels", hint))


def _view_name(source: Mapping[str, Any]) -> Any:
    return source["request"].resolver_match.view_name


def _reference(entry: SettingReader, value: Any) -> Getter:
    if callable(value):
        return lambda source: value(source["request"], source["response"])
    if value == "request.method":
        return lambda source: _method(source["request"])
    root, _, path = value.partition(".")
    if root in ("request", "response"):
        names = path.split(".") if path else []
        check_value_path(entry, request_sample() if root == "request" else response_sample(), names)
        get = attribute_path(names)
        return lambda source: get(source[root])
    return _reference(entry, imported(entry, value, 'a path that begins with "request." or "response."'))


def _method(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else OTHER_METHOD


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == SETTING:
        for each in (rules_by_key, rules_of, _rules_for):
            each.cache_clear()
