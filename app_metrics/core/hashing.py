"""Keyed hashes of what is counted once, such as users, whose ids are not kept.

Without the key nobody can find out which hash belongs to an id, not even by trying all ids. With another key everybody
has another hash, so that nobody is recognised from before.
"""

from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.utils.crypto import salted_hmac

from ..conf import cached, settings, usable
from .numbers import Number
from .validation import exact_str

# Primary keys have fewer digits; writing many more takes long.
_NUMBER_LIMIT = 10**100


def hash_of(value: Any) -> int:
    """Return the hash, of 64 bits, of a value that stands for one thing, such as the primary key of a user.

    Values with the same text are the same thing, such as 7, "7" and Decimal("7.00"), or a UUID and its text, because
    the same id comes as a number from the database and as a text from a URL or a session. Texts are compared exactly.

    Raises TypeError or ValueError; their messages do not quote the value.
    """
    text = text_of(value).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8, key=_key()).digest())


def text_of(value: Any) -> str:
    """Return the text that `hash_of` hashes. Raises TypeError or ValueError; their messages do not quote the value."""
    if isinstance(value, str):
        return _filled(exact_str(value))
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(_whole(value))
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(
        f"Give an int, a text, a UUID or a whole Decimal to count once, such as user.pk, not {type(value).__name__}."
    )


def _filled(text: str) -> str:
    if not text:
        raise ValueError("An empty text stands for nobody: give an id, such as user.pk.")
    return text


def _whole(number: Number) -> int:
    is_number = isinstance(number, int) or number.is_finite()
    if not (is_number and -_NUMBER_LIMIT < number < _NUMBER_LIMIT and number == int(number)):
        raise ValueError("A number to count once must be a whole one of at most 100 digits.")
    return int(number)  # of a subclass, such as an Enum, the plain number


@cached
def _key() -> bytes:
    """Return the key of the hashes, which is derived from a secret and used for nothing else."""
    secret = usable("UNIQUE_KEY") or settings.SECRET_KEY
    return salted_hmac("app_metrics.core.hashing", "", secret, algorithm="sha256").digest()
