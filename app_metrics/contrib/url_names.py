"""The names of a project's URLs, and patterns of them."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from django.urls import URLPattern, URLResolver

# Stands for any text in a pattern. On its own it is the pattern of every name.
EVERY = "*"


class UrlName(NamedTuple):
    """A URL's name, as in `request.resolver_match.view_name`, and the app names of its namespaces."""

    name: str
    apps: frozenset[str]


def url_names(
    resolver: URLResolver, namespaces: tuple[str, ...] = (), apps: frozenset[str] = frozenset()
) -> Iterator[UrlName]:
    """Yield the names of all URLs; a name that several URLs share is yielded several times."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield UrlName(":".join((*namespaces, pattern.name or pattern.lookup_str)), apps)
        else:
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from url_names(pattern, inner, apps | {pattern.app_name} if pattern.app_name else apps)


def is_pattern(name: str) -> bool:
    return EVERY in name


def matches(pattern: str, name: str) -> bool:
    """Return whether a URL name, or a pattern such as "admin:*", stands for a URL name."""
    return pattern == name or (is_pattern(pattern) and _expression(pattern).fullmatch(name) is not None)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split(EVERY))), re.DOTALL)
