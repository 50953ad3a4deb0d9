"""Append batches to files of a directory: to the spool, to the journal of the buffered mode, or to that of SQLite.

A segment is a file to which one thread of one process appends at a time. A record is a newline, the CRC-32 of a batch's
text in hexadecimal digits, a space, that text, and a newline: half a record never damages the next one.
"""

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from typing import BinaryIO
from zlib import crc32

from ..core.batch import Batch, new_batch_id
from ..core.forking import after_fork
from ..core.serialization import VERSION, NewerBatchError, decode_batch, encode_batch, newer

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SEGMENT = ".batches"

CAN_LOCK = fcntl is not None

# Seconds between two tries to get a lock.
PAUSE = 0.005

# The version of a record's batch, which begins the JSON in its text.
_VERSION = re.compile(rb"[0-9a-f]{8} \[(\d{1,9}),")

# Bring what was written to a file to the disk; macOS has no fdatasync.
to_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Segments:
    """The segments of a directory, and which of them this process has appended to.

    A segment takes no further batch at `max_segment` bytes, and at `max_bytes` of all segments no new one begins.
    `beside` is a file: a missing directory is then created with the mode and owner of the directory of that file, and
    segments have those of the file; without it, the directory must exist.
    """

    def __init__(self, directory: Path, max_segment: int, max_bytes: int, beside: Path | None = None) -> None:
        self.directory, self._beside = directory, beside
        self._max_segment, self._max_bytes = max_segment, max_bytes
        self._start_afresh()
        after_fork(self._start_afresh)

    def append(self, batch: Batch, *, durable: bool = False) -> None:
        """Append a batch, and bring it to the disk if it is to be durable. Never waits for a lock.

        Raises OSError if nothing was appended.
        """
        record = encoded(batch)
        path, descriptor = self._reopened(self._free) or self._begun(durable)
        try:
            append_record(descriptor, record, durable)
        except BaseException:
            path = _renamed(path)  # readers may have seen what was removed again
            raise
        finally:
            unlock_and_close(descriptor)
            self._free.append(path)

    def _start_afresh(self) -> None:
        """Leave the segments to the parent process."""
        self._free: deque[Path] = deque()  # those that no thread is appending to

    def _reopened(self, paths: deque[Path]) -> tuple[Path, int] | None:
        """Return the first of some segments that is neither full nor in use, open; None if there is none."""
        with suppress(IndexError):
            while True:
                path = paths.popleft()
                if (descriptor := self._opened(path)) is not None:
                    return path, descriptor
        return None

    def _opened(self, path: Path) -> int | None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        except (FileNotFoundError, PermissionError):  # an aggregation has taken it, or another user has begun it
            return None
        has_room = False
        try:
            has_room = (status := _status_if_mine(descriptor, path)) is not None and status.st_size < self._max_segment
        finally:
            if not has_room:
                unlock_and_close(descriptor)
        return descriptor if has_room else None

    def _begun(self, durable: bool) -> tuple[Path, int]:
        """Return an open segment that another process or thread has left, or a new one.

        Raises OSError if the directory or the disk is full.
        """
        if self._beside is not None:
            self._prepare(self._beside, durable)
        sizes = sizes_in(self.directory)
        if sum(sizes.values()) >= self._max_bytes:
            raise OSError(f"{self.directory} is full: it holds {self._max_bytes} bytes")
        # Many short processes would otherwise leave as many files, and each costs the readers time.
        if left := self._reopened(deque(sorted(path for path, size in sizes.items() if size < self._max_segment))):
            return left
        path = _new_name(self.directory)
        return path, created(path, durable, self._beside)

    def _prepare(self, beside: Path, durable: bool) -> None:
        """Create a missing directory. Raises OSError if the file is mounted alone: others would not see it."""
        device = beside.stat().st_dev
        if not self.directory.is_dir():
            self.directory.mkdir(exist_ok=True)
            _share(self.directory, beside.parent)
            if durable:
                _names_to_disk(beside.parent)
        if self.directory.stat().st_dev != device:
            raise OSError(f"{beside} is mounted from another file system than its directory")


def sizes_in(directory: Path, suffix: str = SEGMENT) -> dict[Path, int]:
    """Return the files with a suffix, those of other processes included, each with its size in bytes."""
    with os.scandir(directory) as found:
        return dict(_sizes_of(found, suffix))


def created(path: Path, durable: bool, like: Path | None = None) -> int:
    """Create a file, and return its descriptor, with the lock; nobody sees the file without it.

    The file has the mode and owner of the file `like`.
    """
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # succeeds at once: no other process knows the file
        if like is not None:
            _share(descriptor, like)
        new.rename(path)
        if durable:
            _names_to_disk(path.parent)
    except OSError:
        new.unlink(missing_ok=True)
        unlock_and_close(descriptor)
        raise
    return descriptor


