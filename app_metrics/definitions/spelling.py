"""Whether a slug looks like another one, misspelt."""

import re
from difflib import SequenceMatcher

# The least likeness of two words, from 0 to 1: "signpus" is as near to "signups", and "send" is not to "sent".
LEAST = 0.8


def resembles(slug: str, other: str) -> bool:
    """Return whether a slug is probably another one, misspelt: apart from case and separators, each word is near.

    Words that begin differently are other words, such as "paid" and "unpaid", and so are those that differ by digits.
    """
    if slug[:1].lower() != other[:1].lower():
        return False
    words, others = (re.split("[-_]+", each.lower()) for each in (slug, other))
    if slug == other or "".join(words) == "".join(others):
        return slug != other
    return len(words) == len(others) and all(map(_is_near, words, others))


def _is_near(word: str, other: str) -> bool:
    if word == other:
        return True
    if word[:1] != other[:1] or re.sub("[0-9]", "", word) == re.sub("[0-9]", "", other):
        return False
    return SequenceMatcher(None, word, other).ratio() >= LEAST
