"""Keep failed batches in files (APP_METRICS_SPOOL_DIR), so that they survive their process.

A segment is a file to which one process appends, one thread at a time. A record is a newline, the CRC-32 of a batch's
text in hexadecimal digits, a space, that text, and a newline: half a record never damages the next one. There is no
fsync: spooled batches survive a killed process, but not a power failure.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, NamedTuple
from zlib import crc32

from django.core.checks import CheckMessage, Error

from ..conf import SETTINGS, settings, spool_dir
from ..core.batch import Batch
from ..core.dropped import warn_once
from ..core.forking import after_fork
from ..core.plain_text import brief
from ..core.serialization import decode_batch, encode_batch

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SEGMENT, DAMAGED = ".batches", ".damaged"
# Bytes of a segment at which a new one begins, and bytes of all segments at which no new one begins.
MAX_SEGMENT = 16 * 2**20
MAX_SPOOL = 2**30

CAN_LOCK = fcntl is not None

# The segments of this process that no thread is appending to.
_free: deque[Path] = deque()


class Pending(NamedTuple):
    """The contents of the spool: segments, their bytes, and files of damaged records."""

    segments: int
    bytes: int
    damaged: int


def append(batch: Batch) -> bool:
    """Add a batch to the spool and return whether that succeeded. Never waits for a lock, never raises an Exception."""
    directory = spool_dir()
    if directory is None or not CAN_LOCK:
        return False
    text = encode_batch(batch).encode()
    try:
        path, descriptor = _reopened(directory) or _begun(directory)
        try:
            is_there = _append(descriptor, b"\n%08x %b\n" % (crc32(text), text))
        finally:
            _close(descriptor)
    except OSError as error:
        return _refuse(error)
    _free.append(path)
    return is_there


def check() -> list[CheckMessage]:
    """Return the problems of APP_METRICS_SPOOL_DIR."""
    directory, path = settings.APP_METRICS_SPOOL_DIR, spool_dir()
    if directory is None:
        return []
    if not CAN_LOCK:
        hint = "Set it to None: batches that cannot be written are then kept in memory."
        return [
            Error(
                "APP_METRICS_SPOOL_DIR needs file locks, which this system does not have.",
                hint=hint,
                id="app_metrics.E025",
            )
        ]
    if path is None or not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        text = (
            f"APP_METRICS_SPOOL_DIR is {brief(directory)}, which is not a directory that this user can read and write."
        )
        setting = SETTINGS["SPOOL_DIR"]
        return [Error(text, hint=setting.hint, id=f"app_metrics.{setting.code}")]
    return []


def segments() -> list[Path]:
    directory = spool_dir()
    return sorted(directory.glob(f"*{SEGMENT}")) if directory else []


def pending() -> Pending | None:
    """Return the contents of the spool; None if there is no spool or it cannot be read."""
    directory = spool_dir()
    try:
        sizes = _sizes(directory) if directory else None
    except OSError:  # `check` reports it
        return None
    if directory is None or sizes is None:
        return None
    return Pending(len(sizes), sum(sizes), len(list(directory.glob(f"*{DAMAGED}"))))


@contextmanager
def claim(segment: Path) -> Iterator[BinaryIO | None]:
    """Open and lock a segment during the block; yield None if another process or thread holds it, or it is gone."""
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            yield file if _is_mine(file.fileno()) else None
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def records(file: BinaryIO) -> list[bytes]:
    """Return the complete records of a segment, without the partial one that a killed process left at its end."""
    *lines, last = file.read().split(b"\n")
    if _is_intact(last[:-1]):  # it is complete, and only its newline is damaged
        lines.append(last[:-1])
    return [line for line in lines if line]


def decode(record: bytes) -> Batch:
    """Return the batch of a record. Raises ValueError for a damaged one."""
    if not _is_intact(record):
        raise ValueError("its checksum is wrong")
    return decode_batch(record.partition(b" ")[2].decode())


def set_aside(segment: Path, damaged: list[bytes]) -> Path:
    """Write damaged records to a separate file beside their segment, and return its path."""
    path = segment.with_suffix(DAMAGED)
    path.write_bytes(b"".join(record + b"\n" for record in damaged))
    return path


def _is_intact(record: bytes) -> bool:
    checksum, _, text = record.partition(b" ")
    return checksum == b"%08x" % crc32(text)


def _append(descriptor: int, record: bytes) -> bool:
    """Append a whole record or nothing. Raises OSError if a partial record cannot be removed again."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, record) == len(record):
            return True
    except OSError as error:  # nothing was written
        return _refuse(error)
    os.ftruncate(descriptor, size)
    return _refuse("the disk is full")


def _refuse(cause: OSError | str) -> bool:
    warn_once(f"Could not spool a batch; it is kept in memory instead: {brief(cause, show=str)}")
    return False


def _start_afresh() -> None:
    """Leave the segments to the parent process."""
    _free.clear()


after_fork(_start_afresh)


def _reopened(directory: Path) -> tuple[Path, int] | None:
    """Return an open segment of this process that is not full or being read; None if there is none."""
    try:
        path = _free.popleft()
    except IndexError:
        return None
    if path.parent != directory:
        return None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:  # an aggregation has stored and deleted it
        return None
    has_room = False
    try:
        has_room = _is_mine(descriptor) and os.fstat(descriptor).st_size < MAX_SEGMENT
    finally:
        if not has_room:
            _close(descriptor)
    return (path, descriptor) if has_room else None


def _begun(directory: Path) -> tuple[Path, int]:
    """Return a new open segment. Raises OSError if the spool or the disk is full."""
    if sum(_sizes(directory)) >= MAX_SPOOL:
        raise OSError(f"{directory} is full: it holds {MAX_SPOOL} bytes")
    path = directory / f"{os.getpid()}-{token_hex(8)}{SEGMENT}"
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # succeeds at once: no other process knows the file
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        _close(descriptor)
        raise
    return path, descriptor


def _is_mine(descriptor: int) -> bool:
    """Try to lock a segment, without waiting; return whether that succeeded and the file still exists."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _close(descriptor: int) -> None:
    """Unlock and close a segment; closing does not unlock it if a process that forked meanwhile has it open, too."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _sizes(directory: Path) -> list[int]:
    with os.scandir(directory) as found:
        return list(_sizes_of(found))


def _sizes_of(found: Iterable[os.DirEntry[str]]) -> Iterator[int]:
    for entry in found:
        if entry.name.endswith(SEGMENT):
            with suppress(FileNotFoundError):  # an aggregation has stored and deleted it meanwhile
                yield entry.stat().st_size
