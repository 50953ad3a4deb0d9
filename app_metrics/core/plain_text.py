"""Plain text for terminals and mails: aligned tables, sparklines, wrapped and single lines."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .numbers import Number

# Columns of a terminal: the width of plain text, the least width of a table's first column, the gap between columns.
TEXT_WIDTH, LEAST_FIRST_COLUMN, GAP = 80, 16, 2
_BLOCKS = "▁▂▃▄▅▆▇█"
# Control characters, line separators, marks that change the direction of text, surrogates and noncharacters.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")

# What may hold a password: anything after "://", and what urllib quotes of an address whose password has a "/".
_ADDRESS = re.compile(r"(?<=://)\S+|(?<=could not be cast to integer value as )\S+")
# An address whose user and password contain one of these unencoded is cut short there.
_ENDS = re.compile("[/?#]")


def sparkline(values: Iterable[Number | None]) -> str:
    """Return a block character for each number, drawn from zero or the lowest negative number, and a space for None."""
    values = list(values)
    known = [value for value in values if value is not None]
    low, high = min([0, *known]), max([0, *known])
    if len(set(known)) == 1 and any(known):
        return "".join(" " if value is None else _BLOCKS[3] for value in values)
    return "".join(" " if value is None else _block(value, low, high) for value in values)


def cut(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters; an ellipsis shows that it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def brief(value: Any, limit: int = 200, show: Callable[[Any], str] = repr) -> str:
    """Return any value as a text for a message, cut to `limit` characters and without what follows "://" in it.

    Never raises an Exception.
    """
    try:
        # A subclass of str may override what formatting calls.
        return cut(_ADDRESS.sub("…", str.__str__(show(value))), limit)
    except Exception:
        return f"<{type(value).__name__}>"


def has_address(text: str) -> bool:
    """Return whether a text has a part that `brief()` leaves out."""
    return _ADDRESS.search(text) is not None


def has_cut_address(address: Any) -> bool:
    """Return whether an address is cut short by a "/", "?" or "#" in its password.

    A part of the password would then be taken for a host, which the errors of clients name.
    """
    host, *rest = _ENDS.split(str(address).partition("://")[2], maxsplit=1)
    return bool(host) and "@" not in host and any("@" in each for each in rest)


def one_line(text: str) -> str:
    """Return a text without line breaks, control characters and repeated spaces."""
    return " ".join(_UNFIT.sub(" ", text).split())


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: a wide character takes two, a combining one none."""
    return sum(_character_width(character) for character in text)


def wrapped(text: str, limit: int = TEXT_WIDTH) -> list[str]:
    """Return a text in lines of at most `limit` columns, broken at spaces; longer words are broken too."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer) <= limit:
            line = longer
            continue
        if line:
            lines.append(line)
        *full, line = _broken(word, limit)
        lines += full
    return [*lines, line]


def aligned(rows: Iterable[Sequence[str]], limit: int = TEXT_WIDTH) -> list[list[str]]:
    """Return the lines of each row of a table: the first column wrapped and aligned left, the others aligned right.

    The table is wider than `limit` if the other columns leave less than LEAST_FIRST_COLUMN for the first.
    """
    rows = list(rows)
    if not rows:
        return []
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    room = max(LEAST_FIRST_COLUMN, limit - sum(widths[1:]) - GAP * (len(widths) - 1))
    first = min(widths[0], room)
    return [_aligned_row(row, [first, *widths[1:]]) for row in rows]


def _aligned_row(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    *above, last = wrapped(row[0], widths[0])
    cells = [last + " " * (widths[0] - width(last))]
    cells += [" " * (room - width(cell)) + cell for cell, room in zip(row[1:], widths[1:], strict=True)]
    return [line.rstrip(" ") for line in [*above, (" " * GAP).join(cells)]]


def _broken(word: str, limit: int) -> list[str]:
    pieces = [""]
    for character in word:
        if width(pieces[-1] + character) > limit and pieces[-1]:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _block(value: Number, low: Number, high: Number) -> str:
    if value == low:
        return _BLOCKS[0]
    steps = round((float(value) - float(low)) / (float(high) - float(low)) * (len(_BLOCKS) - 1))
    return _BLOCKS[max(1, steps)]
