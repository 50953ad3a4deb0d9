"""The keys of a rule: how each is read, and what it means."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.comparisons import BETTER
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, TIMER, UNIQUE
from ..core.validation import check_labels, check_number
from .conditions import read_condition
from .durations import EXAMPLE, Duration
from .identities import Identity
from .path_checks import DATES, IDS, NUMBERS, check_field
from .paths import READ_ONLY, Getter, RuleSource, alters_data
from .rules import Rule

# Compiles a dotted path or a callable in an entry of a setting. Raises SettingError for a bad one.
Reference = Callable[[SettingReader, Any], Getter]

# The keys that are attributes of every rule.
OWN = ("slug", "labels", "when", "better")
# Paths of a user, which has an id and is none.
USERS = ("request.user", "scope.user")


class RuleReader:
    """Read the keys of one rule. `mapping` is the rule as it is written."""

    def __init__(self, entry: SettingReader, reference: Reference, mapping: Mapping[str, Any]) -> None:
        self.entry, self.reference, self.mapping = entry, reference, mapping

    def read(self, keys: Mapping[str, "Key"]) -> Rule:
        self.entry.check_keys(self.mapping, tuple(keys), code="E006")
        if "slug" not in self.mapping:
            raise self.entry.error("has a rule without a slug", 'Add "slug": "…" to the mapping.')
        read = {name: self.compiled(key.read, self.mapping[name]) for name, key in keys.items() if name in self.mapping}
        measures = {name: read.pop(name) for name in list(read) if isinstance(read[name], Measure)}
        if len(measures) > 1:
            raise self.entry.error(f"has the keys {' and '.join(map(repr, measures))} in one rule", "Keep one of them.")
        kind, num, several = next(iter(measures.values()), Measure(COUNTER, None))
        own = {name: read.pop(name) for name in OWN if name in read}
        return Rule(self.entry.origin, **own, kind=kind, num=num, several=several, options=read)

    def getter(self, value: Any) -> Getter:
        """Return a function that reads what a reference refers to."""
        is_path = isinstance(value, str) and all(value.split("."))
        if not is_path and not callable(value):
            raise self.entry.error(f"refers to {value!r}", "Give a dotted path or a callable.", code="E008")
        if alters_data(value):
            raise self.entry.error(f"refers to {value!r}, which changes data", READ_ONLY, code="E008")
        getter: Getter = self.compiled(lambda reader, value: reader.reference(reader.entry, value), value)
        return getter

    def compiled(self, read: Callable[["RuleReader", Any], Any], value: Any) -> Any:
        try:
            return read(self, value)
        except SettingError:
            raise
        except Exception as error:
            raise self.entry.error(f"has the invalid value {value!r}", f"Fix it: {error}.") from error


class Key(NamedTuple):
    """How the value of a key is read, and what the key means: its row in the table of the documentation."""

    read: Callable[[RuleReader, Any], Any]
    meaning: str


class Measure(NamedTuple):
    """What a rule records: a kind of metric, and a getter of its number or of several events, None to count 1."""

    kind: str
    get: Getter | None
    several: bool = False


def read_rules(
    entry: SettingReader, value: Any, reference: Reference, more: Mapping[str, Key] | None = None
) -> list[Rule]:
    """Return the good rules of an entry; the entry collects the mistakes in the others.

    `more` holds the keys that a rule may have besides `KEYS`; their compiled values are the `options` of the rule.
    """
    keys = {**KEYS, **(more or {})}
    rules: list[Rule] = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        with entry.catch():
            mapping = {"slug": each} if isinstance(each, str) else each
            if not isinstance(mapping, Mapping):
                hint = "Give a slug, a mapping, or a list of those."
                raise entry.error(f"has the invalid rule {each!r}", hint)
            rules.append(RuleReader(entry, reference, mapping).read(keys))
    return rules


def read_slug(reader: RuleReader, value: Any) -> str:
    return reader.entry.slug(value, code="E007")


def _num(reader: RuleReader, value: Any) -> Measure:
    return _measure(reader, "num", value, COUNTER, "an int, a Decimal, a dotted path, or a callable")


def _gauge(reader: RuleReader, value: Any) -> Measure:
    return _measure(reader, "gauge", value, GAUGE, "a number, a dotted path, or a callable")


def _distribution(reader: RuleReader, value: Any) -> Measure:
    return _measure(reader, "distribution", value, DISTRIBUTION, "a number, a dotted path, or a callable")


def _measure(reader: RuleReader, name: str, value: Any, kind: str, wanted: str) -> Measure:
    if isinstance(value, str) or callable(value):
        return Measure(kind, _getter_of(reader, name, value, NUMBERS))
    try:
        number = check_number(value, kind)
    except (TypeError, ValueError) as error:
        raise reader.entry.error(f"has {name}={value!r}: {str(error).rstrip('.')}", f"Give {wanted}.") from error
    return Measure(kind, lambda source: number)


def _unique(reader: RuleReader, value: Any) -> Measure:
    if isinstance(value, str) and value in USERS:
        raise reader.entry.error(f"has unique={value!r}, which is no id", f"Write '{value}.pk'.", code="E008")
    return Measure(UNIQUE, Identity(_getter_of(reader, "unique", value, IDS)))


def read_duration(reader: RuleReader, value: Any) -> Measure:
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        raise reader.entry.error(f"has timing={value!r}", f"Write it like this: {EXAMPLE}.")
    begin, end = (_getter_of(reader, name, value[name], DATES) for name in ("from", "to"))
    return Measure(TIMER, Duration(begin, end))


def _getter_of(reader: RuleReader, name: str, value: Any, types: tuple[type, ...]) -> Getter:
    """Return a getter. Raises SettingError if its value can never be of one of these types."""
    getter = reader.getter(value)
    check_field(reader.entry, name, value, getattr(getter, "field", None), types)
    return getter


def _labels(reader: RuleReader, value: Any) -> dict[str, Getter]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise reader.entry.error(f"has labels={value!r}", 'Map names to paths: {"plan": "plan"}.')
    try:
        check_labels(dict.fromkeys(value, ""))
    except ValueError as error:
        raise reader.entry.error("has invalid labels", str(error)) from error
    return {name: reader.getter(path) for name, path in value.items()}


def _when(reader: RuleReader, value: Any) -> Getter:
    if not isinstance(value, Mapping):
        return _condition(reader, value)
    labels = _labels(reader, reader.mapping.get("labels", {}))

    def getter(path: str) -> Getter:
        root, _, name = path.partition(".")
        if root == "labels" and name in labels:
            return _text_of(labels[name])
        try:
            return reader.getter(path)
        except SettingError as error:
            hint = _label_hint(path, labels)
            if not hint:
                raise
            message = f"has {path!r} in 'when', which is neither a label of the rule nor a path"
            raise reader.entry.error(message, hint, code="E008") from error

    return read_condition(reader.entry, value, getter)


def _condition(reader: RuleReader, value: Any) -> Getter:
    try:
        return reader.getter(value)
    except SettingError as error:
        if str(value).startswith("labels."):
            error.hint = f'Compare the label with a value: {{"{value}": …}}.'
        raise


def _label_hint(path: str, labels: Mapping[str, Getter]) -> str:
    """Return the hint for a path that may be meant as a label; "" if it has nothing to do with labels."""
    root, _, rest = path.partition(".")
    last = path.rpartition(".")[2]
    if last in labels:
        return f"Did you mean 'labels.{last}'?"
    if root != "labels":
        return ""
    if not labels:
        return f'Add the label to the rule: "labels": {{"{rest or "plan"}": …}}.'
    return suggest(path, [f"labels.{name}" for name in labels])


def _text_of(label: Getter) -> Getter:
    def read(source: RuleSource) -> str:
        value = label(source)
        return "" if value is None else str(value)

    return read


# The keys of every rule.
KEYS: Mapping[str, Key] = {
    "slug": Key(read_slug, "the metric; the only mandatory key"),
    "num": Key(
        _num,
        "the number to count: an int, a Decimal, or a reference, whose floats are rounded to nine decimal places; "
        "default 1",
    ),
    "events": Key(
        lambda reader, value: Measure(COUNTER, reader.getter(value), several=True),
        "instead of `num`: a reference to [several events](#several-events), such as the rows of an import",
    ),
    "gauge": Key(_gauge, "instead of `num`: the current value of something, as `gauge()` records it"),
    "distribution": Key(
        _distribution,
        "instead of `num`: one of many values, such as that of an order, as `distribution()` records it, "
        "for [percentiles](../reading.md#percentiles)",
    ),
    "unique": Key(
        _unique,
        "instead of `num`: a reference to an id, such as `request.user.pk`, which is [counted once](unique.md) in each "
        "period; without an id, nothing is counted",
    ),
    "timing": Key(
        read_duration,
        'instead of `num`: `{"from": …, "to": …}`, references to two dates; the seconds between them are recorded',
    ),
    "labels": Key(_labels, "label name → reference"),
    "better": Key(
        lambda reader, value: reader.entry.choice("better", value, BETTER),
        'which change is [good news](reports.md#good-and-bad-news): `"up"`, `"down"` or `"neither"`; '
        "the form of the metric in the admin overrules it",
    ),
    "when": Key(_when, "a reference, or a mapping of [comparisons](#comparisons); the rule applies only if it is true"),
}
