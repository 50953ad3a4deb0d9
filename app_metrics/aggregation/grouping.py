"""What an aggregation took out of the item log: checked, and folded by key."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from ..core.batch import Key
from ..core.labels import decode_labels
from ..core.numbers import COUNT_LIMIT, EXACT, TOTAL_LIMIT, Number
from ..core.periods import HOURS
from ..core.summary import KINDS, Summary
from ..core.validation import check_slug
from ..models import QuarantinedItem
from ..storage.dialects.base import KEY_COLUMNS, SUMMARY_COLUMNS, Row

COLUMNS = (*KEY_COLUMNS, *SUMMARY_COLUMNS)


class Group(NamedTuple):
    """What was claimed of one key, and when the first of its values was recorded, in microseconds of Unix time."""

    key: Key
    summary: Summary
    first_at: int


def grouped(rows: Iterable[Row]) -> list[Group]:
    """Return what the rows of a claim hold, in the order in which their keys were first recorded.

    Raises ValueError, TypeError or ArithmeticError where one is poisoned.
    """
    members: dict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        members[row[: len(KEY_COLUMNS)]].append(row)
    with localcontext(EXACT):
        groups = [_fold(_read_key(*key), each) for key, each in members.items()]
    return sorted(groups, key=attrgetter("first_at"))


def quarantine(row: Row, error: Exception) -> None:
    """Set aside the row of one item, with the reason."""
    payload = json.dumps(dict(zip(COLUMNS, map(str, row), strict=False)))
    reason = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()
    QuarantinedItem.objects.create(payload=payload, reason=reason)


def _fold(key: Key, rows: Sequence[Row]) -> Group:
    # Column by column, and each different number read once: most rows share theirs, and merge() would be several
    # times as slow.
    columns = list(zip(*rows, strict=True))
    counts, totals, minima, maxima, lasts, times = columns[len(KEY_COLUMNS) : len(COLUMNS)]
    counted = {count: _read_count(count) for count in set(counts)}
    numbers = {number: _read_number(number) for number in {*totals, *minima, *maxima, *lasts}}
    moments = [int(moment) for moment in times]
    last_at = max(moments)
    latest = len(rows) - 1 - moments[::-1].index(last_at)
    summary = Summary(
        sum(counted[count] for count in counts),
        sum(numbers[number] for number in totals),
        min(numbers[number] for number in set(minima)),
        max(numbers[number] for number in set(maxima)),
        numbers[lasts[latest]],
        last_at,
    )
    return Group(key, summary, int(min(columns[-1])))


def _read_count(count: Any) -> int:
    events = int(count)
    if events != count or not 0 < events < COUNT_LIMIT:
        raise ValueError(f"{count!r} is not a number of events")
    return events


def _read_number(value: Any) -> Number:
    number = Decimal(value)
    if not -TOTAL_LIMIT < number < TOTAL_LIMIT:
        raise ValueError(f"{value!r} does not fit into a total")
    return number


@lru_cache(maxsize=4096)
def _read_key(slug: str, kind: str, labels: str, day: date | str, hour: int) -> Key:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of metric")
    if hour not in HOURS:
        raise ValueError(f"{hour!r} is not an hour of a day")
    day = day if isinstance(day, date) else date.fromisoformat(day)
    return Key(check_slug(slug), kind, _check_stored_labels(labels), day, hour)


def _check_stored_labels(text: str) -> str:
    try:
        labels: Any = decode_labels(text)
    except ValueError:
        labels = None
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise ValueError(f"{text!r} is not a label set")
    return text
