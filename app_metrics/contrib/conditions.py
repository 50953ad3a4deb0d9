"""The key `when` as a mapping: compare values with Django's lookup words, such as {"amount__gte": 100}."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..core.calendar import comparable
from ..core.setting_rules import SettingError, SettingReader, suggest
from .paths import Getter, RuleSource

EXAMPLE = '{"status": "paid", "amount__gte": 100}'

# How similar to a lookup word the end of a path must be to be taken for a misspelt one: "gtt" and "startwith" are.
SIMILAR = 0.75
# A name that no attribute has.
NO_NAME = "-"


class Wanted(NamedTuple):
    """What a lookup word can be compared with."""

    is_good: Callable[[Any], bool]
    hint: str


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and bool(re.compile(value))


KIND = "one value of the kind that it is compared with"
VALUE = Wanted(lambda value: not _is_list(value) and not isinstance(value, Mapping) and not callable(value), KIND)
TEXT = Wanted(lambda value: isinstance(value, str), "a text")
LIST = Wanted(_is_list, "a list of such values")
PAIR = Wanted(lambda value: isinstance(value, (list, tuple)) and len(value) == 2, "a list of two such values")
SWITCH = Wanted(lambda value: isinstance(value, bool), "True or False")
EXPRESSION = Wanted(_is_expression, "a regular expression")

# Word → what it takes, and whether a value that is not None fulfils it.
LOOKUPS: Mapping[str, tuple[Wanted, Callable[[Any, Any], bool]]] = {
    "exact": (VALUE, operator.eq),
    "iexact": (TEXT, lambda value, wanted: str(value).casefold() == wanted.casefold()),
    "contains": (TEXT, lambda value, wanted: wanted in str(value)),
    "icontains": (TEXT, lambda value, wanted: wanted.casefold() in str(value).casefold()),
    "startswith": (TEXT, lambda value, wanted: str(value).startswith(wanted)),
    "istartswith": (TEXT, lambda value, wanted: str(value).casefold().startswith(wanted.casefold())),
    "endswith": (TEXT, lambda value, wanted: str(value).endswith(wanted)),
    "iendswith": (TEXT, lambda value, wanted: str(value).casefold().endswith(wanted.casefold())),
    "regex": (EXPRESSION, lambda value, wanted: re.search(wanted, str(value)) is not None),
    "iregex": (EXPRESSION, lambda value, wanted: re.search(wanted, str(value), re.IGNORECASE) is not None),
    "in": (LIST, lambda value, wanted: value in wanted),
    "range": (PAIR, lambda value, wanted: wanted[0] <= value <= wanted[1]),
    "gt": (VALUE, operator.gt),
    "gte": (VALUE, operator.ge),
    "lt": (VALUE, operator.lt),
    "lte": (VALUE, operator.le),
    "isnull": (SWITCH, lambda value, wanted: not wanted),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One entry of the mapping, compiled."""

    get: Getter
    word: str
    wanted: Any

    def holds(self, source: RuleSource) -> bool:
        value = self.get(source)
        if value is not None and LOOKUPS[self.word][0] in (VALUE, LIST, PAIR):
            value = _as_wanted(value, self.wanted)
        if value is None or self.wanted is None:
            return value is self.wanted if self.word == "exact" else self.word == "isnull" and self.wanted
        return LOOKUPS[self.word][1](value, self.wanted)


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition that all comparisons hold."""

    comparisons: Sequence[Comparison]

    @property
    def relations(self) -> tuple[str, ...]:
        return tuple(path for each in self.comparisons for path in getattr(each.get, "relations", ()))

    def __call__(self, source: RuleSource) -> bool:
        return all(each.holds(source) for each in self.comparisons)


def read_condition(entry: SettingReader, mapping: Mapping[str, Any], getter: Callable[[str], Getter]) -> Condition:
    """Compile the mapping; `getter` compiles a path. Raises SettingError."""
    if not mapping or not all(isinstance(key, str) for key in mapping):
        raise entry.error(f"has when={mapping!r}", f"Write it like this: {EXAMPLE}.")
    return Condition([_comparison(entry, key, wanted, getter) for key, wanted in mapping.items()])


def _comparison(entry: SettingReader, key: str, wanted: Any, getter: Callable[[str], Getter]) -> Comparison:
    path, word = _split(key)
    get = _getter(entry, path, key, getter)
    kind = LOOKUPS[word][0]
    try:
        if not kind.is_good(wanted):
            raise ValueError(f"{wanted!r} is not {kind.hint}")
        return Comparison(get, word, _converted(kind, wanted, getattr(get, "convert", None)))
    except Exception as error:
        raise entry.error(f"has {key}={wanted!r} in 'when' ({error})", f"Give {kind.hint}.") from error


def _split(key: str) -> tuple[str, str]:
    """Return a dotted path and a lookup word; `__` separates names as well, but not in `__class__`."""
    path, _, word = key.rpartition("__")
    if not path or word not in LOOKUPS:
        path, word = key, "exact"
    return re.sub(r"(?<=[^_.])__(?=[^_.])", ".", path), word


def _getter(entry: SettingReader, path: str, key: str, getter: Callable[[str], Getter]) -> Getter:
    name, _, word = key.rpartition("__")
    if not name or word in LOOKUPS:
        return getter(path)
    message = f"has {key!r} in 'when', which ends neither with a lookup nor with an attribute"
    try:
        found = getter(path)
    except SettingError as error:
        raise entry.error(message, suggest(word, [*LOOKUPS]), code="E008") from error
    close = get_close_matches(word, LOOKUPS, n=1, cutoff=SIMILAR)
    if close and _accepts_any_name(path.rpartition(".")[0], getter):
        hint = f"Did you mean {close[0]!r}? Write {path!r} if it is an attribute or a key."
        raise entry.error(message, hint, code="E008")
    return found


def _accepts_any_name(path: str, getter: Callable[[str], Getter]) -> bool:
    """Return whether nothing is known about the names that may follow a path."""
    try:
        getter(f"{path}.{NO_NAME}")
    except SettingError:
        return False
    return True


def _converted(kind: Wanted, wanted: Any, convert: Callable[[Any], Any] | None) -> Any:
    """Return the value to compare with, in the type that the field at the end of the path holds, if there is one."""
    if kind in (LIST, PAIR):
        return [_converted(VALUE, each, convert) for each in wanted]
    if kind is not VALUE or wanted is None:
        return wanted
    return comparable(convert(wanted) if convert else wanted)


def _as_wanted(value: Any, wanted: Any) -> Any:
    """Return a value that can be compared with `wanted`; None for a text that is no number if `wanted` is one.

    Values from a request are text, even if they are numbers.
    """
    sample = wanted[0] if isinstance(wanted, list) and wanted else wanted
    if not isinstance(value, str) or not isinstance(sample, (int, float, Decimal)):
        return comparable(value)
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
