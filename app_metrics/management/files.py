"""Write files without damaging those that exist already."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import TextIO


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces the one at a path when the block ends; after an error, the old file stays.

    A pipe or device is written directly. Raises OSError.
    """
    if path.exists() and not path.is_file():
        with path.open("w", newline="", encoding="utf-8") as stream:
            yield stream
        return
    path = path.resolve()  # to replace the file that a link leads to, not the link
    beside = path.with_name(f".{path.name[:200]}.{token_hex(8)}")
    try:
        with beside.open("x", newline="", encoding="utf-8") as stream:
            if path.exists():
                shutil.copymode(path, beside)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # the new file is on the disk before the old one is deleted
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def create(path: Path) -> tuple[Path, TextIO]:
    """Create a text file at a path, or with "-2", "-3" and so on appended if it exists. Raises OSError."""
    for number in count(1):
        free = path.with_name(f"{path.name}-{number}") if number > 1 else path
        try:
            return free, free.open("x", newline="", encoding="utf-8")
        except FileExistsError:
            continue
    raise AssertionError("unreachable: numbers do not end")
