"""Text for the output of commands: plurals, characters that the stream can encode, and readers that leave."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from ..core.formatting import NO_BREAK, shown
from ..core.summary import TIMER

# Replacements for special characters in our own texts, for streams that cannot encode them.
PLAIN = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "…": "...", "µ": "u"})


def counted(number: int, thing: str) -> str:
    """Return a number and a noun, with an "s" unless the number is 1."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def duration(seconds: float) -> str:
    """Return whole seconds as text, such as "72 h 5 min"."""
    return shown(round(seconds), TIMER).replace(NO_BREAK, " ")


def minute(moment: datetime) -> str:
    """Return a time without its seconds, such as "2026-11-30 19:00"."""
    return f"{moment:%Y-%m-%d %H:%M}"


def can_hold(stream: Any, text: str) -> bool:
    """Return whether a command's stream can encode a text."""
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def fitting(stream: Any, text: str) -> str:
    """Return a text with replacements, or "?", for the characters that a command's stream cannot encode."""
    if can_hold(stream, text):
        return text
    encoding = _encoding(stream)
    return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)


@contextmanager
def until_reader_leaves(stream: Any) -> Iterator[None]:
    """Write to a stream whose reader may leave early, as `head` does; what is left then goes nowhere."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        # Python flushes the stream once more at its exit, and would report the error.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _encoding(stream: Any) -> str:
    # `_out` is the stream inside Django's OutputWrapper, whose own encoding is None. That of a StringIO is None too.
    return getattr(stream._out, "encoding", None) or "utf-8"
