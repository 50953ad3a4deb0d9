"""Keep failed batches in files (APP_METRICS_SPOOL_DIR), so that they survive their process.

There is no fsync: spooled batches survive a killed process, but not a power failure.
"""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from django.core.checks import CheckMessage, Error

from ..conf import SETTINGS, settings, spool_dir
from ..core.batch import Batch
from ..core.dropped import warn_once
from ..core.plain_text import brief
from .segments import CAN_LOCK, SEGMENT, Segments, sizes_in

DAMAGED = ".damaged"
# Bytes of a segment at which a new one begins, and bytes of all segments at which no new one begins.
MAX_SEGMENT = 16 * 2**20
MAX_SPOOL = 2**30


class Pending(NamedTuple):
    """The contents of the spool: segments, their bytes, and files of damaged records."""

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
        _spool(directory).append(batch)
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
    directory = spool_dir()
    return sorted(directory.glob(f"*{SEGMENT}")) if directory else []


def pending() -> Pending | None:
    """Return the contents of the spool; None if there is no spool or it cannot be read."""
    directory = spool_dir()
    try:
        sizes = sizes_in(directory).values() if directory else None
    except OSError:  # `check` reports it
        return None
    if directory is None or sizes is None:
        return None
    return Pending(len(sizes), sum(sizes), len(list(directory.glob(f"*{DAMAGED}"))))


def set_aside(segment: Path, damaged: list[bytes]) -> Path:
    """Write damaged records to a separate file beside their segment, and return its path."""
    path = segment.with_suffix(DAMAGED)
    path.write_bytes(b"".join(record + b"\n" for record in damaged))
    return path
