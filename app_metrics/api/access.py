"""Read access over HTTP: a token whose hash is in the settings, or a user who may view metrics."""

import re
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from ..adoption.missing_tables import MissingTables, curing
from ..conf import settings
from ..core.setting_rules import SettingError, SettingReader
from ..models.metrics import VIEW_PERMISSION

SETTING = "APP_METRICS_API_TOKENS"
METHODS = ("GET", "HEAD")
REFUSED = "You may not read the metrics. Send a valid token, or log in as a user who may view metrics."
HINT = (
    "Give the SHA-256 hash of each token, in lower case. This command prints a token and its hash: "
    'python -c "import hashlib, secrets; t = secrets.token_urlsafe(); print(t, hashlib.sha256(t.encode()).hexdigest())"'
)

_HASH = re.compile("[0-9a-f]{64}")
_HASH_OF_NOTHING = sha256().hexdigest()

View = Callable[..., HttpResponse]
# Returns a response with a status and a message.
Respond = Callable[[int, str], HttpResponse]


def compile_tokens(value: Any) -> tuple[list[str], list[SettingError]]:
    """Return the valid hashes, and the mistakes, which do not contain the value: it may be a token itself."""
    reader = SettingReader("E021", SETTING)
    return reader.read_list(value, HINT, _hash), reader.errors


def _hash(entry: SettingReader, value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise entry.error("is not 64 hex digits in lower case", HINT)
    if value == _HASH_OF_NOTHING:
        raise entry.error("is the hash of an empty token", HINT)
    return value


def may_read(request: HttpRequest) -> bool:
    """Return whether a request may read the metrics. If it has an Authorization header, that alone decides."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and _is_known(token.strip(" "))
    user: Any = getattr(request, "user", None)
    return user is not None and user.is_active and user.has_perm(VIEW_PERMISSION)


def require_read_access(respond: Respond) -> Callable[[View], View]:
    """Restrict a view to GET and HEAD requests that may read the metrics; `respond` answers all others.

    It also says what to do if tables are missing. Access is checked before the view looks anything up, so that a
    refusal does not show which metrics exist.
    """

    def decorate(view: View) -> View:
        @login_not_required
        @csrf_exempt  # a view changes nothing, and a POST gets a refusal in the same format
        @never_cache
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in METHODS:
                response = respond(405, "Only GET and HEAD are allowed.")
                response["Allow"] = ", ".join(METHODS)
            elif not may_read(request):
                response = respond(403, REFUSED)
            else:
                response = _answer(view, respond, request, *args, **kwargs)
            response["X-Content-Type-Options"] = "nosniff"
            return response

        return checked

    return decorate


def _answer(view: View, respond: Respond, *args: Any, **kwargs: Any) -> HttpResponse:
    try:
        with curing():
            return view(*args, **kwargs)
    except MissingTables as missing:
        return respond(503, str(missing))


def _is_known(token: str) -> bool:
    digest = sha256(token.encode(errors="surrogatepass")).hexdigest()
    hashes, _ = compile_tokens(getattr(settings, SETTING))
    # All hashes are compared, so that the response time does not show which one is similar.
    return sum(constant_time_compare(digest, each) for each in hashes) > 0
