"""Clients of Redis, made as the settings say."""

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

# Seconds of each step where nobody's request waits.
PATIENCE = 5.0


def check() -> None:
    """Ask nobody, and raise ImproperlyConfigured where the settings say nothing of which a client can be made."""
    if settings.APP_METRICS_REDIS_CLIENT is None:
        connect()
    else:
        _maker()


def connect(*, patiently: bool = False) -> Any:
    """Return a new client. Raises ImproperlyConfigured, and whatever a function of the project's does.

    A write over a new connection, with all that is asked and answered there, takes `APP_METRICS_TIMEOUT` at most; a
    patient client has several seconds for each step. Neither tries anything again by itself, nor has connected yet. A
    client of `APP_METRICS_REDIS_CLIENT` has the timeouts that it was made with, and may have connected.
    """
    if settings.APP_METRICS_REDIS_CLIENT is not None:
        return _maker()()
    url = settings.APP_METRICS_REDIS_URL
    try:
        parts = parse_url(url)  # type: ignore[no-untyped-call,unused-ignore]
        seconds = PATIENCE if patiently else timeout() / _steps(parts)
        return Redis.from_url(url, **_options(seconds))
    except (ValueError, TypeError, AttributeError) as error:
        raise ImproperlyConfigured(f"APP_METRICS_REDIS_URL is no address of a Redis server: {error}") from error


def _steps(parts: Any) -> int:
    """Return how often a first write waits: for the connection, perhaps AUTH and SELECT, the script, and its text."""
    return 3 + bool(parts.get("username") or parts.get("password")) + bool(parts.get("db"))


def _options(seconds: float) -> dict[str, Any]:
    return {
        "socket_connect_timeout": seconds,
        "socket_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),  # some versions try three times otherwise
        # Without these a new connection asks the server three times more.
        "protocol": 2,
        **({"driver_info": None} if find_spec("redis.driver_info") else {"lib_name": None, "lib_version": None}),
    }


def _maker() -> Callable[[], Any]:
    name, injected = "APP_METRICS_REDIS_CLIENT", settings.APP_METRICS_REDIS_CLIENT
    try:
        make = import_string(injected) if isinstance(injected, str) else injected
    except ImportError as error:
        raise ImproperlyConfigured(f"{name} cannot be imported: {error}") from error
    if not callable(make):
        raise ImproperlyConfigured(f"{name} is {injected!r}; give a callable that returns a client, or its path.")
    return make  # type: ignore[no-any-return]
