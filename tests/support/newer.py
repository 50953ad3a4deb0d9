"""Batches as a newer version of this package would write them."""

from pathlib import Path
from zlib import crc32

from app_metrics.core.batch import Batch
from app_metrics.core.serialization import VERSION, encode_batch

NEWER = VERSION + 1


def newer_text(batch: Batch) -> str:
    return encode_batch(batch).replace(f"[{VERSION},", f"[{NEWER},", 1)


def make_newer(file: Path, slug: str) -> None:
    """Change the records of a file that name a slug to those of a newer version."""
    _change(file, slug.encode(), VERSION, NEWER)


def upgrade(directory: Path) -> None:
    """Let this process read what a newer one has written to a directory."""
    for file in directory.iterdir():
        _change(file, b"", NEWER, VERSION)


def _change(file: Path, slug: bytes, old: int, new: int) -> None:
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join(_changed(line, old, new) if slug in line else line for line in lines))


def _changed(line: bytes, old: int, new: int) -> bytes:
    text = line.partition(b" ")[2].replace(b"[%d," % old, b"[%d," % new, 1)
    return b"%08x %b" % (crc32(text), text) if line else line
