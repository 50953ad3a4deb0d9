from collections.abc import Iterator

from django.utils.text import slugify

from .plain_text import brief
from .validation import MAX_SLUG_LENGTH


def slugs_for(name: str) -> Iterator[str]:
    """Yield the slugs that may stand for a name: its own, then with "-2", "-3" and so on, without end.

    Raises ValueError if no slug can be made from the name.
    """
    base = slugify(name)[:MAX_SLUG_LENGTH]
    if not base:
        raise ValueError(
            f"No slug can be made from the name {brief(name)}, because it has no letter from a to z and no digit; "
            "give a slug."
        )
    yield base
    number = 2
    while True:
        suffix = f"-{number}"
        yield base[: MAX_SLUG_LENGTH - len(suffix)] + suffix
        number += 1
