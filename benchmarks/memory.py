"""What requests cost in memory, by tracemalloc."""

import gc
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

# Requests before anything counts, so that what is made once is there, and requests whose most is looked at.
FIRST, LOOKED_AT = 50, 21


def memory_of(serve: Callable[[int], Any], requests: int) -> dict[str, float]:
    """Return the bytes that a request needs at most, and those that so many requests leave behind.

    `serve` serves a number of requests and does nothing else, such as changing settings.
    """
    serve(FIRST)
    tracemalloc.start()
    try:
        most = median(most_of(serve) for _ in range(LOOKED_AT))
        before = held_now()
        serve_all(serve, requests)
        return {"peak": most, "kept": held_now() - before}
    finally:
        tracemalloc.stop()


def serve_all(serve: Callable[[int], Any], requests: int) -> None:
    for _ in range(0, requests, 100):
        serve(100)  # their times are not kept


def most_of(serve: Callable[[int], Any]) -> int:
    before = held_now()
    tracemalloc.reset_peak()
    serve(1)
    return tracemalloc.get_traced_memory()[1] - before


def held_now() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
