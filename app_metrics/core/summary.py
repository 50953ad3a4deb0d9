"""Fold events into summaries, and merge summaries into those of longer spans.

`Summary` lists their fields and sketches, and all code that stores, sends or reads summaries follows that list. To add
a field, add it there, in `merge`, `single` and `app_metrics.core.batch.Fold`, and as a column in
`app_metrics.models.totals`.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

from .histogram import Histogram, rank_of
from .numbers import (
    COUNT_LIMIT,
    QUANTUM,
    ROUNDING,
    TOTAL_LIMIT,
    Number,
    add,
    digits,
    less,
    read_count,
    read_number,
    read_time,
    trimmed,
)
from .sketches import HISTOGRAM, UNIQUES, decode_sketch, encode_sketch
from .uniques import EXACT as EXACT_UNIQUES
from .uniques import Uniques

COUNTER, GAUGE, TIMER, DISTRIBUTION, UNIQUE = KINDS = ("counter", "gauge", "timer", "distribution", "unique")
# The kinds whose headline is the mean of their numbers, and whose summaries have a histogram of them.
MEASURED = (TIMER, DISTRIBUTION)
# The kinds whose summaries have a sketch.
SKETCHED = (*MEASURED, UNIQUE)
MAX_KIND_LENGTH = 20
MICROSECONDS = 1_000_000

# What a field holds, if it is no sketch: a number of events, an exact decimal, or microseconds of Unix time.
COUNT, NUMBER, TIME = "count", "number", "time"
# How the values of two summaries merge into one; LATEST takes the value of the summary with the later `last_at`, and
# UNION adds sketches.
SUM, MIN, MAX, LATEST, UNION = "sum", "min", "max", "latest", "union"

Key = TypeVar("Key")
# The values of a summary, in the order of its fields; that of a single event has no sketches yet.
Values = tuple[int, Number, Number, Number, Number, int, Histogram | None, Uniques | None]


class Summary(NamedTuple):
    """The fold of recorded events; each field is annotated with what it holds and how it merges.

    The last ones are sketches, which are optional. None is an empty one: only timers and distributions have a
    histogram, only unique counts have uniques, and events that were recorded before there were any have neither.
    """

    count: Annotated[int, COUNT, SUM]  # type: ignore[assignment]  # tuple.count is not missed
    total: Annotated[Number, NUMBER, SUM]
    minimum: Annotated[Number, NUMBER, MIN]
    maximum: Annotated[Number, NUMBER, MAX]
    last: Annotated[Number, NUMBER, LATEST]
    last_at: Annotated[int, TIME, MAX]
    histogram: Annotated[Histogram | None, HISTOGRAM, UNION] = None
    uniques: Annotated[Uniques | None, UNIQUES, UNION] = None


class Field(NamedTuple):
    """One field of a summary: its name, what it holds, and how it merges."""

    name: str
    holds: str
    rule: str


_ALL = [Field(name, *hint.__metadata__) for name, hint in get_type_hints(Summary, include_extras=True).items()]
FIELDS = tuple(field for field in _ALL if field.rule != UNION)
SKETCHES = tuple(field for field in _ALL if field.rule == UNION)
# The names of the fields without the sketches.
NAMES = tuple(field.name for field in FIELDS)
NO_SKETCHES = (None,) * len(SKETCHES)

# What people are shown of a summary: all fields but times, which only decide how summaries merge.
SHOWN = tuple(field for field in FIELDS if field.holds != TIME)

_NUMBERS = tuple(index for index, field in enumerate(FIELDS) if field.holds == NUMBER)
# Functions that parse a stored or sent value, by what it holds; they raise ValueError, TypeError or ArithmeticError.
READERS: dict[str, Callable[[Any], Any]] = {COUNT: read_count, NUMBER: read_number, TIME: read_time}
_READERS = tuple(READERS[field.holds] for field in FIELDS)
_LIMITS: dict[str, Number] = {COUNT: COUNT_LIMIT, NUMBER: TOTAL_LIMIT}
_SUMS = tuple((index, _LIMITS[field.holds]) for index, field in enumerate(FIELDS) if field.rule == SUM)


def single(number: Number, at: float) -> Values:
    """Return the summary of one event, recorded at a Unix time in seconds.

    This is a plain tuple, because a Summary, which would equal it, takes several times as long to create.
    """
    return 1, number, number, number, number, int(at * MICROSECONDS), None, None


def merge(left: Summary, right: Values) -> Summary:
    """Merge two summaries into one; if both last values are from the same microsecond, keep the right one."""
    # Written out for speed; a test compares it with the rules of the fields.
    count, total, minimum, maximum, last, last_at, histogram, uniques = left
    more, amount, lowest, highest, newest, newest_at, numbers, hashes = right
    if newest_at >= last_at:
        last, last_at = newest, newest_at
    if numbers is not None:
        histogram = numbers if histogram is None else histogram + numbers
    if hashes is not None:
        uniques = hashes if uniques is None else uniques + hashes
    values = (
        count + more,
        add(total, amount),
        lowest if lowest < minimum else minimum,
        highest if highest > maximum else maximum,
        last,
        last_at,
        histogram,
        uniques,
    )
    return tuple.__new__(Summary, values)  # as Summary() does, which is a function in Python


def subtract(summary: Summary, part: Summary) -> Summary:
    """Return a summary without the sums of a part of it; its other fields stay, because they cannot be undone."""
    values: list[Any] = list(summary)
    taken: Sequence[Any] = part
    for index, _ in _SUMS:
        values[index] = less(values[index], taken[index])
    return Summary(*values)


def in_proportion(summary: Summary, part: int, whole: int) -> Summary:
    """Return a summary with the part of its total that falls to `part` of `whole`; its other fields stay.

    The total stays a whole number if it is one.
    """
    number = ROUNDING.divide(ROUNDING.multiply(Decimal(summary.total), Decimal(part)), Decimal(whole))
    is_whole = summary.total == int(summary.total)
    return summary._replace(total=trimmed(ROUNDING.quantize(number, Decimal(1) if is_whole else QUANTUM)))


def merge_into(summaries: MutableMapping[Key, Summary], key: Key, summary: Summary) -> None:
    """Merge a summary into the one stored under a key, or store it there if there is none yet."""
    before = summaries.get(key)
    summaries[key] = summary if before is None else merge(before, summary)


def merge_each_into(summaries: MutableMapping[Key, Summary], others: Mapping[Key, Summary]) -> None:
    """Merge each of the other summaries into the one stored under the same key."""
    for key, summary in others.items():
        merge_into(summaries, key, summary)


def merge_all(summaries: Iterable[Summary]) -> Summary | None:
    """Merge any number of summaries; return None if there are none."""
    merged = None
    for summary in summaries:
        merged = summary if merged is None else merge(merged, summary)
    return merged


def plain_summary(summary: Summary) -> Summary:
    """Return a summary whose decimals have no trailing zeros and no exponent, as readings return it."""
    return Summary._make([trimmed(value) if type(value) is Decimal else value for value in summary])


def plain_summaries(summaries: Mapping[Key, Summary]) -> dict[Key, Summary]:
    """Return summaries as `plain_summary` returns one."""
    return {key: plain_summary(summary) for key, summary in summaries.items()}


def to_values(summary: Summary) -> list[int | str]:
    """Return the fields of a summary in a form that stays exact in JSON: decimals as digits, others as int."""
    values: list[Any] = list(summary[: len(FIELDS)])
    for index in _NUMBERS:
        values[index] = digits(values[index])
    return values


def from_values(values: Iterable[Any], sketches: Sequence[str | None] = NO_SKETCHES) -> Summary:
    """Check stored or sent values, and return their summary; `sketches` are texts of `to_sketches`.

    Raises ValueError, TypeError or ArithmeticError if a value is invalid.
    """
    read: list[Any] = [reader(value) for reader, value in zip(_READERS, values, strict=True)]
    if sketches is NO_SKETCHES:
        return Summary(*read)
    pairs = zip(SKETCHES, sketches, strict=True)
    summary = Summary(*read, *(None if text is None else decode_sketch(field.holds, text) for field, text in pairs))
    if summary.histogram is not None and summary.histogram.count > summary.count:
        raise ValueError("The histogram has more numbers than the summary.")
    if summary.uniques is not None and _fewest(summary.uniques) > summary.count:
        raise ValueError("The summary has fewer events than its sketch of unique counts.")
    return summary


def _fewest(uniques: Uniques) -> int:
    """Return how many events a sketch needs at least; an estimate may be higher than the truth."""
    return EXACT_UNIQUES + 1 if uniques.error else uniques.count or 0


def to_sketches(summary: Summary) -> Sequence[str | None]:
    """Return the sketches of a summary in Base64, None for those that it does not have."""
    sketches: Sequence[Any] = summary[len(FIELDS) :]
    return NO_SKETCHES if sketches == NO_SKETCHES else list(map(encode_sketch, sketches))


def to_item_sketches(summary: Summary) -> Sequence[str | None]:
    """Return the sketches to store or send with an item, as `to_sketches` does; a single number needs no histogram."""
    if summary.count > 1:
        return to_sketches(summary)
    return NO_SKETCHES if summary.uniques is None else (None, encode_sketch(summary.uniques))


def merged_sketch(field: Field, text: str | None) -> str | None:
    """Return a sketch that consists of several, given and returned in Base64, as one."""
    return None if text is None else encode_sketch(decode_sketch(field.holds, text))


def of_kind(kind: str, summary: Summary) -> Summary:
    """Return the summary of an item with the histogram that its kind needs: its total, if that is a single number."""
    if kind in MEASURED and summary.count == 1 and summary.histogram is None:
        return summary._replace(histogram=Histogram([summary.total]))
    return summary


def check_sums(summary: Summary) -> Summary:
    """Return the summary. Raises OverflowError if its sums do not fit into a total."""
    values: Sequence[Any] = summary
    if any(not -limit < values[index] < limit for index, limit in _SUMS):
        raise OverflowError("The sum does not fit into a total.")
    return summary


def headline(kind: str, summary: Summary | None) -> Number | None:
    """Return the one number that stands for a summary.

    It is the total of a counter, the last value of a gauge, the number of different values of a unique count, otherwise
    the mean. If nothing was recorded, it is 0 for a counter or a unique count, and None for the others.
    """
    if summary is None:
        return 0 if kind in (COUNTER, UNIQUE) else None
    if kind == UNIQUE:
        return distinct(summary)
    if kind in MEASURED and not summary.count:  # a poisoned item
        return None
    if kind in MEASURED:
        return trimmed(ROUNDING.quantize(ROUNDING.divide(summary.total, summary.count), QUANTUM))
    return summary.last if kind == GAUGE else summary.total


def whole_histogram(summary: Summary) -> Histogram | None:
    """Return the histogram of a summary; None if some of its numbers are not in it."""
    histogram = summary.histogram
    return histogram if histogram is not None and histogram.count == summary.count else None


def distinct(summary: Summary) -> int | None:
    """Return how many different values were counted, an estimate if `uniques` has an `error`; None if unknown."""
    count = None if summary.uniques is None else summary.uniques.count
    return None if count is None else min(count, summary.count)  # an estimate may be above the number of events


def percentile(summary: Summary, percent: int | Decimal | Fraction) -> Number | None:
    """Return a percentile of the numbers of a summary, which differs from the exact one by at most 1.1 %.

    None if some of its numbers are not in its histogram.
    """
    histogram = whole_histogram(summary)
    found = None if histogram is None else histogram.percentile(percent)
    if found is None:
        return None
    rank = rank_of(percent, summary.count)
    if rank in (1, summary.count):  # which are known exactly
        return summary.maximum if rank == summary.count else summary.minimum
    return min(max(found, summary.minimum), summary.maximum)
