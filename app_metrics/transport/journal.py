"""The journal of the buffered mode: with APP_METRICS_SPOOL_DIR, a killed process loses nothing that it has merged.

A part of the journal is a file in that directory, and the same batches merged in memory. A batch is appended to the
file, with one write, and merged. Once an interval the part is written as one batch, whose id is the name of the file
and goes to the ledger in the same transaction; then the file is deleted, and the next batch begins another part.

A process holds the lock of a file as long as it lives. The next aggregation on the machine merges the files without a
lock, and writes each under the id that is its name: the ledger recognises those that were written before. This includes
a part whose write failed, if the spool did not take it.
"""

import os
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from ..conf import spool_dir, syncs_spool
from ..core.batch import Batch, new_batch_id
from ..core.dropped import warn_once
from ..core.forking import after_fork
from ..core.plain_text import brief
from .exclusion import Exclusion
from .merging import MAX_SUMMARIES, Merging
from .segments import append_record, created, encoded, sizes_in, unlock_and_close
from .spool import PART

# Bytes of a part at which a new one begins: its keys are then fewer than the ids that a batch has for items.
MAX_PART = 4 * 2**20
# Bytes of all parts in the directory, and summaries in those of this process, at which no new part begins.
MAX_JOURNAL = 2**30
MAX_WAITING = 5 * MAX_SUMMARIES
# The maximum number of seconds that a thread waits for others that append.
LONGEST_WAIT = 1.0


class Part:
    """A file that this process has locked, and the batches in it, merged."""

    def __init__(self, path: Path, durable: bool) -> None:
        self.path = path
        self._durable = durable
        self._descriptor = created(path, durable)
        self._merging = Merging()
        self._size = 0

    def __len__(self) -> int:
        """Return the number of merged summaries."""
        return len(self._merging)

    @property
    def is_empty(self) -> bool:
        """Whether no batch was appended, because the disk was full."""
        return not self._size

    def has_room(self, record: bytes) -> bool:
        return self._size + len(record) <= MAX_PART

    def append(self, record: bytes, batch: Batch) -> None:
        """Append a batch. Raises OSError if the file does not take it; then it is not merged, either."""
        append_record(self._descriptor, record, self._durable)
        self._size += len(record)
        self._merging.add(batch)

    def take(self) -> Batch | None:
        """Take out everything as one batch under the id of the part; None in the middle of a merge of this thread."""
        merged = self._merging.take(sys.maxsize)
        return Batch(merged[0].summaries, UUID(self.path.stem)) if merged else None

    def close(self) -> None:
        unlock_and_close(self._descriptor)

    def leave(self) -> None:
        """Close the file in a forked process; unlocking it would unlock that of the parent."""
        with suppress(OSError):  # the parent was just closing it
            os.close(self._descriptor)


class Journal(Exclusion):
    """The parts of this process: the one that takes batches, and those that wait for their write."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[Part] = set()
        self._current: Part | None = None
        self._waiting: deque[Part] = deque()
        # How many batches in a row could not be appended, and are only in memory.
        self.refused = 0
        after_fork(self._start_afresh)

    def __len__(self) -> int:
        """Return the number of summaries in parts that are not written yet."""
        return sum(map(len, list(self._open)))

    @property
    def is_due(self) -> bool:
        """Whether to write before the interval is over: a part is full, or memory is."""
        return len(self._waiting) > 0 or len(self) >= MAX_SUMMARIES

    def add(self, batch: Batch) -> bool:
        """Append a batch, and return whether that succeeded. Waits for the disk, and up to a second for other threads.

        Returns False also in the middle of another append of this thread, which a garbage collection has interrupted.
        """
        try:
            record = encoded(batch)
            with self.turn(LONGEST_WAIT) as is_mine:
                if not is_mine:
                    raise BlockingIOError("another append has not ended")
                self._part_for(record).append(record, batch)
                self.refused = 0
            return True
        except (OSError, ValueError) as error:  # also a text that UTF-8 cannot encode
            self.refused += 1
            warn_once(
                "Could not append to the journal of the buffered mode; what is recorded until the next write is only "
                f"in memory: {brief(error, show=str)}"
            )
            return False

    def take(self) -> list[Part]:
        """Take out the parts to be written, oldest first; the next batch begins another one."""
        with self.turn(LONGEST_WAIT) as is_mine:
            if is_mine:
                self._wait()
        parts = []
        while self._waiting:
            try:
                parts.append(self._waiting.popleft())
            except IndexError:  # another thread took it
                break
        return parts

    def put_back(self, part: Part) -> None:
        """Let a part that was taken wait for the next write."""
        self._waiting.append(part)

    def end(self, part: Part, *, is_written: bool) -> None:
        """Delete the file of a part that is written or spooled; leave another one to the next aggregation."""
        self._open.discard(part)  # first, because a process that forks now must not close another file
        try:
            if is_written:
                part.path.unlink(missing_ok=True)
        except OSError as error:  # the next aggregation deletes it
            warn_once(f"Could not delete a file of the journal of the buffered mode: {brief(error, show=str)}")
        finally:
            part.close()

    def _part_for(self, record: bytes) -> Part:
        if len(record) > MAX_PART:
            raise OSError(f"a batch has {len(record)} bytes")
        if self._current is not None and not self._current.has_room(record):
            self._wait()
        if self._current is None:
            self._current = self._begun()
        return self._current

    def _begun(self) -> Part:
        """Return a new part. Raises OSError if the directory cannot be written to, or if too much is pending."""
        directory = spool_dir()
        if directory is None:
            raise FileNotFoundError("APP_METRICS_SPOOL_DIR was set to None")
        if len(self) >= MAX_WAITING:
            raise OSError(f"{MAX_WAITING} summaries are pending, because writing is too slow")
        if sum(sizes_in(directory, PART).values()) >= MAX_JOURNAL:
            raise OSError(f"the files of the journal in {directory} have {MAX_JOURNAL} bytes")
        part = Part(directory / f"{new_batch_id().hex}{PART}", syncs_spool())
        self._open.add(part)
        return part

    def _wait(self) -> None:
        """Let the current part wait for its write, unless there is nothing to write: then the next batch takes it."""
        if self._current is not None and not self._current.is_empty:
            self._waiting.append(self._current)
            self._current = None

    def _start_afresh(self) -> None:
        """Leave the parts to the parent process."""
        super().__init__()
        for part in self._open:
            part.leave()
        self._open, self._current, self._waiting, self.refused = set(), None, deque(), 0
