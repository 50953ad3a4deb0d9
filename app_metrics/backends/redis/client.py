"""Redis clients, created from the settings."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from ...conf import settings, timeout
from ...core.plain_text import brief, has_cut_address
from ...core.setting_rules import refusal, required

# Seconds for each step where no request is waiting.
PATIENCE = 5.0


def check() -> None:
    """Raise ImproperlyConfigured if no client can be created from the settings. Contacts no server."""
    if settings.APP_METRICS_REDIS_CLIENT is None:
        connect()
    else:
        _maker()


def connect(*, patiently: bool = False) -> Any:
    """Return a new client. Raises ImproperlyConfigured, and what `APP_METRICS_REDIS_CLIENT` raises.

    A write over a new connection, with all its round trips, takes at most `APP_METRICS_TIMEOUT`; a patient client has
    five seconds for each round trip. Neither retries, and neither is connected yet. A client of
    `APP_METRICS_REDIS_CLIENT` has its own timeouts and may be connected.
    """
    if settings.APP_METRICS_REDIS_CLIENT is not None:
        return _maker()()
    url = required("REDIS_URL")
    if has_cut_address(url):
        raise refusal("REDIS_URL")
    try:
        parts = parse_url(url)  # type: ignore[no-untyped-call,unused-ignore]
        seconds = PATIENCE if patiently else timeout() / _steps(parts)
        return Redis.from_url(url, **_options(seconds))
    except (ValueError, TypeError, AttributeError):
        raise refusal("REDIS_URL") from None  # the error may quote a part of the password


def _steps(parts: Any) -> int:
    """Return the round trips of a first write: connect, perhaps AUTH and SELECT, EVALSHA, and the script's source."""
    return 3 + bool(parts.get("username") or parts.get("password")) + bool(parts.get("db"))


def _options(seconds: float) -> dict[str, Any]:
    return {
        "socket_connect_timeout": seconds,
        "socket_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),  # some versions try three times otherwise
        # Without these a new connection takes three more round trips.
        "protocol": 2,
        **({"driver_info": None} if find_spec("redis.driver_info") else {"lib_name": None, "lib_version": None}),
    }


def _maker() -> Callable[[], Any]:
    injected = required("REDIS_CLIENT")
    try:
        make = import_string(injected) if isinstance(injected, str) else injected
    except ImportError as error:
        raise ImproperlyConfigured(f"APP_METRICS_REDIS_CLIENT cannot be imported: {brief(error)}") from error
    if not callable(make):
        raise refusal("REDIS_CLIENT")
    return make  # type: ignore[no-any-return]
