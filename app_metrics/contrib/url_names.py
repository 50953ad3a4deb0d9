"""The names of a project's URLs."""

from collections.abc import Iterator
from typing import NamedTuple

from django.urls import URLPattern, URLResolver


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
