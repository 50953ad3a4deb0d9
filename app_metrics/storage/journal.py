"""The journal: files beside a SQLite database that hold what is recorded until the next aggregation.

SQLite refuses the first write of a transaction that has read before another connection wrote. If recording wrote to the
database at the end of each request, it would make other requests fail.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from ..core.batch import Batch, Key
from ..core.dropped import warn_once
from ..core.plain_text import brief
from ..core.serialization import NewerBatchError
from ..core.summary import Summary, merge_each_into
from ..core.test_runs import in_tests
from ..transport.segments import CAN_LOCK, SEGMENT, Segments, check_readable, claim, decoded, records
from .connections import commits_at_once
from .dialects.base import BAD_DATA
from .ledger import write_once
from .sqlite_files import FULL, identity, level_of, path_of
from .transactions import between_others, retried
from .turns import Turns

# A segment that an aggregation has taken: nobody appends to it any more.
SEALED = ".sealed"
NAME = re.compile(rf"([0-9a-f]{{32}})(?:{re.escape(SEGMENT)}|{re.escape(SEALED)})")
# Bytes of a segment at which a new one begins, which bounds the transactions of an aggregation, and bytes of all
# segments at which no new one begins, because readings decode them.
MAX_SEGMENT = 2**20
MAX_JOURNAL = 16 * 2**20
# Seconds that an aggregation waits for the thread that is appending to a segment.
PATIENCE = 1.0

# The segment and the line where a batch was seen first: it may have been written again because a write was interrupted.
Places = dict[UUID, tuple[str, int]]

# The attribute of Django's connection that holds what it has opened, or the file that it would open, and the journal
# beside that. Asking SQLite and resolving links for each batch would take as long as the rest of an append.
OPENED = "_app_metrics_opened"


class Reading(NamedTuple):
    """What was read of a segment so far: its bytes, its lines, and the merged summaries, which are never changed."""

    size: int = 0
    lines: int = 0
    summaries: Mapping[Key, Summary] = {}


class Sealed(NamedTuple):
    """A sealed segment: its file, its contents, and its damaged lines, each with the reason."""

    path: Path
    reading: Reading
    damaged: dict[str, str]


class Journal(Segments):
    """The journal of one database. Each segment counts as one batch, under the id that is its name."""

    def __init__(self, database: Path) -> None:
        super().__init__(Path(f"{database}-metrics"), MAX_SEGMENT, MAX_JOURNAL, beside=database)
        self._known: dict[str, Reading] = {}
        self._places: Places = {}

    def pending(self) -> Iterator[Batch]:
        """Yield what is in the segments; only what was added since the last call is read.

        Raises OSError at the end if some cannot be read.
        """
        known, names = self._known, self._names()
        if known.keys() - set(names):
            self._places = {key: place for key, place in list(self._places.items()) if place[0] in names}
        failures: list[str] = []
        found = {name: self._read_or_note(name, known.get(name, Reading()), failures) for name in names}
        self._known = current = {name: reading for name, reading in found.items() if reading}
        yield from (Batch(reading.summaries, UUID(name)) for name, reading in current.items() if reading.summaries)
        if failures:
            raise OSError(f"{len(failures)} files of the journal could not be read: {'; '.join(failures)}")

    def ids(self) -> set[UUID]:
        """Return the ids of the batches that `pending()` found last."""
        return {UUID(name) for name in self._known}

    def drain(self, connection: Any) -> None:
        """Move all segments to the item log, each exactly once, in transactions of about a MiB.

        Raises OSError at the end if some cannot be read or deleted. Raises database errors; the rest stays where it is.
        """
        failures: list[str] = []
        if names := self._names():
            turns = Turns(connection)
            with _surviving_power_failures(connection):
                for group in _groups(self._sealed(names, failures)):
                    retried(partial(_store, group))
                    _delete(group, failures)
                    turns.let_others_write()
        if failures:
            raise OSError(f"{len(failures)} files of the journal could not be moved: {'; '.join(failures)}")

    def forget(self) -> None:
        """Delete all segments."""
        for name in self._names():
            for suffix in (SEGMENT, SEALED):
                (self.directory / f"{name}{suffix}").unlink(missing_ok=True)

    def _names(self) -> list[str]:
        """Return the names of the segments, oldest first; other files are none of ours."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return sorted({found[1] for each in os.listdir(self.directory) if (found := NAME.fullmatch(each))})
        return []

    def _read_or_note(self, name: str, known: Reading, failures: list[str]) -> Reading | None:
        """Return the contents of a segment, or what is known of one that cannot be read; note the failure."""
        try:
            return self._read(name, known)
        except (OSError, NewerBatchError) as error:
            failures.append(str(error))
            return known

    def _read(self, name: str, known: Reading) -> Reading | None:
        """Return the contents of a segment, those known included; None if it is stored and deleted."""
        file = self._file(name)
        if file is None:
            return None
        with file:
            file.seek(known.size)
            complete, newline, _ = file.read().rpartition(b"\n")
        if not newline:
            return known
        lines = records(complete + newline)
        check_readable(name, lines)
        reading, _ = _added(name, lines, known, self._places)
        return reading._replace(size=known.size + len(complete) + 1)

    def _file(self, name: str) -> BinaryIO | None:
        for suffix in (SEGMENT, SEALED):  # in this order, because a segment may be sealed meanwhile
            with suppress(FileNotFoundError):
                return (self.directory / f"{name}{suffix}").open("rb")
        return None

    def _sealed(self, names: Iterable[str], failures: list[str]) -> Iterator[Sealed]:
        """Seal segments and yield their contents, without those that are gone or in use; note what fails."""
        places = Places()
        for name in names:
            segment = self.directory / f"{name}{SEGMENT}"
            sealed = segment.with_suffix(SEALED)
            try:
                with suppress(FileNotFoundError):  # sealed before
                    segment.rename(sealed)
                with claim(sealed, PATIENCE) as file:
                    content = file.read() if file else None
                lines = records(content or b"")
                check_readable(sealed.name, lines)
            except (OSError, NewerBatchError) as error:
                failures.append(str(error))
                continue
            if content is not None:
                reading, damaged = _added(name, lines, Reading(len(content)), places)
                yield Sealed(sealed, reading, damaged)


