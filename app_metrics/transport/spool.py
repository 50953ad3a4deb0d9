"""Keep batches in files (APP_METRICS_SPOOL_DIR), where they outlive the process that could not write them.

A segment is a file to which one process appends, one thread at a time. A record is a newline, the CRC-32 of a batch's
text in hexadecimal digits, a blank, that text, and a newline: half a record never damages the next one. There is no
fsync: what is spooled survives a killed process, not a machine without power.
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

from ..conf import settings, spool_dir
from ..core.batch import Batch
from ..core.dropped import warn_once
from ..core.forking import after_fork
from ..core.serialization import decode_batch, encode_batch

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SEGMENT, DAMAGED = ".batches", ".damaged"
# Bytes of a segment after which another one is begun, and of all of them beyond which none is.
MAX_SEGMENT = 16 * 2**20
MAX_SPOOL = 2**30

CAN_LOCK = fcntl is not None
HINT = "Make it, on a local disk, for the user that runs the site and the aggregation."

# The segments of this process to which no thread is appending.
_free: deque[Path] = deque()


class Waiting(NamedTuple):
    """What is in the spool: segments, their bytes, and files of damaged records."""

    segments: int
    bytes: int
    damaged: int


def append(batch: Batch) -> bool:
    """Keep a batch in the spool, and tell whether it is there. Never waits for a lock, never raises an Exception."""
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
    """Return what is wrong with APP_METRICS_SPOOL_DIR."""
    directory, path = settings.APP_METRICS_SPOOL_DIR, spool_dir()
    if directory is None:
        return []
    if not CAN_LOCK:
        hint = "Set it to None: what cannot be written is then kept in memory."
        return [Error("APP_METRICS_SPOOL_DIR needs file locks, which are not here.", hint=hint, id="app_metrics.E025")]
    if path is None or not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        text = f"APP_METRICS_SPOOL_DIR is {directory!r}, which is no directory that this user may write to."
        return [Error(text, hint=HINT, id="app_metrics.E024")]
    return []


def segments() -> list[Path]:
    directory = spool_dir()
    return sorted(directory.glob(f"*{SEGMENT}")) if directory else []


def waiting() -> Waiting | None:
    """Return what is in the spool; None where there is none, or none that can be read."""
    directory = spool_dir()
    try:
        sizes = _sizes(directory) if directory else None
    except OSError:  # the check says what is wrong
        return None
    if directory is None or sizes is None:
        return None
    return Waiting(len(sizes), sum(sizes), len(list(directory.glob(f"*{DAMAGED}"))))


@contextmanager
def claim(segment: Path) -> Iterator[BinaryIO | None]:
    """Open a segment for whoever comes first, until the end of the block; it is None where somebody else has it."""
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
    """Return the complete records of a segment, without half a one at its end: its process was killed."""
    return [line for line in file.read().split(b"\n")[:-1] if line]


def decode(record: bytes) -> Batch:
    """Return the batch of a record. Raises ValueError for a damaged one."""
    checksum, _, text = record.partition(b" ")
    if checksum != b"%08x" % crc32(text):
        raise ValueError("its checksum is wrong")
    return decode_batch(text.decode())


def set_aside(segment: Path, damaged: list[bytes]) -> Path:
    """Write damaged records to a file of their own beside their segment."""
    path = segment.with_suffix(DAMAGED)
    path.write_bytes(b"".join(record + b"\n" for record in damaged))
    return path


def _append(descriptor: int, record: bytes) -> bool:
    """Append a record, or nothing. Raises OSError where half of it cannot be taken back; nothing may follow it then."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, record) == len(record):
            return True
    except OSError as error:  # nothing was written
        return _refuse(error)
    os.ftruncate(descriptor, size)
    return _refuse("there is no room for it")


def _refuse(cause: OSError | str) -> bool:
    warn_once(f"The spool takes no batch, which is kept in memory instead: {cause}")
    return False


def _start_afresh() -> None:
    """Leave its segments to the process that this one was forked from."""
    _free.clear()


after_fork(_start_afresh)


def _reopened(directory: Path) -> tuple[Path, int] | None:
    """Return a segment of this process that has room; None where there is none, or others are reading it."""
    try:
        path = _free.popleft()
    except IndexError:
        return None
    if path.parent != directory:
        return None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:  # an aggregation has counted it
        return None
    has_room = False
    try:
        has_room = _is_mine(descriptor) and os.fstat(descriptor).st_size < MAX_SEGMENT
    finally:
        if not has_room:
            _close(descriptor)
    return (path, descriptor) if has_room else None


def _begun(directory: Path) -> tuple[Path, int]:
    """Return a new segment. Raises OSError where there is no room for one."""
    if sum(_sizes(directory)) >= MAX_SPOOL:
        raise OSError(f"{directory} holds {MAX_SPOOL} bytes")
    path = directory / f"{os.getpid()}-{token_hex(8)}{SEGMENT}"
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # nobody else knows of it yet
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        _close(descriptor)
        raise
    return path, descriptor


def _is_mine(descriptor: int) -> bool:
    """Lock a segment without waiting, and tell whether it is still there and nobody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _close(descriptor: int) -> None:
    """Close a segment, and unlock it: a process that was forked meanwhile has it open, too, and would hold the lock."""
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
            with suppress(FileNotFoundError):  # an aggregation has counted it meanwhile
                yield entry.stat().st_size
