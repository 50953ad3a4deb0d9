"""The keys that only rules of URLs have."""

from collections.abc import Collection, Mapping
from typing import Any

from .rule_keys import KEYS, Key, RuleReader, read_duration, read_slug
from .rules import TIMING
from .url_names import is_pattern

# The key of rules for responses that no URL resolved. Patterns do not match it.
UNRESOLVED = "-"
# What labels of such rules may refer to. All else, such as addresses and headers, a visitor can vary without limit.
BOUNDED = ("request.method", "request.scheme", "request.user", "response.status_code")
EXCLUDE = "exclude"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
# Stands for any other method: a visitor can invent any number of them.
OTHER_METHOD = "other"
DEFAULT_METHODS = METHODS - {"HEAD", "OPTIONS"} | {OTHER_METHOD}
DEFAULT_STATUSES = frozenset(range(200, 400))
ANY_STATUS = frozenset(range(100, 600))


def _methods(reader: RuleReader, value: Any) -> Collection[str]:
    hint = 'List HTTP methods in upper case: ["POST"].'
    methods = frozenset(reader.entry.items("methods", value, hint))
    if not methods <= METHODS:
        raise reader.entry.error(f"has methods={value!r}", hint)
    return methods


def _statuses(reader: RuleReader, value: Any) -> Collection[int]:
    classes = {f"{hundred}xx": range(hundred * 100, hundred * 100 + 100) for hundred in range(1, 6)}
    statuses: set[int] = set()
    for each in value if isinstance(value, (list, tuple, set, frozenset)) else [value]:
        if isinstance(each, str) and each in classes:
            statuses.update(classes[each])
        elif type(each) is int and 100 <= each < 600:
            statuses.add(each)
        else:
            raise reader.entry.error(f"has status={value!r}", 'List status classes and codes: ["2xx", 302].')
    return frozenset(statuses)


def _excluded(reader: RuleReader, value: Any) -> tuple[str, ...]:
    if not is_pattern(reader.entry.key):
        hint = f"Remove it, or make the key a pattern such as {reader.entry.key.rpartition(':')[0] or 'shop'}:*."
        raise reader.entry.error("has the key 'exclude', but the rule is for one URL name", hint)
    hint = 'List URL names and patterns: ["admin:*"].'
    excluded = reader.entry.items(EXCLUDE, value, hint)
    if not all(isinstance(each, str) for each in excluded):
        raise reader.entry.error(f"has {EXCLUDE}={value!r}", hint)
    return tuple(excluded)


def read_timing(reader: RuleReader, value: Any) -> Any:
    if isinstance(value, str):
        return read_slug(reader, value)
    if isinstance(value, Mapping):
        return read_duration(reader, value)
    hint = 'Give the slug of a timer, such as "page_seconds", or two dates: {"from": …, "to": …}.'
    raise reader.entry.error(f"has {TIMING}={value!r}", hint)


URL_KEYS = {
    EXCLUDE: Key(_excluded, 'on a pattern: list of URL names and patterns that it leaves out, such as `["admin:*"]`'),
    "methods": Key(_methods, "list of HTTP methods; default: all but HEAD and OPTIONS"),
    "status": Key(_statuses, 'status codes and classes, such as `["2xx", 302]`; default: any 2xx and 3xx'),
    TIMING: Key(
        read_timing,
        "or the slug of a timer that records the seconds until the response is ready, without the body of a stream",
    ),
}


def _bounded_labels(reader: RuleReader, value: Any) -> Any:
    labels = KEYS["labels"].read(reader, value)
    for path in value.values():
        if isinstance(path, str) and path.startswith(("request", "response")) and not _is_bounded(path):
            hint = f"Use {', '.join(BOUNDED)}, or a callable that returns few values."
            raise reader.entry.error(f"has a label of {path!r}, which a visitor can vary without limit", hint)
    return labels


def _is_bounded(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}.") for each in BOUNDED)


UNRESOLVED_KEYS = {**URL_KEYS, "labels": KEYS["labels"]._replace(read=_bounded_labels)}
