"""How a command shows that it gets on: a bar on a terminal where tqdm is installed, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .output import counted


@contextmanager
def progress(stream: Any, total: int, thing: str, done: str) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of things that were done since the last call.

    `thing` names one of what is counted, as in "item"; `done` what happens to them, as in "aggregated".
    """
    if stream.isatty() and (bar := _bar(stream, total, f"{thing}s")) is not None:
        with bar:
            yield bar.update
    else:
        yield _lines(stream, total, f"{counted(total, thing)} {done}")


def _lines(stream: Any, total: int, text: str) -> Callable[[int], None]:
    """Write a line for every tenth."""
    count = reported = 0

    def advance(number: int) -> None:
        nonlocal count, reported
        count += number
        if count - reported >= total / 10:
            reported = count
            stream.write(f"{count} of {text}")

    return advance


def _bar(stream: Any, total: int, things: str) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    # What Django's wrapper wraps: the wrapper itself ends every write with a new line, and the bar draws over its own.
    return tqdm(total=total, unit=f" {things}", file=stream._out)
