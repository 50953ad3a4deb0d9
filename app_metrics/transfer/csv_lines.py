"""Read the lines of a CSV file: totals that `csv_export` wrote, or plain events."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
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
from ..core.summary import COUNTER, FIELDS, KINDS, NO_SKETCHES, Summary, from_values
from ..core.validation import check_labels, check_number, check_slug, check_time
from .csv_export import COLUMNS, OLD_COLUMNS

# The optional heading of a file with plain events.
PLAIN_COLUMNS = ("timestamp", "slug", "num", "labels")

# A quote at the beginning of a cell, where it has a meaning, and a cell that also ends with one.
_QUOTE = re.compile(r'(?<![^,\r\n])"')
_QUOTED = re.compile(_QUOTE.pattern + r'(?:[^"]|"")*"(?!")')


class Line(NamedTuple):
    """A line that is not empty: its number in the file, its text, and its cells, none if one of them is too long."""

    number: int
    text: str
    cells: Sequence[str]


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
    return tuple(next((line.cells for line in _rows(path)), ())) in (COLUMNS, OLD_COLUMNS)


def lines(path: Path, *, exported: bool) -> Iterator[Line]:
    """Yield the lines of a file that are not empty, without its heading."""
    for index, line in enumerate(_rows(path)):
        names = PLAIN_COLUMNS[: len(line.cells)]
        is_heading = index == 0 and (exported or (names and tuple(line.cells) == names))
        if not is_heading:
            yield line


def read(cells: Sequence[str], *, exported: bool) -> Entry | ImportedTotal:
    """Return what a line says. Raises TypeError, ValueError or ArithmeticError if it cannot be counted."""
    if not cells:
        raise ValueError(f"A cell has more than {csv.field_size_limit():,} characters.")
    return _read_total(cells) if exported else _read_entry(cells)


def _read_entry(cells: Sequence[str]) -> Entry:
    """Return the event of a line "timestamp,slug,num[,labels]"."""
    if len(cells) not in (3, 4):
        raise ValueError(f"The line has {len(cells)} cells; give timestamp,slug,num[,labels].")
    at, slug, number, *labels = cells
    checked = check_number(_number(number), COUNTER)
    return _slug(slug), COUNTER, _labels(labels[0] if labels else ""), checked, check_time(read_moment(at))


def _read_total(cells: Sequence[str]) -> ImportedTotal:
    """Return the total of a line that `csv_export` wrote."""
    if len(cells) not in (len(COLUMNS), len(OLD_COLUMNS)):
        raise ValueError(f"The line has {len(cells)} cells; a line of an export has {len(COLUMNS)}.")
    slug, kind, period, start, labels, *values = cells
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of metric.")
    found = Period(period)
    sketches = [cell or None for cell in values[len(FIELDS) :]] or NO_SKETCHES
    summary = from_values(values[: len(FIELDS)], sketches)
    return ImportedTotal(_slug(slug), kind, found, *_start(found, start), _labels(labels), summary)


def _rows(path: Path) -> Iterator[Line]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        taken: list[str] = []
        reader = csv.reader(_noted(stream, taken))
        while True:
            taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                raise ValueError(f"Line {reader.line_num + 1} is not in UTF-8: {error}") from error
            except csv.Error:  # a cell is too long; the reader goes on with the next line of the stream
                _refuse_unclosed(reader.line_num, taken)
                cells = []
            if text := "".join(taken).rstrip("\r\n"):
                yield Line(reader.line_num, text, cells)


def _noted(stream: Iterable[str], taken: list[str]) -> Iterator[str]:
    """Yield the lines of a stream, and add each to a list."""
    for line in stream:
        taken.append(line)
        yield line


def _refuse_unclosed(last: int, taken: Sequence[str]) -> None:
    """Raise ValueError if a quote is open after a cell that is too long: nobody knows which lines belong to it."""
    if _QUOTE.search(_QUOTED.sub("", "".join(taken))):
        raise ValueError(
            f"Line {last - len(taken) + 1} begins a cell of several lines with more than {csv.field_size_limit():,} "
            "characters; check its quotes."
        )


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
