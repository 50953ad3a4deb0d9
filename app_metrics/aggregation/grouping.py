"""Check the items that an aggregation claimed, and fold them by key."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import localcontext
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from ..core.batch import Key
from ..core.histogram import Histogram, merged
from ..core.labels import decode_labels
from ..core.numbers import EXACT
from ..core.periods import HOURS
from ..core.plain_text import brief
from ..core.summary import (
    FIELDS,
    HISTOGRAM,
    KINDS,
    LATEST,
    MAX,
    MEASURED,
    MIN,
    READERS,
    SUM,
    TIME,
    Field,
    Summary,
    decode_sketch,
)
from ..core.validation import check_slug
from ..storage.dialects.base import KEY_COLUMNS, SKETCH_COLUMNS, SUMMARY_COLUMNS, Row

COLUMNS = (*KEY_COLUMNS, *SUMMARY_COLUMNS, *SKETCH_COLUMNS)
# Additional columns that grouped rows have.
FIRST_AT, SINGLES = "first_at", "singles"
FOLDS: dict[str, Callable[[Iterable[Any]], Any]] = {SUM: sum, MIN: min, MAX: max}


class Group(NamedTuple):
    """The claimed items of one key, folded, and the earliest of their times, in microseconds of Unix time."""

    key: Key
    summary: Summary
    first_at: int


def grouped(rows: Iterable[Row]) -> list[Group]:
    """Return the rows of a claim folded by key, in the order in which the keys were first recorded.

    Raises ValueError, TypeError or ArithmeticError if a row is poisoned.
    """
    members: dict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        members[row[: len(KEY_COLUMNS)]].append(row)
    with localcontext(EXACT):
        groups = [_fold(_read_key(*key), each) for key, each in members.items()]
    return sorted(groups, key=attrgetter("first_at"))


def _fold(key: Key, rows: Sequence[Row]) -> Group:
    # Works by column and parses each distinct value once, because most rows share values; merge() is several times
    # slower.
    values = dict(zip((*COLUMNS, FIRST_AT, SINGLES), zip(*rows, strict=True), strict=False))
    read: dict[str, dict[Any, Any]] = {}
    for holds, reader in READERS.items():
        different = set().union(*(values[field.name] for field in FIELDS if field.holds == holds))
        read[holds] = {value: reader(value) for value in different}
    moments = [read[TIME][moment] for moment in values["last_at"]]
    latest = len(rows) - 1 - moments[::-1].index(max(moments))

    def folded(field: Field) -> Any:
        column, known = values[field.name], read[field.holds]
        if field.rule == LATEST:
            return known[column[latest]]
        return FOLDS[field.rule](known[value] for value in (column if field.rule == SUM else set(column)))

    summary = Summary._make([*map(folded, FIELDS), _histogram(key, values)])
    return Group(key, summary, int(min(values.get(FIRST_AT, moments))))


def _histogram(key: Key, values: Mapping[str, Sequence[Any]]) -> Histogram | None:
    """Return the histogram of all items of a key; call this after their numbers were checked."""
    if key.kind not in MEASURED:
        return None
    encoded = values["histogram"]
    if SINGLES in values:
        numbers = [number for texts in values[SINGLES] if texts for number in texts.split()]
    else:
        items = zip(values["count"], values["total"], encoded, strict=True)
        numbers = [total for count, total, text in items if text is None and int(count) == 1]
    histograms = [decode_sketch(HISTOGRAM, text) for texts in encoded if texts for text in texts.split(" ")]
    return merged([Histogram(numbers), *histograms]) if numbers or histograms else None


@lru_cache(maxsize=4096)
def _read_key(slug: str, kind: str, labels: str, day: date | str, hour: int) -> Key:
    if kind not in KINDS:
        raise ValueError(f"{brief(kind)} is not a kind of metric")
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
        raise ValueError(f"{brief(text)} is not a label set")
    return text
