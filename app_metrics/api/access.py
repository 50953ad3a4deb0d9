"""Who may read the metrics over HTTP: a token that the settings know, or a user who may view metrics."""

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

from ..conf import settings
from ..core.setting_rules import SettingError

SETTING = "APP_METRICS_API_TOKENS"
PERMISSION = "app_metrics.view_metric"
METHODS = ("GET", "HEAD")
REFUSED = "You may not read the metrics: send a good token, or log in as a user who may view metrics."
HINT = (
    "Give the SHA-256 of each token, in lower case. This makes a token and its hash: "
    'python -c "import hashlib, secrets; t = secrets.token_urlsafe(); print(t, hashlib.sha256(t.encode()).hexdigest())"'
)

_HASH = re.compile("[0-9a-f]{64}")
_HASH_OF_NOTHING = sha256().hexdigest()

View = Callable[..., HttpResponse]
# Makes an answer of a status and a message.
Tell = Callable[[int, str], HttpResponse]


def compile_tokens(value: Any) -> tuple[list[str], list[SettingError]]:
    """Return the hashes, and the mistakes; these do not repeat the value, which may be a token by mistake."""
    if not isinstance(value, (list, tuple)):
        return [], [SettingError("E021", f"{SETTING} is a {type(value).__name__}, not a list.", HINT)]
    hashes: list[str] = []
    errors: list[SettingError] = []
    for number, each in enumerate(value):
        if not isinstance(each, str) or not _HASH.fullmatch(each):
            errors.append(SettingError("E021", f"{SETTING}[{number}] is not 64 hex digits in lower case.", HINT))
        elif each == _HASH_OF_NOTHING:
            errors.append(SettingError("E021", f"{SETTING}[{number}] is the hash of an empty token.", HINT))
        else:
            hashes.append(each)
    return hashes, errors


def may_read(request: HttpRequest) -> bool:
    """Tell whether a request may read the metrics; where it has an Authorization header, that alone decides."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and _is_known(token.strip(" "))
    user: Any = getattr(request, "user", None)
    return user is not None and user.is_active and user.has_perm(PERMISSION)


def door(tell: Tell) -> Callable[[View], View]:
    """Open a view for GET and HEAD to those who may read the metrics; `tell` answers the others.

    That is decided before the view looks anything up, so that nobody else learns which metrics there are.
    """

    def decorate(view: View) -> View:
        @login_not_required
        @csrf_exempt  # nothing changes here, and a refused POST gets the same form of answer
        @never_cache
        @wraps(view)
        def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in METHODS:
                response = tell(405, "Only GET and HEAD are allowed.")
                response["Allow"] = ", ".join(METHODS)
            elif not may_read(request):
                response = tell(403, REFUSED)
            else:
                response = view(request, *args, **kwargs)
            response["X-Content-Type-Options"] = "nosniff"
            return response

        return opened

    return decorate


def _is_known(token: str) -> bool:
    digest = sha256(token.encode(errors="surrogatepass")).hexdigest()
    hashes, _ = compile_tokens(getattr(settings, SETTING))
    # All are compared, so that the time taken does not tell which one is near.
    return sum(constant_time_compare(digest, each) for each in hashes) > 0