def journal_of(connection: Any) -> Journal | None:
    """Return the journal beside a database; None if it is not a SQLite file, or if the system has no file locks."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db() or not CAN_LOCK:
        return None
    opened = connection.connection or identity(path_of(connection))
    known, journal = getattr(connection, OPENED, (None, None))
    if opened is None or known != opened:
        journal = _journal_at(path_of(connection))
        setattr(connection, OPENED, (opened, journal))
    return journal


def _journal_at(path: str) -> Journal | None:
    return _journal(os.path.realpath(path)) if path else None


@cache
def _journal(path: str) -> Journal:
    return Journal(Path(path))


def append(connection: Any, batch: Batch) -> bool:
    """Append a batch to the journal of a database, as durably as the database commits; return whether that was done.

    Inside a transaction, and in tests, batches belong into the database.
    """
    if connection.vendor != "sqlite" or not commits_at_once(connection) or in_tests():
        return False
    if (journal := journal_of(connection)) is None:
        return False
    try:
        journal.append(batch, durable=level_of(connection) >= FULL)
    except FileNotFoundError:  # there is no database before the first `migrate`: its own error says so
        return False
    except (OSError, *BAD_DATA) as error:
        warn_once(
            "Could not append to the journal, so metrics are written to the database, which may lock out requests. "
            f"Run metrics_aggregate regularly, or see to the directory: {brief(error, show=str)}"
        )
        return False
    return True


def _groups(found: Iterable[Sealed]) -> Iterator[list[Sealed]]:
    """Yield what fits into one transaction; each transaction may make a request fail."""
    group: list[Sealed] = []
    size = 0
    for each in found:
        group.append(each)
        size += each.reading.size
        if size >= MAX_SEGMENT:
            yield group
            group, size = [], 0
    if group:
        yield group


def _store(group: Sequence[Sealed]) -> None:
    """Store segments; if the process is killed before it deletes them, the ledger knows them in the next run."""
    with between_others(durable=True):
        for path, reading, damaged in group:
            if reading.summaries or damaged:
                write_once(Batch(reading.summaries, UUID(path.stem)), damaged, tries=1)


def _delete(group: Iterable[Sealed], failures: list[str]) -> None:
    for each in group:
        try:
            each.path.unlink(missing_ok=True)
        except OSError as error:
            failures.append(str(error))


def _added(name: str, lines: Sequence[bytes], known: Reading, places: Places) -> tuple[Reading, dict[str, str]]:
    """Return a reading with further lines of its segment, each batch once, and the damaged lines: text → reason."""
    summaries, damaged = dict(known.summaries), dict[bytes, str]()
    for number, batch in decoded(lines, damaged):
        place = name, known.lines + number
        if places.setdefault(batch.id, place) == place:
            merge_each_into(summaries, batch.summaries)
    texts = {line.decode("utf-8", "backslashreplace"): reason for line, reason in damaged.items()}
    return Reading(known.size, known.lines + len(lines), summaries), texts


@contextmanager
def _surviving_power_failures(connection: Any) -> Iterator[None]:
    """Make the commits of the block survive a power failure, because what was committed is then deleted elsewhere."""
    if not commits_at_once(connection):
        raise RuntimeError("inside a transaction, which may be rolled back, the journal cannot be drained")
    connection.ensure_connection()
    level = level_of(connection)
    connection.connection.execute(f"PRAGMA synchronous = {max(level, FULL)}")
    try:
        yield
    finally:
        if connection.connection is not None:
            connection.connection.execute(f"PRAGMA synchronous = {level}")
