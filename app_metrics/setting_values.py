"""What a setting may be: the kinds of entries in the table of `conf`, and functions that check values."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from django.utils.module_loading import import_string

# MariaDB stores dates from the year 1000; Python's calendar ends with 9999. A year between leaves room for time zones.
MIN_YEAR, MAX_YEAR = 1001, 9997

MAX_SLUG_LENGTH = 100
_SLUG = re.compile(r"[-a-zA-Z0-9_]+")

MAX_RELEASE_LENGTH = 100
# Those of token_urlsafe(16), which are 22, are enough for a secret; shorter texts may be words.
MIN_KEY_LENGTH = 22


def is_slug(text: str) -> bool:
    return len(text) <= MAX_SLUG_LENGTH and bool(_SLUG.fullmatch(text))


def are_aliases(value: Any) -> bool:
    """Return whether a value maps texts that are no slugs to slugs."""
    return isinstance(value, Mapping) and all(
        isinstance(old, str) and not is_slug(old) and isinstance(new, str) and is_slug(new)
        for old, new in value.items()
    )


def is_seconds(value: Any, largest: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= largest


def are_years(value: Any) -> bool:
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(year) is int for year in value)
    return is_pair and MIN_YEAR <= value[0] <= value[1] <= MAX_YEAR


def is_path(value: Any) -> bool:
    try:
        return isinstance(value, (str, os.PathLike)) and bool(os.fspath(value)) and b"\0" not in os.fsencode(value)
    except (TypeError, UnicodeEncodeError):  # a lone surrogate
        return False


def zone(name: Any) -> ZoneInfo | None:
    """Return a time zone; None if there is none of that name, or if the machine has no data about it."""
    try:
        return ZoneInfo(name)
    except Exception:  # of many types: a missing package, a path that is a directory
        return None


def is_zone(value: Any) -> bool:
    # Without time zone data any name is accepted; another check reports that the data is missing.
    return value is None or bool(zone(value)) or (isinstance(value, str) and not zone("UTC"))


def is_prefix(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\w.-]*", value, re.ASCII))


def _parts(value: Any) -> SplitResult | None:
    """Return the parts of an address; None if the value is not an address."""
    # urlsplit() ignores some white space and line ends; an address has none.
    if not isinstance(value, str) or any(each.isspace() for each in value):
        return None
    try:
        parts = urlsplit(value)
        return parts if parts.port != 0 else None
    except ValueError:  # "http://[half", or an invalid port
        return None


def is_web_address(value: Any) -> bool:
    parts = _parts(value)
    return bool(parts and parts.scheme in ("http", "https") and parts.netloc)


def is_site(value: Any) -> bool:
    parts = _parts(value)
    return value is None or bool(parts and is_web_address(value) and not parts.query and not parts.fragment)


def is_statsd(value: Any) -> bool:
    parts = _parts(value)
    return bool(parts and parts.hostname and "@" not in value and value.rstrip("/") == f"udp://{parts.netloc}")


def is_redis(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("redis://", "rediss://", "unix://"))


def are_destinations(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(path, str) and not path.startswith("app_metrics.backends.composite") for path in value
    )


def is_release(value: Any) -> bool:
    """Return whether a value is the name of a release; not whether it is the path of one."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) <= len(value) <= MAX_RELEASE_LENGTH


def is_dotted_path(value: Any) -> bool:
    """Return whether a value looks like the path of a name in a module, as "4.2" does not."""
    return isinstance(value, str) and "." in value and all(part.isidentifier() for part in value.split("."))


def gives_release(value: Any) -> bool:
    """Return whether a value is a release, or a callable that returns one, or the path of either."""
    if is_dotted_path(value):
        try:
            value = import_string(value)
        except Exception:  # whatever the module raises
            return False
    return value is None or callable(value) or is_release(value)


def is_key(value: Any) -> bool:
    return isinstance(value, (str, bytes)) and len(value) >= MIN_KEY_LENGTH


# The id of the check message for a bad value.
BAD_VALUE = "E010"


class Setting(NamedTuple):
    """The default of a setting, the values it may have, and the hint that `manage.py check` gives for any other value.

    By default `is_valid` accepts any value, because the code that reads the setting checks it. A number above `largest`
    counts as `largest`. `code` is the id of the check message for a bad value; one with another id than `BAD_VALUE` is
    reported only by the backend or module that reads it. Messages do not quote a value that `is_secret`.
    """

    default: Any
    is_valid: Callable[[Any], bool] = lambda value: True
    hint: str = ""
    largest: float | None = None
    code: str = BAD_VALUE
    is_secret: bool = False


def switch(default: bool) -> Setting:
    # The package reads a switch by its truth, so that 0 and None mean False although the check reports them.
    return Setting(default, lambda value: isinstance(value, bool), "Give True or False.")


def count(default: int, largest: int | None = None, code: str = BAD_VALUE) -> Setting:
    hint = f"Give a number from 1 to {largest}." if largest else "Give a number of at least 1."
    return Setting(default, lambda value: type(value) is int and 1 <= value <= (largest or value), hint, largest, code)


def seconds(default: float, least: float, largest: float) -> Setting:
    hint = f"Give a number of seconds from {least} to {largest}."
    return Setting(default, lambda value: is_seconds(value, largest) and value >= least, hint, largest)
