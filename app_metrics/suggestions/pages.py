"""Propose rules of URLs: all requests, what failed, and the pages where something happens."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.urls import get_resolver

from ..conf import settings
from ..contrib.url_keys import UNRESOLVED
from ..contrib.url_names import EVERY, matches, shadowed_names, url_names
from .proposals import URLS, Proposal
from .words import snake, words

# Patterns of names that visitors do not open.
LEFT_OUT = ("admin:*", "djdt:*", "app_metrics:*", "silk:*", "hijack:*", "debug_toolbar:*", "health*")
SENT = {"methods": ["POST"]}
OPENED: Mapping[str, Any] = {}
# Word in a name → what counts there.
KEY_WORDS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(("checkout", "contact", "donate", "invite", "submit", "subscribe", "unsubscribe", "upload"), SENT),
    **dict.fromkeys(("vote", "webhook"), SENT),
    **dict.fromkeys(("download", "export", "search"), OPENED),
}
# Words in the namespaces of interfaces for programs, and of pages for the staff.
OF_OTHERS = {"admin", "api", "dashboard", "rest", "staff", "wagtailadmin"}
NAME = re.compile(r"[\w:-]+")
# What gives a request its user.
USERS = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)


class _Requests(NamedTuple):
    app: str
    slug: str
    key: str
    keys: Mapping[str, Any]
    reason: str


def of_urls() -> list[Proposal]:
    """Return the proposals for the URLs of the project. Raises what importing its URLconf raises."""
    names = list(url_names(get_resolver()))
    shadowed = shadowed_names(names)
    known = list(dict.fromkeys(name.name for name in names if name.name not in shadowed and NAME.fullmatch(name.name)))
    excluded = [pattern for pattern in LEFT_OUT if any(matches(pattern, name) for name in known)]
    exclude = {"exclude": excluded} if excluded else {}
    every = [
        _Requests("url", "requests", EVERY, exclude, "all requests, by the name of their URL"),
        _Requests("url", "server_errors", EVERY, {"status": ["5xx"]}, "requests that failed, by the name of their URL"),
        _Requests("url", "not_found", UNRESOLVED, {"status": [404]}, "requests for addresses that no URL has"),
    ]
    if apps.is_installed("django.contrib.auth") and all(each in settings.MIDDLEWARE for each in USERS):
        once = {"unique": "request.user.pk", **exclude}
        every.append(_Requests("url", "active_users", EVERY, once, "users who are logged in, each once in a period"))
    return [_proposal(each) for each in (*every, *_key_pages(name for name in known if not _is_left_out(name)))]


def _key_pages(names: Iterator[str]) -> Iterator[_Requests]:
    """Yield the first page with each of the words."""
    missing = dict(KEY_WORDS)
    for name in names:
        *namespaces, last = name.split(":")
        word = next((word for word in words(last) if word in missing), None)
        app = snake("_".join(namespaces)) or "url"
        if word and not OF_OTHERS & {*words(name)}:
            keys = missing.pop(word)
            how = "each form that is sent there" if keys else "each visit"
            slug = f"{snake(last).removesuffix('_request')}_requests"
            yield _Requests(app, slug, name, keys, f"its name has the word {word!r}; {how} counts")


def _is_left_out(name: str) -> bool:
    return any(matches(pattern, name) for pattern in LEFT_OUT)


def _proposal(requests: _Requests) -> Proposal:
    return Proposal(URLS, requests.key, requests.slug, requests.reason, requests.app, more=requests.keys)
