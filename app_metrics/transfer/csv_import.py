"""Import totals that `csv_export` wrote, or plain events, from a CSV file, in one transaction and only once.

Lines that cannot be counted are found before anything is written. The digest of a file is stored with its numbers, so
that the same file is not imported again.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from django.db import IntegrityError, connections, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from ..backends.db import MetricsBackend
from ..conf import max_label_sets, settings, time_zone
from ..core.batch import Batch, Entry, Fold
from ..core.dates import check_year, read_day, read_moment
from ..core.labels import decode_labels
from ..core.periods import HOUR, LONGEST, WEEK, Period, bucket, hour_start
from ..core.spreadsheets import ESCAPE
from ..core.summary import COUNTER, KINDS, Summary, from_values, merge_into
from ..core.validation import check_labels, check_number, check_slug, check_time
from ..models import ImportedFile, Metric, Total
from ..models.primary import primary
from ..notifications import milestones
from ..storage.dialects import dialect_for
from ..storage.dialects.base import TotalKey
from ..storage.transactions import retried
from .csv_export import COLUMNS

# The optional heading of a file with plain events.
PLAIN_COLUMNS = ("timestamp", "slug", "num", "labels")
MAX_NAME_LENGTH = 200
# Lines that are folded and written at once.
CHUNK_SIZE = 10_000
METRICS_AT_ONCE = 500
NAMED_SLUGS = 5

Line = tuple[int, list[str]]


class Rejected(NamedTuple):
    """A line that cannot be counted: its number in the file, its cells, the reason, and the heading of its columns."""

    number: int
    cells: Sequence[str]
    reason: str
    columns: Sequence[str]


@dataclass(slots=True)
class Checked:
    """The outcome of reading a file once, without writing anything."""

    path: Path
    digest: str
    is_export: bool
    lines: int = 0
    bad: set[int] = field(default_factory=set)
    # The kind of each metric, by slug.
    kinds: dict[str, str] = field(default_factory=dict)


class ImportedTotal(NamedTuple):
    """One line of an export."""

    slug: str
    kind: str
    period: Period
    start: date
    hour: int
    labels: str
    summary: Summary


def check_file(path: Path, on_rejected: Callable[[Rejected], None]) -> Checked:
    """Read a file, and call `on_rejected` with each line that cannot be counted.

    Raises OSError, or ValueError if it is not a regular file with CSV in UTF-8.
    """
    checked = Checked(path, _digest(path), is_export=_first_row(path) == list(COLUMNS))
    parse, columns = (_total, COLUMNS) if checked.is_export else (_entry, PLAIN_COLUMNS)
    for number, cells in _lines(path, checked.is_export):
        checked.lines += 1
        try:
            slug, kind, *_ = parse(cells)
            checked.kinds.setdefault(slug, kind)
        except (TypeError, ValueError, ArithmeticError) as error:
            checked.bad.add(number)
            on_rejected(Rejected(number, cells, str(error) or type(error).__name__, columns))
    return checked


def was_imported(path: Path) -> bool:
    """Return whether a file with the same content was imported before. Raises OSError or ValueError."""
    found: bool = primary(ImportedFile.objects).filter(digest=_digest(path)).exists()
    return found


def import_file(checked: Checked, *, may_add: bool = False, on_progress: Callable[[int], None] | None = None) -> int:
    """Count the good lines of a file; return their number, or 0 if the same file was imported before.

    Plain events become items, which the next aggregation adds to the totals. `on_progress` gets the number of lines in
    each chunk. Raises database errors, and ValueError if the file has changed since, or if metrics of an export already
    have totals, unless `may_add`; then nothing is imported.
    """
    return retried(partial(_import, checked, may_add, on_progress or (lambda lines: None)))


def _digest(path: Path) -> str:
    if not S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is no regular file, but an import reads it several times: save it as a file first.")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _import(checked: Checked, may_add: bool, advance: Callable[[int], None]) -> int:
    good = (cells for number, cells in _lines(checked.path, checked.is_export) if number not in checked.bad)
    count = checked.lines - len(checked.bad)
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        # The first statement writes: after a read, SQLite refuses the write if there is another writer.
        if not _note(checked, count):
            return 0
        write = partial(_add_totals, _locked(checked.kinds)) if checked.is_export else _add_items
        if checked.is_export and not may_add:
            _refuse_counted(checked.kinds)
        while chunk := list(islice(good, CHUNK_SIZE)):
            write(chunk)
            advance(len(chunk))
        if _digest(checked.path) != checked.digest:
            raise ValueError(f"{checked.path} changed while it was read; import it again.")
    return count


def _refuse_counted(slugs: Iterable[str]) -> None:
    """Raise ValueError if metrics already have totals, because the file may contain some of the same ones."""
    counted = primary(Metric.objects).filter(Exists(Total.objects.filter(metric=OuterRef("pk"))))
    both = sorted(set(slugs).intersection(counted.values_list("slug", flat=True)))
    if both:
        named = ", ".join(both[:NAMED_SLUGS]) + (", …" if len(both) > NAMED_SLUGS else "")
        raise ValueError(f"These metrics already have totals: {named}. Use --add to add those of the file to them.")


def _note(checked: Checked, lines: int) -> bool:
    """Store a file's digest; return False if it is stored already."""
    name = checked.path.name[:MAX_NAME_LENGTH]
    try:
        with transaction.atomic(using=settings.APP_METRICS_DATABASE):
            imported = ImportedFile(digest=checked.digest, name=name, lines=lines, imported_at=timezone.now())
            imported.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _add_items(chunk: Iterable[Sequence[str]]) -> None:
    fold = Fold(time_zone(), max_label_sets())
    for cells in chunk:
        fold.add(_entry(cells))
    MetricsBackend().write(Batch(fold.summaries))


