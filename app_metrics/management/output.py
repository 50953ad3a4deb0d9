"""What commands write: English with the right plural, and no character that a terminal or file cannot hold."""

from typing import Any

# What stands for signs of our own where they cannot be written.
PLAIN = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "…": "...", "µ": "u"})


def counted(number: int, thing: str) -> str:
    """Return a number and what it is of, with an "s" unless it is one."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def can_hold(stream: Any, text: str) -> bool:
    """Return whether a command's stream has an encoding that knows all of a text."""
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def fitting(stream: Any, text: str) -> str:
    """Return a text as a command's stream can hold it, with "?" for what it cannot."""
    if can_hold(stream, text):
        return text
    encoding = _encoding(stream)
    return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)


def _encoding(stream: Any) -> str:
    # What Django's wrapper wraps: the wrapper itself says None. A StringIO says so, too, and holds everything.
    return getattr(stream._out, "encoding", None) or "utf-8"
