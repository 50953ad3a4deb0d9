"""Read the lines of a CSV file: totals that `csv_export` wrote, or plain events."""

import csv
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from ..conf import time_zone
from ..core.batch import Entry
from ..core.dates import check_year, read_day, read_moment
from ..core.labels import decode_labels
from ..core.periods import HOUR, WEEK, Period, bucket, hour_start
from ..core.spreadsheets import ESCAPE
from ..core.summary import COUNTER, KINDS, Summary, from_values
from ..core.validation import check_labels, check_number, check_slug, check_time
from .csv_export import COLUMNS

# The optional heading of a file with plain events.
PLAIN_COLUMNS = ("timestamp", "slug", "num", "labels")

# The number of a line in its file, and its cells.
Line = tuple[int, list[str]]


class ImportedTotal(NamedTuple):
    """One line of an export."""

    slug: str
    kind: str
    period: Period
    start: date
    hour: int
    labels: str
    summary: Summary


def is_export(path: Path) -> bool:
    return next((cells for _, cells in _rows(path)), []) == list(COLUMNS)


def lines(path: Path, *, exported: bool) -> Iterator[Line]:
    """Yield the lines of a file that are not empty, without its heading."""
    for index, (number, cells) in enumerate(_rows(path)):
        is_heading = index == 0 and (exported or tuple(cells) == PLAIN_COLUMNS[: len(cells)])
        if not is_heading:
            yield number, cells


def read_entry(cells: Sequence[str]) -> Entry:
    """Return the event of a line "timestamp,slug,num[,labels]"."""
    if len(cells) not in (3, 4):
        raise ValueError(f"The line has {len(cells)} cells; give timestamp,slug,num[,labels].")
    at, slug, number, *labels = cells
    checked = check_number(_number(number), COUNTER)
    return _slug(slug), COUNTER, _labels(labels[0] if labels else ""), checked, check_time(read_moment(at))


def read_total(cells: Sequence[str]) -> ImportedTotal:
    """Return the total of a line that `csv_export` wrote."""
    if len(cells) != len(COLUMNS):
        raise ValueError(f"The line has {len(cells)} cells; a line of an export has {len(COLUMNS)}.")
    slug, kind, period, start, labels, *values = cells
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of metric.")
    found = Period(period)
    return ImportedTotal(_slug(slug), kind, found, *_start(found, start), _labels(labels), from_values(values))


def _rows(path: Path) -> Iterator[Line]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"Line {reader.line_num + 1} is not CSV in UTF-8: {error}") from error


def _start(period: Period, text: str) -> tuple[date, int]:
    if period != HOUR:
        day = read_day(text)
        check_year(day, text)
        # Weeks may begin on another day in the installation that exported them.
        if period != WEEK and period.start_of(day) != day:
            raise ValueError(f"{text!r} is not the start of a {period}.")
        return day, 0
    moment = read_moment(text)
    start = bucket(int(check_time(moment)), time_zone())
    if hour_start(*start, time_zone()).timestamp() != check_time(moment):
        raise ValueError(f"{text!r} is not the start of an hour in {time_zone()}.")
    return start


def _slug(text: str) -> str:
    return check_slug(text.removeprefix(ESCAPE))


def _labels(text: str) -> str:
    return check_labels(decode_labels(text) if text else None)


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number.") from error
