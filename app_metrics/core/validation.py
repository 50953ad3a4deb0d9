"""Check slugs, labels, numbers and times that are to be recorded."""

import time
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, Inexact, InvalidOperation
from itertools import chain, islice
from typing import Any

from django.utils.functional import Promise

from ..conf import aliases, time_zone
from ..setting_values import MAX_SLUG_LENGTH as MAX_SLUG_LENGTH
from ..setting_values import is_slug
from .dates import check_year
from .labels import NO_LABELS, decode_labels, encode_labels
from .numbers import DECIMAL_PLACES, EXACT, LARGEST, QUANTUM, Number
from .periods import FIRST_YEAR, LAST_YEAR
from .plain_text import brief
from .summary import COUNTER, KINDS

MAX_NAME_LENGTH = 200
MAX_UNIT_LENGTH = 30
MAX_LABELS = 8
MAX_LABEL_LENGTH = 100
# MariaDB indexes at most 3,072 bytes and PostgreSQL about 2,700: 500 characters of four bytes fit both.
MAX_LABELS_LENGTH = 500
# The longest address that Django's validator accepts (RFC 3696, section 3).
MAX_ADDRESS_LENGTH = 320
# In the middle of a year, because a time zone may move a time into another year.
FIRST_SECOND, LAST_SECOND = (datetime(year, 6, 1, tzinfo=UTC).timestamp() for year in (FIRST_YEAR, LAST_YEAR))

# Slugs and label sets that passed the check: most calls only look them up here.
good_slugs: set[str] = set()
good_labels: dict[tuple[tuple[str, str], ...], str] = {}
known_labels = good_labels.get
MOST_REMEMBERED = 4096
# The number in most calls; it needs no check.
ONE = 1


def check_slug(slug: str) -> str:
    """Return a valid slug. Raises TypeError or ValueError."""
    if not isinstance(slug, str):
        raise TypeError(f"A slug must be a str, not {type(slug).__name__}.")
    slug = exact_str(slug)
    if slug in good_slugs:
        return slug
    if not is_slug(slug):
        raise ValueError(
            f"{slug[:200]!r} is not a slug: use ASCII letters, digits, hyphens and underscores, "
            f"at most {MAX_SLUG_LENGTH}."
        )
    if len(good_slugs) >= MOST_REMEMBERED:
        good_slugs.clear()
    good_slugs.add(slug)
    return slug


def recorded_slug(slug: str) -> str:
    """Return the valid slug that APP_METRICS_ALIASES names for a text, or the slug. Raises TypeError or ValueError."""
    return check_slug(aliases().get(exact_str(slug), slug) if isinstance(slug, str) else slug)


def check_labels(labels: Mapping[str, str] | None) -> str:
    """Return the canonical text of a label set. Raises TypeError or ValueError."""
    if labels is None:
        return NO_LABELS
    if not isinstance(labels, Mapping):
        raise TypeError(f"Labels must be a mapping of str to str, not {type(labels).__name__}.")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"{len(labels)} labels are too many; give at most {MAX_LABELS}.")
    # A mapping of another type may have more items than it says.
    pairs = tuple((_check_label(key), _check_label(value)) for key, value in islice(labels.items(), MAX_LABELS))
    text = encode_labels(dict(pairs))
    if len(text) > MAX_LABELS_LENGTH:
        raise ValueError(f"The labels take {len(text)} characters as JSON; the maximum is {MAX_LABELS_LENGTH}.")
    if len(good_labels) >= MOST_REMEMBERED:
        good_labels.clear()
    good_labels[pairs] = text
    return text


def fit_text(text: str) -> str:
    """Return a text, which may come from a visitor, cut, and without characters that databases refuse."""
    return text.replace("\0", "").encode(errors="replace").decode()[:MAX_LABEL_LENGTH]


def fit_texts(labels: Any) -> Any:
    """Return a label set whose texts may come from a visitor so that it fits; anything else stays as it is."""
    if type(labels) is not dict or not all(type(each) is str for each in chain(labels, labels.values())):
        return labels
    return fit_labels({name: fit_text(value) for name, value in labels.items()})


