"""The encoding of summaries in a bucket: a field names a series, and its value is the summary.

A value consists of doubles, the only numbers that scripts in Redis have. A count is one double. A sum of exact decimals
is three: `high × 10**28 + middle × 10**14 + low` billionths. Any other number, in billionths, and a time, in
microseconds, are two: `high × 10**14 + low`. The parts are so small that doubles hold and add them exactly.

A histogram has a field for each of its buckets: the series and the number of the bucket, separated by a line break. Its
value is the count, in decimal digits. `uniques` describes the field of a unique count.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any

from ...core.batch import Batch, Key
from ...core.histogram import Histogram
from ...core.numbers import DECIMAL_PLACES, EXACT, MAX_DIGITS, Number, read_time
from ...core.periods import HOURS
from ...core.sketches import UNIQUES
from ...core.summary import COUNT, FIELDS, NUMBER, SUM, TIME, Field, Summary, of_kind
from ...core.validation import check_key
from .uniques import packed, unpacked

LIMB = 10**14
SCALE = 10**DECIMAL_PLACES
LIMIT = 10**MAX_DIGITS
# Doubles hold all integers below this one.
COUNTS = 2**53


def limbs(field: Field) -> int:
    """Return how many doubles a field takes."""
    if field.holds == COUNT:
        return 1
    return 3 if field.rule == SUM else 2


# The fields as they follow each other in a value: the time comes last, because most summaries differ in nothing else.
LAYOUT = sorted(FIELDS, key=lambda field: field.holds == TIME)
VALUE = "<" + sum(map(limbs, FIELDS)) * "d"

_VALUE = struct.Struct(VALUE)
_AMOUNTS = [field for field in LAYOUT if field.holds != TIME]
_TIMES = [field.name for field in LAYOUT if field.holds == TIME]
_amounts_of = attrgetter(*(field.name for field in _AMOUNTS))
_PACKED_AMOUNTS, _PACKED_TIME = struct.Struct("<" + sum(map(limbs, _AMOUNTS)) * "d"), struct.Struct("<2d")


def buckets(batch: Batch) -> Iterator[tuple[str, str, bytes, str, bytes]]:
    """Yield the name of each hour of a batch, the fields of its series, one per line, and their values in one string.

    Then a text with a line for each bucket of the histograms: the place of the series, the bucket, and the count; and
    the sketches of unique counts. Raises ValueError or ArithmeticError if a summary does not fit into a total.
    """
    found: defaultdict[tuple[date, int], tuple[list[str], list[bytes], list[str], list[bytes]]]
    found = defaultdict(lambda: ([], [], [], []))
    for (slug, kind, labels, day, hour), summary in batch.summaries.items():
        fields, values, counts, sketches = found[day, hour]
        fields.append(f"{slug} {kind} {labels}")
        values.append(_packed(_amounts_of(summary)))
        values += [_PACKED_TIME.pack(*divmod(getattr(summary, name), LIMB)) for name in _TIMES]
        if summary.histogram is not None:
            counts += [f"{len(fields)} {bucket} {count}" for bucket, count in summary.histogram.counts.items()]
        if summary.uniques is not None:
            sketches.append(packed(len(fields), summary.uniques))
    for (day, hour), (fields, values, counts, sketches) in found.items():
        yield bucket_name(day, hour), "\n".join(fields), b"".join(values), "\n".join(counts), b"".join(sketches)


@lru_cache(maxsize=64)
def bucket_name(day: date, hour: int) -> str:
    return f"{day.isoformat()}:{hour:02}"


def decode(name: str, rows: Iterable[tuple[str, bytes]]) -> tuple[dict[Key, Summary], dict[str, str]]:
    """Return the summaries of a bucket's fields and values, and the damaged ones: field and value → reason."""
    summaries: dict[Key, Summary] = {}
    damaged: dict[str, str] = {}
    series: dict[str, bytes] = {}
    sketches: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for field, value in rows:
        of, is_of_sketch, part = field.partition("\n")
        if is_of_sketch:
            sketches[of][part] = value
        elif " " in field:  # otherwise it is the number of label sets of a slug
            series[field] = value
    for field, value in series.items():
        try:
            key = _key_of(name, field)
            uniques = sketches[field].pop(UNIQUES, None)
            summary = _decoded(value)._replace(
                histogram=_histogram_of(sketches[field]), uniques=None if uniques is None else unpacked(uniques)
            )
            summaries[key] = of_kind(key.kind, summary)
        except (ValueError, TypeError, AttributeError, ArithmeticError, struct.error) as error:
            damaged[f"{name} {field} {as_text(value)}"] = str(error)
    return summaries, damaged


def _key_of(name: str, field: str) -> Key:
    slug, _, rest = field.partition(" ")
    kind, _, labels = rest.partition(" ")
    day, hour = _hour(name)
    check_key(slug, kind, labels)
    return Key(slug, kind, labels, day, hour)


def _histogram_of(counts: Mapping[str, bytes]) -> Histogram | None:
    return Histogram.of({int(bucket): int(as_text(count)) for bucket, count in counts.items()}) if counts else None


def as_text(value: str | bytes) -> str:
    """Return a client's answer as text, whether or not the client decodes answers; invalid UTF-8 is escaped."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def as_texts(answer: Mapping[str | bytes, str | bytes]) -> dict[str, str]:
    return {as_text(field): as_text(value) for field, value in answer.items()}


# The name is the same for all fields of a bucket.
@lru_cache(maxsize=64)
def _hour(name: str) -> tuple[date, int]:
    day, _, hour = name.partition(":")
    if int(hour) not in HOURS:
        raise ValueError(f"{hour!r} is not an hour of a day")
    return date.fromisoformat(day), int(hour)


def _decoded(value: bytes) -> Summary:
    parts = map(int, _VALUE.unpack(value))
    return Summary(**{field.name: _joined(field, islice(parts, limbs(field))) for field in LAYOUT})


def _joined(field: Field, parts: Iterable[int]) -> Any:
    whole = 0
    for part in parts:
        whole = whole * LIMB + part
    if field.holds == COUNT:
        return _count(whole)
    return _number(whole) if field.holds == NUMBER else read_time(whole)


# Most summaries have the same amounts as earlier ones.
@lru_cache(maxsize=4096)
def _packed(amounts: Sequence[Number]) -> bytes:
    return _PACKED_AMOUNTS.pack(*(part for pair in zip(_AMOUNTS, amounts, strict=True) for part in _split(*pair)))


def _split(field: Field, value: Any) -> Sequence[int]:
    if field.holds == COUNT:
        return [_count(value)]
    if limbs(field) == 2:
        return divmod(_scaled(value, LIMB * LIMB), LIMB)
    whole, low = divmod(_scaled(value, LIMIT), LIMB)
    return *divmod(whole, LIMB), low


def _count(number: int) -> int:
    if not 1 <= number < COUNTS:
        raise ValueError(f"{number!r} is not a number of events")
    return number


def _scaled(number: Number, limit: int) -> int:
    """Return a number in billionths. Raises Inexact for a number with more than nine decimal places."""
    scaled = number * SCALE if type(number) is int else int(EXACT.to_integral_exact(EXACT.multiply(number, SCALE)))
    if not -limit < scaled < limit:
        raise ValueError(f"{number!r} does not fit into a total")
    return scaled


def _number(scaled: int) -> Number:
    if not -LIMIT < scaled < LIMIT:
        raise ValueError(f"{scaled!r} billionths do not fit into a total")
    whole, rest = divmod(scaled, SCALE)
    return EXACT.scaleb(Decimal(scaled), -DECIMAL_PLACES) if rest else whole
