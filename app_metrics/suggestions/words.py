"""The names of models, fields, URLs and signals as words, and what some words say."""

import re
import unicodedata

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SIBILANTS = ("s", "x", "z", "ch", "sh")


def words(name: str) -> list[str]:
    """Split a name such as "OrderLine", "order_line" or "order-line" into its words, in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return [word.lower() for word in _WORD.findall(plain)]


def snake(name: str) -> str:
    """Return a name as part of a slug, such as "order_line"; "" if it has no ASCII letters."""
    return "_".join(words(name))


def plural(name: str) -> str:
    """Return the plural of an English noun: "entries", "statuses", "orders"."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    if name.endswith("s") and not name.endswith(("is", "ss", "us")):
        return name  # a model that is named in the plural
    return f"{name}es" if name.endswith(_SIBILANTS) else f"{name}s"
