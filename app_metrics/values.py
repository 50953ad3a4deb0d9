"""What the values of single settings may be, and what to give instead."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from .conf import MAX_CATCH_UP, MAX_CHUNK_SIZE, MAX_FLUSH_INTERVAL, MAX_TIMEOUT


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any, largest: float = float("inf")) -> bool:
    return type(value) is int and 1 <= value <= largest


def _is_number(value: Any, largest: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= largest


def _is_zone(value: Any) -> bool:
    try:
        return value is None or bool(ZoneInfo(value))
    except Exception:
        return False


def _is_prefix(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\w.-]*", value, re.ASCII))


def _is_site(value: Any) -> bool:
    if value is None:
        return True
    # Blanks and line ends do not belong there, and urlsplit() would overlook some.
    if not isinstance(value, str) or any(each.isspace() for each in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:  # "http://[half"
        return False
    return bool(parts.scheme in ("http", "https") and parts.netloc and not parts.query and not parts.fragment)


# Setting → whether a value is good, and what is said of one that is not.
VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "APP_METRICS_DISABLED": (_is_bool, "Give True or False."),
    "APP_METRICS_AUTH": (_is_bool, "Give True or False."),
    "APP_METRICS_CELERY": (_is_bool, "Give True or False."),
    "APP_METRICS_STATSD_TAGS": (_is_bool, "Give True or False."),
    "APP_METRICS_STATSD_PREFIX": (_is_prefix, 'Give letters, digits, "_", "-" and ".", such as "mysite", or "".'),
    "APP_METRICS_STRICT": (lambda value: value is None or _is_bool(value), "Give True, False, or None for DEBUG."),
    "APP_METRICS_TIME_ZONE": (_is_zone, 'Name a time zone such as "Europe/Berlin", or None for TIME_ZONE.'),
    "APP_METRICS_WEEK_START": (lambda value: value in ("monday", "sunday"), 'Give "monday" or "sunday".'),
    "APP_METRICS_MAX_LABEL_SETS": (_is_count, "Give a number of at least 1."),
    "APP_METRICS_RETRY_LIMIT": (_is_count, "Give a number of at least 1."),
    "APP_METRICS_TIMEOUT": (
        lambda value: _is_number(value, MAX_TIMEOUT) and value > 0,
        f"Give seconds, more than 0 and at most {MAX_TIMEOUT}.",
    ),
    "APP_METRICS_FLUSH_INTERVAL": (
        lambda value: _is_number(value, MAX_FLUSH_INTERVAL),
        f"Give seconds, at most {MAX_FLUSH_INTERVAL}, or 0.",
    ),
    "APP_METRICS_CHUNK_SIZE": (
        lambda value: _is_count(value, MAX_CHUNK_SIZE),
        f"Give a number from 1 to {MAX_CHUNK_SIZE}.",
    ),
    "APP_METRICS_SEND_ZERO_ACTIVITY": (_is_bool, "Give True or False."),
    "APP_METRICS_CATCH_UP": (
        lambda value: _is_count(value, MAX_CATCH_UP),
        f"Give a number from 1 to {MAX_CATCH_UP}.",
    ),
    "APP_METRICS_BASE_URL": (_is_site, 'Give the site\'s address, such as "https://example.com", or None.'),
}
