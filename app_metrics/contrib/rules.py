"""Rules of URLs, models and signals: what to count, and when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.module_loading import import_string

from .. import conf
from ..core.dropped import FAILED_RULE, drop, warn_once
from ..core.numbers import Number, exact
from ..core.setting_rules import SettingError, SettingReader
from ..core.summary import COUNTER
from ..core.validation import MAX_LABEL_LENGTH, check_labels, check_number
from ..recording.metrics import metric

# The object that a rule reads values from: an instance, or named objects such as a request and a response.
RuleSource = Any
Getter = Callable[[RuleSource], Any]
# Compiles a value in an entry of a setting. Raises SettingError for a bad one.
Compile = Callable[[SettingReader, Any], Any]

KEYS = ("slug", "num", "labels", "when")
READ_ONLY = "Give a path or a callable that only reads."


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `num` is None if the rule has none; `options` holds the keys besides `KEYS`."""

    origin: str
    slug: str
    num: Getter | None = None
    labels: Mapping[str, Getter] = field(default_factory=dict)
    when: Getter | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        """Whether firing reads anything from a source."""
        return bool(self.num or self.labels or self.when)

    def fire(self, source: RuleSource, record: Callable[..., Any] = metric, num: int = 1) -> dict[str, str] | None:
        """Record one event, if the rule applies to a source; return its labels, or None if nothing was recorded.

        `num` is recorded if the rule has none. An error is never raised; the event is then dropped as "failed_rule".
        """
        if conf.disabled:
            return None
        try:
            if self.when is not None and not self.when(source):
                return None
            labels = self.read_labels(source) if self.labels else {}
            record(self.slug, num if self.num is None else self.read_num(source), labels=labels or None)
        except Exception as error:
            drop(FAILED_RULE, f"{self.origin}: {error!r}")
            return None
        return labels

    def read_num(self, source: RuleSource) -> Number:
        """Return the number of an event; a float is rounded to nine decimal places. Raises TypeError or ValueError."""
        return exact(check_number(self.num(source), "rule"))  # type: ignore[misc]

    def read_labels(self, source: RuleSource) -> dict[str, str]:
        return {name: self._label(name, getter, source) for name, getter in self.labels.items()}

    def _label(self, name: str, getter: Getter, source: RuleSource) -> str:
        try:
            value = getter(source)
        except Exception as error:
            warn_once(f"{self.origin}: the label {name!r} is empty, because reading it failed: {error!r}")
            return ""
        return "" if value is None else _storable(str(value))


def _storable(text: str) -> str:
    """Return a text, which may come from a visitor, without characters that databases refuse."""
    return text.replace("\0", "").encode(errors="replace").decode()[:MAX_LABEL_LENGTH]


class RuleReader:
    """Read the rules of one entry of a setting.

    `reference` compiles a dotted path or a callable; `options` maps the keys that a rule may have besides `KEYS` to
    functions that compile their values. All of them are called with the entry and the value.
    """

    def __init__(self, entry: SettingReader, reference: Compile, options: Mapping[str, Compile] | None = None) -> None:
        self._entry, self._reference, self._options = entry, reference, options or {}

    def read(self, value: Any) -> list[Rule]:
        """Return the good rules; the entry catches the mistakes in the others."""
        rules: list[Rule] = []
        for each in value if isinstance(value, (list, tuple)) else [value]:
            with self._entry.catch():
                rules.append(self._rule(each))
        return rules

    def _rule(self, value: Any) -> Rule:
        if isinstance(value, str):
            return Rule(self._entry.origin, self._slug(value))
        if not isinstance(value, Mapping):
            hint = "Give a slug, a mapping, or a list of those."
            raise self._entry.error(f"has the invalid rule {value!r}", hint)
        self._entry.check_keys(value, (*KEYS, *self._options), code="E006")
        if "slug" not in value:
            raise self._entry.error("has a rule without a slug", 'Add "slug": "…" to the mapping.')
        return Rule(
            self._entry.origin,
            self._slug(value["slug"]),
            self._num(value["num"]) if "num" in value else None,
            self._labels(value.get("labels", {})),
            self._getter(value["when"]) if "when" in value else None,
            {key: self._compile(self._options[key], value[key]) for key in self._options if key in value},
        )

    def _slug(self, value: Any) -> str:
        return self._entry.slug(value, code="E007")

    def _num(self, value: Any) -> Getter:
        if isinstance(value, str) or callable(value):
            return self._getter(value)
        try:
            number = check_number(value, COUNTER)
        except (TypeError, ValueError) as error:
            hint = "Give an int, a Decimal, a dotted path, or a callable."
            raise self._entry.error(f"has num={value!r}: {str(error).rstrip('.')}", hint) from error
        return lambda source: number

    def _labels(self, value: Any) -> dict[str, Getter]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self._entry.error(f"has labels={value!r}", 'Map names to paths: {"plan": "plan"}.')
        try:
            check_labels(dict.fromkeys(value, ""))
        except ValueError as error:
            raise self._entry.error("has invalid labels", str(error)) from error
        return {name: self._getter(path) for name, path in value.items()}

    def _getter(self, value: Any) -> Getter:
        if not isinstance(value, str) and not callable(value):
            raise self._entry.error(f"refers to {value!r}", "Give a dotted path or a callable.", code="E008")
        if alters_data(value):
            raise self._entry.error(f"refers to {value!r}, which changes data", READ_ONLY, code="E008")
        getter: Getter = self._compile(self._reference, value)
        return getter

    def _compile(self, compile_value: Compile, value: Any) -> Any:
        try:
            return compile_value(self._entry, value)
        except SettingError:
            raise
        except Exception as error:
            raise self._entry.error(f"has the invalid value {value!r}", f"Fix it: {error}.") from error


def attribute_path(names: Sequence[str]) -> Getter:
    """Return a function that follows attributes from an object, and calls the last one if it is callable.

    The function raises TypeError if that call would change data.
    """

    def get(source: RuleSource) -> Any:
        for name in names:
            source = getattr(source, name)
        if not callable(source):
            return source
        if alters_data(source):
            raise TypeError(f"{'.'.join(names)!r} changes data, so it is not called")
        return source()

    return get


def alters_data(value: Any) -> bool:
    """Return whether a callable is marked as changing data, as `delete()` and `save()` of models are.

    Django's templates call none of those either.
    """
    return callable(value) and bool(getattr(value, "alters_data", False))


def imported(entry: SettingReader, path: str, instead: str) -> Callable[..., Any]:
    """Return the callable at a dotted path. Raises SettingError; its hint names what to give `instead`."""
    hint = f"Give {instead}, or the dotted path of a callable."
    try:
        found = import_string(path)
    except Exception as error:
        message = f"refers to {path!r}, which cannot be imported ({error})"
        raise entry.error(message, hint, code="E008") from error
    if not callable(found):
        raise entry.error(f"refers to {path!r}, which is not callable", hint, code="E008")
    if alters_data(found):
        raise entry.error(f"refers to {path!r}, which changes data", READ_ONLY, code="E008")
    return found  # type: ignore[no-any-return]
