"""The names of a project's URLs, and patterns of them."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver

# Stands for any text in a pattern. On its own it is the pattern of every name.
EVERY = "*"


class UrlName(NamedTuple):
    """The name of a URL, as in `request.resolver_match.view_name`, its app names, what it matches, and its view."""

    name: str
    apps: frozenset[str]
    route: tuple[str, ...]
    view: Any


def url_names(
    resolver: URLResolver,
    namespaces: tuple[str, ...] = (),
    apps: frozenset[str] = frozenset(),
    route: tuple[str, ...] = ("",),
) -> Iterator[UrlName]:
    """Yield the names of all URLs in order; a name that several URLs share is yielded several times."""
    for pattern in resolver.url_patterns:
        whole = _extended(route, pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield UrlName(":".join((*namespaces, pattern.name or pattern.lookup_str)), apps, whole, pattern.callback)
        else:
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from url_names(pattern, inner, apps | {pattern.app_name} if pattern.app_name else apps, whole)


def shadowed_names(names: Iterable[UrlName]) -> dict[str, str]:
    """Return the names that Django never resolves to, with the name that comes first and has the same route."""
    first: dict[tuple[str, ...], str] = {}
    shadowed = {each.name: first.setdefault(each.route, each.name) for each in names}
    reached = set(first.values())
    return {name: other for name, other in shadowed.items() if name not in reached}


def _extended(route: tuple[str, ...], pattern: Any) -> tuple[str, ...]:
    """Append a pattern to a route: a regular expression without names of groups, followed by its converters."""
    text = re.sub(r"\?P<\w+>", "", pattern.regex.pattern.removeprefix("^"))
    return (route[0] + text, *route[1:], *(str(type(each)) for each in pattern.converters.values()))


def is_pattern(name: str) -> bool:
    return EVERY in name


def patterns_of(name: str) -> list[str]:
    """Return the patterns that a URL name suggests: its beginnings that end with ":", "_" or "-"."""
    return [f"{name[: separator.end()]}{EVERY}" for separator in re.finditer("[:_-]", name)]


def matches(pattern: str, name: str) -> bool:
    """Return whether a URL name, or a pattern such as "admin:*", stands for a URL name."""
    return pattern == name or (is_pattern(pattern) and _expression(pattern).fullmatch(name) is not None)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split(EVERY))), re.DOTALL)
