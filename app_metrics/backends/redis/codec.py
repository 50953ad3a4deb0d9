"""Summaries as a bucket holds them: a field names a series, its value adds up exactly.

A value is twelve doubles, which are all the numbers that scripts in Redis have: the count; the total in billionths as
`high × 10**28 + middle × 10**14 + low`; minimum, maximum and last in billionths, and the microseconds of last, each as
`high × 10**14 + low`. The parts are so small that doubles hold and add them exactly.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import chain

from ...core.batch import Batch, Key
from ...core.numbers import DECIMAL_PLACES, EXACT, MAX_DIGITS, Number
from ...core.periods import HOURS
from ...core.summary import Summary
from ...core.validation import check_key

VALUE = "<" + 12 * "d"
LIMB = 10**14
SCALE = 10**DECIMAL_PLACES
LIMIT = 10**MAX_DIGITS
# What doubles cannot tell from the next number.
COUNTS = 2**53

_VALUE = struct.Struct(VALUE)
_AMOUNTS, _MOMENT = struct.Struct("<10d"), struct.Struct("<2d")


def buckets(batch: Batch) -> Iterator[tuple[str, str, bytes]]:
    """Yield the name of each hour of a batch, the fields of its series, a line each, and their values as one text.

    Raises ValueError or ArithmeticError for what no total can hold.
    """
    found: defaultdict[tuple[date, int], tuple[list[str], list[bytes]]] = defaultdict(lambda: ([], []))
    for (slug, kind, labels, day, hour), (count, total, minimum, maximum, last, last_at) in batch.summaries.items():
        fields, values = found[day, hour]
        fields.append(f"{slug} {kind} {labels}")
        values += _amounts(count, total, minimum, maximum, last), _MOMENT.pack(*divmod(last_at, LIMB))
    for (day, hour), (fields, values) in found.items():
        yield bucket_name(day, hour), "\n".join(fields), b"".join(values)


@lru_cache(maxsize=64)
def bucket_name(day: date, hour: int) -> str:
    return f"{day.isoformat()}:{hour:02}"


def decode(name: str, rows: Iterable[tuple[str, bytes]]) -> tuple[dict[Key, Summary], dict[str, str]]:
    """Return the summaries of a bucket's fields and values, and what is none: field and value → reason.

    Raises ValueError where the bucket has the name of no hour.
    """
    day, hour = _hour(name)
    summaries: dict[Key, Summary] = {}
    damaged: dict[str, str] = {}
    for field, value in rows:
        slug, _, rest = field.partition(" ")
        if not rest:
            continue  # how many label sets a slug has
        kind, _, labels = rest.partition(" ")
        try:
            check_key(slug, kind, labels)
            summaries[Key(slug, kind, labels, day, hour)] = _decoded(value)
        except (ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
            damaged[f"{name} {field} {as_text(value)}"] = str(error)
    return summaries, damaged


def as_text(value: str | bytes) -> str:
    """Return what a client answered, whether it decodes answers or not; what is no UTF-8 is escaped."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def as_texts(answer: Mapping[str | bytes, str | bytes]) -> dict[str, str]:
    return {as_text(field): as_text(value) for field, value in answer.items()}


def _hour(name: str) -> tuple[date, int]:
    day, _, hour = name.partition(":")
    if int(hour) not in HOURS:
        raise ValueError(f"{hour!r} is not an hour of a day")
    return date.fromisoformat(day), int(hour)


def _decoded(value: bytes) -> Summary:
    count, high, middle, low, *pairs = map(int, _VALUE.unpack(value))
    if not 1 <= count < COUNTS:
        raise ValueError(f"{count!r} is not a number of events")
    minimum, maximum, last, last_at = (high * LIMB + low for high, low in zip(pairs[::2], pairs[1::2], strict=True))
    total = (high * LIMB + middle) * LIMB + low
    return Summary(count, _number(total), _number(minimum), _number(maximum), _number(last), last_at)


# Most summaries are ones that were there before.
@lru_cache(maxsize=4096)
def _amounts(count: int, total: Number, minimum: Number, maximum: Number, last: Number) -> bytes:
    if count < 1:
        raise ValueError(f"{count!r} is not a number of events")
    whole, low = divmod(_scaled(total, LIMIT), LIMB)
    limbs = (divmod(_scaled(number, LIMB * LIMB), LIMB) for number in (minimum, maximum, last))
    return _AMOUNTS.pack(count, *divmod(whole, LIMB), low, *chain.from_iterable(limbs))


def _scaled(number: Number, limit: int) -> int:
    """Return a number in billionths. Raises Inexact for one that has smaller parts."""
    scaled = number * SCALE if type(number) is int else int(EXACT.to_integral_exact(EXACT.scaleb(number, 9)))
    if not -limit < scaled < limit:
        raise ValueError(f"{number!r} does not fit into a total")
    return scaled


def _number(scaled: int) -> Number:
    if not -LIMIT < scaled < LIMIT:
        raise ValueError(f"{scaled!r} billionths do not fit into a total")
    whole, rest = divmod(scaled, SCALE)
    return EXACT.scaleb(Decimal(scaled), -DECIMAL_PLACES) if rest else whole