@contextmanager
def claim(segment: Path, patience: float = 0.0) -> Iterator[BinaryIO | None]:
    """Open and lock a segment during the block.

    Yields None if it is gone, or if another process or thread holds it for more than `patience` seconds.
    """
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        yield None
        return
    until = time.monotonic() + patience
    with file:
        try:
            while not (is_locked := _lock(file.fileno())) and time.monotonic() < until:
                time.sleep(PAUSE)
            yield file if is_locked and _status_at(file.fileno(), segment) else None
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def is_locked(path: Path) -> bool:
    """Return whether a file is gone, or a process or thread holds its lock."""
    with claim(path) as file:
        return file is None


def records(content: bytes) -> list[bytes]:
    """Return the complete records of a segment, without the partial one that a killed process left at its end."""
    *lines, last = content.split(b"\n")
    if _is_intact(last[:-1]):  # it is complete, and only its newline is damaged
        lines.append(last[:-1])
    return [line for line in lines if line]


def decoded(lines: Iterable[bytes], damaged: dict[bytes, str]) -> Iterator[tuple[int, Batch]]:
    """Yield the number and the batch of each intact record; note the others, each with what is wrong with it."""
    for number, line in enumerate(lines):
        try:
            yield number, decode(line)
        except ValueError as error:
            damaged[line] = str(error)


def check_readable(name: str, lines: Iterable[bytes]) -> None:
    """Raise NewerBatchError if a newer version of this package has written one of the records of a file."""
    for line in lines:
        found = _VERSION.match(line)
        if found and int(found[1]) > VERSION and _is_intact(line):
            raise NewerBatchError(f"{name}: {newer(int(found[1]))}")


def decode(record: bytes) -> Batch:
    """Return the batch of a record. Raises ValueError for a damaged one, and NewerBatchError as `decode_batch` does."""
    if not _is_intact(record):
        raise ValueError("its checksum is wrong")
    return decode_batch(record.partition(b" ")[2].decode())


def _is_intact(record: bytes) -> bool:
    checksum, _, text = record.partition(b" ")
    return checksum == b"%08x" % crc32(text)


def encoded(batch: Batch) -> bytes:
    """Return the record of a batch."""
    text = encode_batch(batch).encode()
    return b"\n%08x %b\n" % (crc32(text), text)


def append_record(descriptor: int, record: bytes, durable: bool) -> None:
    """Append a whole record, or raise OSError and append nothing."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, record) < len(record):
            raise OSError("the disk is full")
        if durable:
            to_disk(descriptor)
    except BaseException:  # also an exit, as of a worker that its server ends: the batch is kept and written again
        os.ftruncate(descriptor, size)
        raise


def _renamed(path: Path) -> Path:
    """Give a segment a new name, and return it; the old one if an aggregation has taken it."""
    new = _new_name(path.parent)
    try:
        path.rename(new)
    except OSError:
        return path
    return new


def _new_name(directory: Path) -> Path:
    return directory / f"{new_batch_id().hex}{SEGMENT}"


def _lock(descriptor: int) -> bool:
    """Try to lock a segment, without waiting; return whether that succeeded."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _status_if_mine(descriptor: int, path: Path) -> os.stat_result | None:
    """Try to lock a segment; return its status, or None if that failed or an aggregation has moved or deleted it."""
    return _status_at(descriptor, path) if _lock(descriptor) else None


def _status_at(descriptor: int, path: Path) -> os.stat_result | None:
    """Return the status of an open file; None if it is not at its path any more."""
    status = os.fstat(descriptor)
    try:
        return status if os.path.samestat(status, os.stat(path)) else None
    except FileNotFoundError:
        return None


def unlock_and_close(descriptor: int) -> None:
    """Unlock and close a segment; closing does not unlock it if a process that forked meanwhile has it open, too."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _share(new: int | Path, like: Path) -> None:
    """Let all who use a file or directory use a new one, as SQLite does with its own files."""
    model = like.stat()
    os.chmod(new, S_IMODE(model.st_mode))
    if os.geteuid() == 0:
        os.chown(new, model.st_uid, model.st_gid)


def _names_to_disk(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sizes_of(found: Iterable[os.DirEntry[str]], suffix: str) -> Iterator[tuple[Path, int]]:
    for entry in found:
        if entry.name.endswith(suffix):
            with suppress(FileNotFoundError):  # an aggregation has stored and deleted it meanwhile
                yield Path(entry.path), entry.stat().st_size
