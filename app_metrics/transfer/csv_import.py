"""Import totals that `csv_export` wrote, or plain events, from a CSV file, only once.

Lines that cannot be counted are found before anything is written. The digest of a file is stored with its numbers, so
that the same file is not imported again.

A file is counted in one transaction, except on SQLite, where all other writers would wait until it ends. There, each
part also stores how far the file is counted, so that a later run continues where a killed one stopped.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Exists, OuterRef

from ..backends.db import MetricsBackend
from ..conf import max_label_sets, settings, time_zone
from ..core.batch import Batch, Entry, Fold
from ..core.periods import LONGEST
from ..core.summary import Summary, merge_into
from ..models import ImportedFile, Metric, Total
from ..models.primary import primary
from ..notifications import milestones
from ..storage.dialects import dialect_for
from ..storage.dialects.base import TotalKey
from ..storage.transactions import between_others, retried
from ..storage.turns import Turns
from . import imported_files
from .csv_export import COLUMNS
from .csv_lines import PLAIN_COLUMNS, ImportedTotal, is_export, lines, read

MAX_NAME_LENGTH = 200
# Lines that are folded and written at once, at most.
CHUNK_SIZE = 10_000
METRICS_AT_ONCE = 500
NAMED_SLUGS = 5

Advance = Callable[[int], None]


class Rejected(NamedTuple):
    """A line that cannot be counted: its number in the file, its text, the reason, and the heading of its columns."""

    number: int
    text: str
    reason: str
    columns: Sequence[str]


@dataclass(slots=True)
class Checked:
    """The outcome of reading a file once, without writing anything."""

    path: Path
    # Its size and the time of its last change.
    version: tuple[int, int]
    digest: str
    is_export: bool
    lines: int = 0
    bad: set[int] = field(default_factory=set)
    # The number of the last good line.
    last: int = 0
    # The kind of each metric, by slug.
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name under which its import is stored."""
        return self.path.name[:MAX_NAME_LENGTH]

    def read(self, cells: Sequence[str]) -> Entry | ImportedTotal:
        return read(cells, exported=self.is_export)


class Part(NamedTuple):
    """The good lines of one transaction: those after line `start` up to line `end`; None is the end of the file."""

    start: int
    end: int | None
    kinds: Mapping[str, str]
    chunks: Iterable[Sequence[Any]]


class Incomplete(Exception):
    """An import stopped after some lines were counted for good."""


def check_file(path: Path, on_rejected: Callable[[Rejected], None]) -> Checked:
    """Read a file, and call `on_rejected` with each line that cannot be counted.

    Raises OSError, or ValueError if it is not a regular file with CSV in UTF-8.
    """
    checked = Checked(path, _version(path), _digest(path), is_export=is_export(path))
    columns = COLUMNS if checked.is_export else PLAIN_COLUMNS
    for number, text, cells in lines(path, exported=checked.is_export):
        checked.lines += 1
        try:
            slug, kind, *_ = checked.read(cells)
            checked.kinds.setdefault(slug, kind)
            checked.last = number
        except (TypeError, ValueError, ArithmeticError) as error:
            checked.bad.add(number)
            on_rejected(Rejected(number, text, str(error) or type(error).__name__, columns))
    return checked


def former_import(path: Path) -> ImportedFile | None:
    """Return the import of a file with the same content; None if there was none. Raises OSError or ValueError."""
    return imported_files.complete(_digest(path))


def import_file(checked: Checked, *, may_add: bool = False, on_progress: Advance | None = None) -> int | None:
    """Count the good lines of a file; return their number, or None if the same file was imported before.

    Plain events become items, which the next aggregation adds to the totals. `on_progress` gets the number of lines in
    each chunk. Raises database errors, and ValueError if the file has changed since, or if metrics of an export already
    have totals, unless `may_add`; then nothing is imported.

    On SQLite it lets other writers in every second, and continues an import that was interrupted. After a database
    error, or Incomplete instead of ValueError, some lines are counted, and the next import of the file counts the
    others.
    """
    count = partial(_count, checked, may_add, on_progress or (lambda lines: None))
    queues = dialect_for(connections[settings.APP_METRICS_DATABASE]).queues
    counted = retried(partial(_at_once, checked, count)) if queues else _in_parts(checked, count)
    return checked.lines - len(checked.bad) if counted else None


def _digest(path: Path) -> str:
    if not S_ISREG(path.stat().st_mode):
        what = "is not a regular file, but an import reads it several times"
        raise ValueError(f"{path} {what}: save it as a file first.")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def _at_once(checked: Checked, count: Callable[[Part], bool]) -> bool:
    entries = (entry for _, entry in _entries(checked, 0))
    chunks = iter(lambda: list(islice(entries, CHUNK_SIZE)), [])
    return count(Part(0, None, checked.kinds, chunks))


