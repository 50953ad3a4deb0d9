"""The one algebra of the project: entries fold into summaries, and summaries merge into longer spans."""

from collections.abc import Iterable
from typing import NamedTuple

from .numbers import QUANTUM, ROUNDING, Number, add

COUNTER, GAUGE, TIMER = KINDS = ("counter", "gauge", "timer")
MICROSECONDS = 1_000_000


class Summary(NamedTuple):
    """The fold of entries; `last_at`, in microseconds of Unix time, says which `last` is the later one."""

    count: int  # type: ignore[assignment]  # tuple.count is not missed
    total: Number
    minimum: Number
    maximum: Number
    last: Number
    last_at: int


def merge(left: Summary, right: tuple[int, Number, Number, Number, Number, int]) -> Summary:
    """Fold two summaries into one; of two last values at the same microsecond the right one stays."""
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


def merge_all(summaries: Iterable[Summary]) -> Summary | None:
    """Fold any number of summaries; None when there are none."""
    merged = None
    for summary in summaries:
        merged = summary if merged is None else merge(merged, summary)
    return merged


def headline(kind: str, summary: Summary | None) -> Number | None:
    """Return the one number that stands for a summary: a counter's total, a gauge's last value, a timer's mean.

    None where nothing was recorded; a counter then stands at 0.
    """
    if summary is None:
        return 0 if kind == COUNTER else None
    if kind == TIMER and not summary.count:  # a poisoned item
        return None
    if kind == TIMER:
        return ROUNDING.quantize(ROUNDING.divide(summary.total, summary.count), QUANTUM)
    return summary.last if kind == GAUGE else summary.total
