"""The names that the URLs of a project have."""

from collections.abc import Iterator
from typing import NamedTuple

from django.urls import URLPattern, URLResolver


class UrlName(NamedTuple):
    """A URL's name as `request.resolver_match.view_name` spells it, and the apps in whose namespaces it is."""

    name: str
    apps: frozenset[str]


def url_names(
    resolver: URLResolver, namespaces: tuple[str, ...] = (), apps: frozenset[str] = frozenset()
) -> Iterator[UrlName]:
    """Yield the names of all URLs; one that several of them share comes several times."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield UrlName(":".join((*namespaces, pattern.name or pattern.lookup_str)), apps)
        else:
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from url_names(pattern, inner, apps | {pattern.app_name} if pattern.app_name else apps)
