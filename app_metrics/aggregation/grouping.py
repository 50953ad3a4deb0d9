"""Check the items that an aggregation claimed, and fold them by key."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import localcontext
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from ..core.batch import Key
from ..core.histogram import Histogram, histogram_of, merged
from ..core.labels import decode_labels
from ..core.numbers import EXACT
from ..core.periods import HOURS
from ..core.plain_text import brief
from ..core.sketches import HISTOGRAM, UNIQUES, decode_sketch
from ..core.summary import (
    FIELDS,
    KINDS,
    LATEST,
    MAX,
    MEASURED,
    MIN,
    NO_SKETCHES,
    READERS,
    SUM,
    TIME,
    UNIQUE,
    Field,
    Summary,
    from_values,
)
from ..core.uniques import Uniques
from ..core.validation import check_slug
from ..storage.dialects.base import BAD_DATA, KEY_COLUMNS, SKETCH_COLUMNS, SUMMARY_COLUMNS, Row

COLUMNS = (*KEY_COLUMNS, *SUMMARY_COLUMNS, *SKETCH_COLUMNS)
_FIELDS = slice(len(KEY_COLUMNS), len(KEY_COLUMNS) + len(SUMMARY_COLUMNS))
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


def sifted(rows: Iterable[Row]) -> tuple[list[Row], list[tuple[Row, Exception]]]:
    """Return the rows that `grouped` can fold, and the poisoned ones, each with what is wrong with it."""
    good: list[Row] = []
    poisoned: list[tuple[Row, Exception]] = []
    for row in rows:
        try:
            grouped([row])
            good.append(row)
        except BAD_DATA as error:
            poisoned.append((row, error))
    return good, poisoned


def _fold(key: Key, rows: Sequence[Row]) -> Group:
    values = dict(zip((*COLUMNS, FIRST_AT, SINGLES), zip(*rows, strict=True), strict=False))
    summary = from_values(rows[0][_FIELDS]) if len(rows) == 1 else _summary(values, len(rows))
    if key.kind in MEASURED:
        summary = summary._replace(histogram=_histogram(values))
    elif key.kind == UNIQUE:
        summary = summary._replace(uniques=_uniques(values))
    return Group(key, summary, min(map(int, values.get(FIRST_AT, values["last_at"]))))


def _summary(values: Mapping[str, Sequence[Any]], size: int) -> Summary:
    """Return the merged summary of some rows, without sketches."""
    # Works by column and parses each distinct value once, because most rows share values; merge() is several times
    # slower.
    read: dict[str, dict[Any, Any]] = {}
    for holds, reader in READERS.items():
        different = set().union(*(values[field.name] for field in FIELDS if field.holds == holds))
        read[holds] = {value: reader(value) for value in different}
    moments = [read[TIME][moment] for moment in values["last_at"]]
    latest = size - 1 - moments[::-1].index(max(moments))

    def folded(field: Field) -> Any:
        column, known = values[field.name], read[field.holds]
        if field.rule == LATEST:
            return known[column[latest]]
        return FOLDS[field.rule](known[value] for value in (column if field.rule == SUM else set(column)))

    return Summary._make([*map(folded, FIELDS), *NO_SKETCHES])


def _histogram(values: Mapping[str, Sequence[Any]]) -> Histogram | None:
    """Return the histogram of some rows; call this after their numbers were checked."""
    if SINGLES in values:
        numbers = " ".join(filter(None, values[SINGLES])).split()
    else:
        items = zip(values["count"], values["total"], values["histogram"], strict=True)
        numbers = [total for count, total, text in items if text is None and int(count) == 1]
    histograms = [decode_sketch(HISTOGRAM, text) for text in values["histogram"] if text]
    if numbers:
        histograms.append(histogram_of(numbers))
    return merged(histograms) if histograms else None


def _uniques(values: Mapping[str, Sequence[Any]]) -> Uniques | None:
    text = " ".join(filter(None, values["uniques"]))
    return decode_sketch(UNIQUES, text) if text else None


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