def _add_totals(metrics: Mapping[str, int], chunk: Sequence[Sequence[str]]) -> None:
    lines = [_total(cells) for cells in chunk]
    totals: dict[TotalKey, Summary] = {}
    for line in lines:
        key = TotalKey(metrics[line.slug], line.period, line.start, line.hour, line.labels)
        merge_into(totals, key, line.summary)
    connection = connections[settings.APP_METRICS_DATABASE]
    dialect_for(connection).add_totals(connection, sorted(totals.items()))
    # Milestones that were reached in the past are not announced.
    for line in lines:
        if line.period == LONGEST:
            milestones.raise_mark(line.slug, line.summary.total)


def _locked(kinds: Mapping[str, str]) -> dict[str, int]:
    """Lock metrics until the transaction ends, and return their primary keys by slug; create missing ones."""
    slugs = sorted(kinds)
    Metric.objects.bulk_create(
        [Metric(slug=slug, name=slug, kind=kinds[slug]) for slug in slugs], METRICS_AT_ONCE, ignore_conflicts=True
    )
    parts = [slugs[first : first + METRICS_AT_ONCE] for first in range(0, len(slugs), METRICS_AT_ONCE)]
    for part in parts:
        Metric.objects.filter(slug__in=part).lock()
    # All locks come before the first read, with which MariaDB's snapshot begins.
    found = (primary(Metric.objects).filter(slug__in=part).values_list("slug", "pk") for part in parts)
    return dict(chain.from_iterable(found))


def _first_row(path: Path) -> list[str]:
    return next((cells for _, cells in _rows(path)), [])


def _lines(path: Path, is_export: bool) -> Iterator[Line]:
    """Yield the lines of a file that are not empty, without its heading."""
    for index, (number, cells) in enumerate(_rows(path)):
        is_heading = index == 0 and (is_export or tuple(cells) == PLAIN_COLUMNS[: len(cells)])
        if not is_heading:
            yield number, cells


def _rows(path: Path) -> Iterator[Line]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"Line {reader.line_num + 1} is not CSV in UTF-8: {error}") from error


def _entry(cells: Sequence[str]) -> Entry:
    """Return the event of a line "timestamp,slug,num[,labels]"."""
    if len(cells) not in (3, 4):
        raise ValueError(f"The line has {len(cells)} cells; give timestamp,slug,num[,labels].")
    at, slug, number, *labels = cells
    checked = check_number(_number(number), COUNTER)
    return _slug(slug), COUNTER, _labels(labels[0] if labels else ""), checked, check_time(read_moment(at))


def _total(cells: Sequence[str]) -> ImportedTotal:
    """Return the total of a line that `csv_export` wrote."""
    if len(cells) != len(COLUMNS):
        raise ValueError(f"The line has {len(cells)} cells; a line of an export has {len(COLUMNS)}.")
    slug, kind, period, start, labels, *values = cells
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of metric.")
    found = Period(period)
    return ImportedTotal(_slug(slug), kind, found, *_start(found, start), _labels(labels), from_values(values))


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
