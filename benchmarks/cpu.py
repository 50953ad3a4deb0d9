"""Processor time, as Linux tells it."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids: int) -> float:
    """Return the processor time that processes and all they started have used so far."""
    return sum(_ticks(pid) for root in pids for pid in _family(root)) / TICKS


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _text(task).split():
            yield from _family(int(child))


def _ticks(pid: int) -> int:
    """Return the time of a process and of its children that ended; 0 once it has ended itself."""
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _text(file: Path) -> str:
    """Return what a file says; nothing once the process or task that it is about has ended."""
    try:
        return file.read_text()
    except OSError:
        return ""