def _in_parts(checked: Checked, count: Callable[[Part], bool]) -> bool:
    """Count the lines in short transactions, beginning where an interrupted import ended."""
    turns = Turns(connections[settings.APP_METRICS_DATABASE])
    until: int | None = imported_files.counted_until(checked.digest)
    entries, size = _entries(checked, until or 0), 0
    while until is not None:
        size = turns.fitting(CHUNK_SIZE, size)
        try:
            part = _part(checked, until, list(islice(entries, size)))
            turns.begin()
            if not retried(partial(count, part)):
                return _refuse_racing(checked)
        except (OSError, ValueError) as error:
            if not until:
                raise
            name = checked.path.name
            raise Incomplete(f"{name} is counted up to line {until}; import the same file again: {error}") from error
        turns.let_others_write()
        until = part.end
    return True


def _part(checked: Checked, start: int, entries: Sequence[Any]) -> Part:
    """Return the part that begins after a line."""
    end = entries[-1][0] if entries else checked.last
    chunk = [entry for _, entry in entries]
    kinds = {slug: checked.kinds[slug] for slug, *_ in chunk}
    return Part(start, end if end < checked.last else None, kinds, [chunk] if chunk else [])


def _refuse_racing(checked: Checked) -> bool:
    """Return False if another process has imported the file; raise Incomplete if it is still at it."""
    if imported_files.complete(checked.digest):
        return False
    raise Incomplete(f"Another process imports {checked.path.name}, and counts its other lines.")


def _entries(checked: Checked, start: int) -> Iterator[tuple[int, Any]]:
    """Yield number and contents of each good line after line `start`."""
    for number, _, cells in lines(checked.path, exported=checked.is_export):
        if number > start and number not in checked.bad:
            yield number, checked.read(cells)


def _count(checked: Checked, may_add: bool, advance: Advance, part: Part) -> bool:
    """Count the lines of a part in one transaction; return False if another process has counted them."""
    with between_others():
        about = {"name": checked.name, "lines": checked.lines - len(checked.bad)}
        # The first statement writes: after a read, SQLite refuses the write if there is another writer.
        if not imported_files.move(checked.digest, part.start, part.end, **about):
            return False
        write = partial(_add_totals, _locked(part.kinds)) if checked.is_export else _add_items
        if not (may_add or part.start):
            _refuse_incomplete(checked)
            if checked.is_export:
                _refuse_counted(checked)
        for chunk in part.chunks:
            write(chunk)
            advance(len(chunk))
        _refuse_changed(checked, part)
    return True


def _refuse_changed(checked: Checked, part: Part) -> None:
    # The digest of a whole file takes too long for each of its parts.
    is_last = part.end is None
    if _version(checked.path) != checked.version or (is_last and _digest(checked.path) != checked.digest):
        raise ValueError(f"{checked.path} changed while it was read; import it again.")


def _refuse_incomplete(checked: Checked) -> None:
    """Raise ValueError if an import is not complete that may have counted the same lines.

    For an export it is any import; for plain events, that of a file with the same name: it was changed meanwhile.
    """
    about = {} if checked.is_export else {"name": checked.name}
    if reason := imported_files.incomplete(besides=checked.digest, **about):
        raise ValueError(f"{reason} Use --add to count this file nevertheless.")


def _refuse_counted(checked: Checked) -> None:
    """Raise ValueError if metrics already have totals, because the file may contain the same ones."""
    counted = primary(Metric.objects).filter(Exists(Total.objects.filter(metric=OuterRef("pk"))))
    both = sorted(checked.kinds.keys() & set(counted.values_list("slug", flat=True)))
    if both:
        named = ", ".join(both[:NAMED_SLUGS]) + (", …" if len(both) > NAMED_SLUGS else "")
        raise ValueError(f"These metrics already have totals: {named}. Use --add to add those of the file to them.")


def _add_items(entries: Iterable[Entry]) -> None:
    fold = Fold(time_zone(), max_label_sets())
    for entry in entries:
        fold.add(entry)
    MetricsBackend().write(Batch(fold.summaries))


def _add_totals(metrics: Mapping[str, int], chunk: Sequence[ImportedTotal]) -> None:
    totals: dict[TotalKey, Summary] = {}
    for line in chunk:
        key = TotalKey(metrics[line.slug], line.period, line.start, line.hour, line.labels)
        merge_into(totals, key, line.summary)
    connection = connections[settings.APP_METRICS_DATABASE]
    dialect_for(connection).add_totals(connection, sorted(totals.items()))
    # Milestones that were reached in the past are not announced.
    for line in chunk:
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
