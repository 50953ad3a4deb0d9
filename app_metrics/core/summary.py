"""Fold events into summaries, and merge summaries into those of longer spans.

`Summary` lists their fields, and all code that stores, sends or reads summaries follows that list. To add a field, add
it there, in `merge` and `single`, and as a column in `app_metrics.models.totals`.
"""

from collections.abc import Callable, Iterable, MutableMapping
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

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

COUNTER, GAUGE, TIMER = KINDS = ("counter", "gauge", "timer")
MICROSECONDS = 1_000_000

# What a field holds: a number of events, an exact decimal, or microseconds of Unix time.
COUNT, NUMBER, TIME = "count", "number", "time"
# How the values of two summaries merge into one; LATEST takes the value of the summary with the later `last_at`.
SUM, MIN, MAX, LATEST = "sum", "min", "max", "latest"

Key = TypeVar("Key")
# The values of a summary, in the order of its fields.
Values = tuple[int, Number, Number, Number, Number, int]


class Summary(NamedTuple):
    """The fold of recorded events; each field is annotated with what it holds and how it merges."""

    count: Annotated[int, COUNT, SUM]  # type: ignore[assignment]  # tuple.count is not missed
    total: Annotated[Number, NUMBER, SUM]
    minimum: Annotated[Number, NUMBER, MIN]
    maximum: Annotated[Number, NUMBER, MAX]
    last: Annotated[Number, NUMBER, LATEST]
    last_at: Annotated[int, TIME, MAX]


class Field(NamedTuple):
    """One field of a summary: its name, what it holds, and how it merges."""

    name: str
    holds: str
    rule: str


FIELDS = tuple(
    Field(name, *hint.__metadata__) for name, hint in get_type_hints(Summary, include_extras=True).items()
)  # fmt: skip

# What people are shown of a summary: all fields but times, which only decide how summaries merge.
SHOWN = tuple(field for field in FIELDS if field.holds != TIME)

_ARE_NUMBERS = tuple(field.holds == NUMBER for field in FIELDS)
# Functions that parse a stored or sent value, by what it holds; they raise ValueError, TypeError or ArithmeticError.
READERS: dict[str, Callable[[Any], Any]] = {COUNT: read_count, NUMBER: read_number, TIME: read_time}
_READERS = tuple(READERS[field.holds] for field in FIELDS)
_LIMITS: dict[str, Number] = {COUNT: COUNT_LIMIT, NUMBER: TOTAL_LIMIT}
_SUMS = tuple((index, _LIMITS[field.holds]) for index, field in enumerate(FIELDS) if field.rule == SUM)


def single(number: Number, at: float) -> Values:
    """Return the summary of one event, recorded at a Unix time in seconds.

    This is a plain tuple, because a Summary, which would equal it, takes several times as long to create.
    """
    return 1, number, number, number, number, int(at * MICROSECONDS)


def merge(left: Summary, right: Values) -> Summary:
    """Merge two summaries into one; if both last values are from the same microsecond, keep the right one."""
    # Written out for speed, because this runs for every event; a test compares it with the rules of the fields.
    count, total, minimum, maximum, last, last_at = left
    more, amount, lowest, highest, newest, newest_at = right
    if newest_at >= last_at:
        last, last_at = newest, newest_at
    return Summary(
        count + more,
        add(total, amount),
        lowest if lowest < minimum else minimum,
        highest if highest > maximum else maximum,
        last,
        last_at,
    )


def subtract(summary: Summary, part: Summary) -> Summary:
    """Return a summary without the sums of a part of it; its other fields stay, because they cannot be undone."""
    values: list[Any] = list(summary)
    for index, _ in _SUMS:
        values[index] = less(summary[index], part[index])
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


def merge_all(summaries: Iterable[Summary]) -> Summary | None:
    """Merge any number of summaries; return None if there are none."""
    merged = None
    for summary in summaries:
        merged = summary if merged is None else merge(merged, summary)
    return merged


def plain_summary(summary: Summary) -> Summary:
    """Return a summary whose decimals have no trailing zeros and no exponent, as readings return it."""
    return Summary._make([trimmed(value) if type(value) is Decimal else value for value in summary])


def to_values(summary: Summary) -> list[int | str]:
    """Return the values of a summary in a form that stays exact in JSON: decimals as digits, others as int."""
    return [digits(value) if is_number else value for value, is_number in zip(summary, _ARE_NUMBERS, strict=True)]  # type: ignore[misc]


def from_values(values: Iterable[Any]) -> Summary:
    """Check stored or sent values, and return their summary.

    Raises ValueError, TypeError or ArithmeticError if a value is invalid.
    """
    return Summary(*(read(value) for read, value in zip(_READERS, values, strict=True)))


def check_sums(summary: Summary) -> Summary:
    """Return the summary. Raises OverflowError if its sums do not fit into a total."""
    if any(not -limit < summary[index] < limit for index, limit in _SUMS):
        raise OverflowError("The sum does not fit into a total.")
    return summary


def headline(kind: str, summary: Summary | None) -> Number | None:
    """Return the one number that stands for a summary: a counter's total, a gauge's last value, a timer's mean.

    If nothing was recorded, it is 0 for a counter and None for the others.
    """
    if summary is None:
        return 0 if kind == COUNTER else None
    if kind == TIMER and not summary.count:  # a poisoned item
        return None
    if kind == TIMER:
        return trimmed(ROUNDING.quantize(ROUNDING.divide(summary.total, summary.count), QUANTUM))
    return summary.last if kind == GAUGE else summary.total
