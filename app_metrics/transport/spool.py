"""Keep failed batches in files (APP_METRICS_SPOOL_DIR), so that they survive their process.

Without APP_METRICS_SPOOL_SYNC they survive a killed process, but not a power failure. The journal of the buffered mode
is in the same directory.
"""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from django.core.checks import CheckMessage, Error

from ..conf import SETTINGS, settings, spool_dir, syncs_spool
from ..core.batch import Batch
from ..core.dropped import warn_once
from ..core.plain_text import brief
from .segments import CAN_LOCK, SEGMENT, Segments, is_locked, sizes_in

DAMAGED = ".damaged"
# A part of the journal of the buffered mode.
PART = ".journal"
# Bytes of a segment at which a new one begins, and bytes of all segments at which no new one begins.
MAX_SEGMENT = 16 * 2**20
MAX_SPOOL = 2**30


class Pending(NamedTuple):
    """What the next aggregation counts: segments and parts of the journal that no process has; their bytes.

    `damaged` is the number of files with damaged records.
    """

    segments: int
    bytes: int
    damaged: int


@cache
def _spool(directory: Path) -> Segments:
    return Segments(directory, MAX_SEGMENT, MAX_SPOOL)


def append(batch: Batch) -> bool:
    """Add a batch to the spool and return whether that succeeded. Never waits for a lock, never raises an Exception."""
    directory = spool_dir()
    if directory is None or not CAN_LOCK:
        return False
    try:
        _spool(directory).append(batch, durable=syncs_spool())
    except OSError as error:
        warn_once(f"Could not spool a batch; it is kept in memory instead: {brief(error, show=str)}")
        return False
    return True


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
    return _files(SEGMENT)


def parts() -> list[Path]:
    """Return the parts of the journal, oldest first; processes that live have locked theirs."""
    return _files(PART)


def _files(suffix: str) -> list[Path]:
    directory = spool_dir()
    return sorted(directory.glob(f"*{suffix}")) if directory else []


def pending() -> Pending | None:
    """Return the contents of the spool; None if there is no spool or it cannot be read."""
    directory = spool_dir()
    if directory is None:
        return None
    try:
        left = [size for path, size in sizes_in(directory, PART).items() if _is_left(path)]
        sizes = [*sizes_in(directory).values(), *left]
    except OSError:  # `check` reports it
        return None
    return Pending(len(sizes), sum(sizes), len(list(directory.glob(f"*{DAMAGED}"))))


def _is_left(part: Path) -> bool:
    """Return whether the process of a part is gone, as far as this user may know."""
    try:
        return not is_locked(part)
    except PermissionError:
        return True


def set_aside(segment: Path, damaged: Iterable[bytes]) -> Path:
    """Write damaged records to a separate file beside their segment, and return its path."""
    path = segment.with_suffix(DAMAGED)
    path.write_bytes(b"".join(record + b"\n" for record in damaged))
    return path
