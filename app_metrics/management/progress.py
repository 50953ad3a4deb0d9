"""Show the progress of a long command on a terminal: a bar if tqdm is installed, otherwise plain lines.

Elsewhere there are lines only with `--verbosity 2`: cron would mail them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .output import counted

# Fewer things take no time.
WORTH_SHOWING = 1000


@contextmanager
def progress(
    stream: Any, verbosity: int, total: Callable[[], int], thing: str, done: str
) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of things done since the last call.

    `total` is called only if the progress is shown. `thing` is a noun in the singular, such as "item"; `done` says what
    happens to the things, such as "aggregated".
    """
    if not verbosity or (verbosity == 1 and not stream.isatty()):
        yield lambda number: None
        return
    number = total()
    if verbosity == 1 and number < WORTH_SHOWING:
        yield lambda number: None
        return
    if stream.isatty() and (bar := _bar(stream, number, f"{thing}s")) is not None:
        with bar:
            yield bar.update
    else:
        yield _lines(stream, number, f"{counted(number, thing)} {done}")


def _lines(stream: Any, total: int, text: str) -> Callable[[int], None]:
    """Return a function that writes a line after every tenth of the total."""
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
    # `_out` is the stream inside Django's OutputWrapper, which would end every update of the bar with a newline.
    return tqdm(total=total, unit=f" {things}", file=stream._out)