def fit_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return a label set that is short enough as JSON: its longest values are cut if necessary."""
    if known_labels(tuple(labels.items())):
        return labels

    def cut(longest: int) -> dict[str, str]:
        return {name: value[:longest] for name, value in labels.items()}

    lengths = range(MAX_LABEL_LENGTH + 1)
    return cut(bisect_right(lengths, MAX_LABELS_LENGTH, lo=1, key=lambda longest: len(encode_labels(cut(longest)))) - 1)


def check_key(slug: str, kind: str, labels: str) -> None:
    """Check the key of a series that was read from a message or a store. Raises TypeError or ValueError."""
    check_slug(slug)
    if kind not in KINDS:
        raise ValueError(f"{brief(kind)} is not a kind of metric")
    if labels != NO_LABELS and (len(labels) > MAX_LABELS_LENGTH or encode_labels(decode_labels(labels)) != labels):
        raise ValueError(f"{brief(labels)} is not a label set")


def exact_str(text: str) -> str:
    """Return a text of the type str itself: a subclass may override methods that are called later, and raise."""
    return str.__str__(text)


def storable_text(field: str, text: str | Promise, limit: int | None) -> str:
    """Return a text that a row can hold; a lazy translation is read now. Raises TypeError or ValueError."""
    if isinstance(text, Promise):
        text = str(text)
    if not isinstance(text, str):
        raise TypeError(f"`{field}` must be a str, not {type(text).__name__}.")
    text = exact_str(text)
    if limit and len(text) > limit:
        raise ValueError(f"`{field}` has {len(text)} characters; the maximum is {limit}.")
    if has_refused(text):
        raise ValueError(f"`{field}` contains NUL or a lone surrogate, which databases refuse; remove it.")
    return text


def has_refused(text: str) -> bool:
    """Return whether a text has a character that databases refuse: NUL, or a lone surrogate."""
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def _check_label(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"Labels must map str to str; {brief(text)} is of type {type(text).__name__}.")
    text = exact_str(text)
    if len(text) > MAX_LABEL_LENGTH:
        raise ValueError(f"The label {text[:50]!r}… has {len(text)} characters; the maximum is {MAX_LABEL_LENGTH}.")
    if has_refused(text):
        raise ValueError(f"The label {text!r} contains NUL or a lone surrogate, which databases refuse; remove it.")
    return text


def check_given(number: Number | float | str, kind: str) -> Number | float:
    """Check a number from a caller, who may give it as text, such as "30". Raises TypeError or ValueError."""
    if not isinstance(number, str):
        return check_number(number, kind)
    text = exact_str(number)
    try:
        return check_number(Decimal(text), kind)
    except InvalidOperation:
        raise ValueError(f"{brief(text)} is not a number.") from None


def check_number(number: Number | float, kind: str) -> Number | float:
    """Return the number if it is finite and fits into a total exactly. Raises TypeError or ValueError."""
    if type(number) is int:
        if -LARGEST < number < LARGEST:
            return number
        raise ValueError(f"The number has {number.bit_length()} bits, which is too large; give a number below 10**18.")
    if isinstance(number, float) and kind != COUNTER:
        number = float.__float__(number)
        if -LARGEST < number < LARGEST:  # false for NaN, too
            return number
        raise ValueError(f"{number!r} cannot be recorded; give a finite number below 10**18.")
    if isinstance(number, Decimal):
        return _check_decimal(Decimal(number))
    if isinstance(number, int) and not isinstance(number, bool):
        return check_number(int.__int__(number), kind)
    allowed = "an int or a Decimal" if kind == COUNTER else "an int, a float or a Decimal"
    raise TypeError(f"The number of a {kind} must be {allowed}, not {type(number).__name__}.")


def _check_decimal(number: Decimal) -> Decimal:
    if not number.is_finite() or not -LARGEST < number < LARGEST:
        raise ValueError(f"{number!s:.50} cannot be recorded; give a finite number below 10**18.")
    try:
        return number.quantize(QUANTUM, context=EXACT)
    except Inexact:
        raise ValueError(f"{number!s:.50} has more than {DECIMAL_PLACES} decimal places; round it.") from None


def check_time(at: datetime | None) -> float:
    """Return Unix time in seconds; a naive datetime is in the metrics time zone. Raises TypeError or ValueError."""
    if at is None:
        return time.time()
    if not isinstance(at, datetime):
        raise TypeError(f"`at` must be a datetime, not {type(at).__name__}.")
    check_year(at, "`at`")
    seconds = float(at.replace(tzinfo=at.tzinfo or time_zone()).timestamp())
    if not FIRST_SECOND < seconds < LAST_SECOND:  # true for NaN, which a subclass may return
        raise ValueError(f"`at` is {seconds!r} in Unix time, which is not between {FIRST_YEAR} and {LAST_YEAR}.")
    return seconds
