"""Sketches as bytes, which databases store, and as Base64, which batches and exports contain."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from .histogram import Histogram
from .uniques import Uniques

# What a sketch holds.
HISTOGRAM, UNIQUES = "histogram", "uniques"
# Functions that decode a sketch; they raise ValueError or TypeError.
DECODERS: dict[str, Callable[[bytes], Any]] = {HISTOGRAM: Histogram.decode, UNIQUES: Uniques.decode}
# In place of a stored sketch that cannot be read: percentiles and unique counts made of it are then unknown.
UNREADABLE: dict[str, Any] = {HISTOGRAM: None, UNIQUES: Uniques(kept=None)}


def encode_sketch(sketch: Histogram | Uniques | None) -> str | None:
    """Return a sketch in Base64."""
    return None if sketch is None else b64encode(sketch.encode()).decode()


def decode_sketch(holds: str, text: str) -> Any:
    """Return a sketch that was encoded in Base64; the parts of several ones are separated by spaces or line breaks.

    Raises ValueError or TypeError.
    """
    return DECODERS[holds](decode_base64(text))


def decode_base64(text: str) -> bytes:
    """Return the bytes of one or more words in Base64."""
    return b"".join(map(b64decode, text.split()))
