"""Rules: what the settings say is to be counted, and when. Shared by URL, model and signal rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.module_loading import import_string
from django.utils.text import slugify

from .. import conf
from ..core.dropped import FAILED_RULE, drop, warn_once
from ..core.setting_rules import SettingError, suggest
from ..core.summary import COUNTER
from ..core.validation import MAX_LABEL_LENGTH, MAX_SLUG_LENGTH, check_labels, check_number, check_slug
from ..recording.metrics import metric

# What a rule's values are read from: an instance, or named objects such as a request and a response.
Source = Any
Getter = Callable[[Source], Any]

KEYS = ("slug", "num", "labels", "when")
READ_ONLY = "Give a path or a callable that only reads."


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `num` is None where the rule leaves it to what happened; `options` are its other keys."""

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

    def fire(self, source: Source, record: Callable[..., Any] = metric, num: int = 1) -> dict[str, str] | None:
        """Record what the rule says of a source; return the labels, or None when it does not apply.

        Never raises an Exception.
        """
        if conf.disabled:
            return None
        try:
            if self.when is not None and not self.when(source):
                return None
            labels = self.read_labels(source) if self.labels else {}
            record(self.slug, num if self.num is None else self.num(source), labels=labels or None)
        except Exception as error:
            drop(FAILED_RULE, f"{self.origin}: {error!r}")
            return None
        return labels

    def read_labels(self, source: Source) -> dict[str, str]:
        return {name: self._label(name, getter, source) for name, getter in self.labels.items()}

    def _label(self, name: str, getter: Getter, source: Source) -> str:
        try:
            value = getter(source)
        except Exception as error:
            warn_once(f"{self.origin}: the label {name!r} is empty, because {error!r}")
            return ""
        return "" if value is None else _storable(str(value))


def _storable(text: str) -> str:
    """Return what databases accept of a text that a visitor may have sent."""
    return text.replace("\0", "").encode(errors="replace").decode()[:MAX_LABEL_LENGTH]


class Parser:
    """Turn the value of one setting's entry into rules.

    `reference` compiles a dotted path or a callable; `options` says which further keys a rule may have and how each is
    compiled.
    """

    def __init__(
        self,
        origin: str,
        reference: Callable[[Any], Getter],
        options: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self.origin, self._reference, self._options = origin, reference, options or {}

    def parse(self, value: Any) -> tuple[list[Rule], list[SettingError]]:
        """Return the rules that are right and the mistakes of those that are not."""
        rules: list[Rule] = []
        errors: list[SettingError] = []
        for each in value if isinstance(value, (list, tuple)) else [value]:
            try:
                rules.append(self._rule(each))
            except SettingError as error:
                errors.append(error)
        return rules, errors

    def _rule(self, value: Any) -> Rule:
        if isinstance(value, str):
            return Rule(self.origin, self._slug(value))
        if not isinstance(value, Mapping):
            raise self.error("E001", f"has the rule {value!r}", "A rule is a slug, a mapping, or a list of those.")
        self._refuse_unknown_keys(value)
        if "slug" not in value:
            raise self.error("E001", "has a rule without a slug", 'Add "slug": "…" to the mapping.')
        return Rule(
            self.origin,
            self._slug(value["slug"]),
            self._num(value["num"]) if "num" in value else None,
            self._labels(value.get("labels", {})),
            self._getter(value["when"]) if "when" in value else None,
            {key: self._option(key, value[key]) for key in self._options if key in value},
        )

    def _refuse_unknown_keys(self, value: Mapping[str, Any]) -> None:
        known = (*KEYS, *self._options)
        for key in value:
            if key not in known:
                raise self.error("E006", f"has a rule with the unknown key {key!r}", suggest(key, known))

    def _slug(self, value: Any) -> str:
        try:
            return check_slug(value)
        except (TypeError, ValueError) as error:
            hint = f"Name the metric {slugify(value)[:MAX_SLUG_LENGTH] or 'new_user_signup'!r}, for instance."
            raise self.error("E007", f"has a bad slug: {str(error).rstrip('.')}", hint) from error

    def _num(self, value: Any) -> Getter:
        if isinstance(value, str) or callable(value):
            return self._getter(value)
        try:
            number = check_number(value, COUNTER)
        except (TypeError, ValueError) as error:
            hint = "Give an int, a Decimal, a dotted path, or a callable."
            raise self.error("E001", f"has num={value!r}: {str(error).rstrip('.')}", hint) from error
        return lambda source: number

    def _labels(self, value: Any) -> dict[str, Getter]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self.error("E001", f"has labels={value!r}", 'Map names to paths: {"plan": "plan"}.')
        try:
            check_labels(dict.fromkeys(value, ""))
        except ValueError as error:
            raise self.error("E001", "has labels that no metric can have", str(error)) from error
        return {name: self._getter(path) for name, path in value.items()}

    def _getter(self, value: Any) -> Getter:
        if not isinstance(value, str) and not callable(value):
            raise self.error("E008", f"refers to {value!r}", "Give a dotted path or a callable.")
        if alters_data(value):
            raise self.error("E008", f"refers to {value!r}, which changes data", READ_ONLY)
        getter: Getter = self._guarded(self._reference, value)
        return getter

    def _option(self, key: str, value: Any) -> Any:
        return self._guarded(self._options[key], value)

    def _guarded(self, compile_value: Callable[[Any], Any], value: Any) -> Any:
        try:
            return compile_value(value)
        except SettingError as error:
            raise self.error(error.code, str(error), error.hint) from error
        except Exception as error:
            raise self.error("E001", f"has the value {value!r}", f"Correct it: {error}.") from error

    def error(self, code: str, message: str, hint: str) -> SettingError:
        return SettingError(code, f"{self.origin} {message}.", hint)


def attribute_path(names: Sequence[str]) -> Getter:
    """Return what follows attributes from an object, and calls the last one where it can be called.

    It raises TypeError where that would change data.
    """

    def get(source: Source) -> Any:
        for name in names:
            source = getattr(source, name)
        if not callable(source):
            return source
        if alters_data(source):
            raise TypeError(f"{'.'.join(names)!r} changes data, and is not called")
        return source()

    return get


def alters_data(value: Any) -> bool:
    """Return whether a callable is marked as changing data, as `delete()` and `save()` of models are.

    Django's templates call none of those either.
    """
    return callable(value) and bool(getattr(value, "alters_data", False))


def imported(path: str, instead: str) -> Callable[..., Any]:
    """Return the callable at a dotted path; `instead` says what else may be given.

    Raises SettingError where there is none.
    """
    hint = f"Give {instead}, or the dotted path of a callable."
    try:
        found = import_string(path)
    except Exception as error:
        raise SettingError("E008", f"refers to {path!r}, which cannot be imported ({error})", hint) from error
    if not callable(found):
        raise SettingError("E008", f"refers to {path!r}, which is not callable", hint)
    if alters_data(found):
        raise SettingError("E008", f"refers to {path!r}, which changes data", READ_ONLY)
    return found  # type: ignore[no-any-return]
