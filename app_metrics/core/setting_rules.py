"""Read settings, also structured ones such as mappings of names to rules, and describe their mistakes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, TypeVar

from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.utils.text import slugify

from ..conf import SETTINGS, settings
from .numbers import EXACT, QUANTUM, Number, exact
from .old_settings import OLD_SETTINGS, replaced_by
from .plain_text import brief
from .summary import GAUGE
from .validation import MAX_ADDRESS_LENGTH, MAX_SLUG_LENGTH, check_number, check_slug

Compiled = TypeVar("Compiled")

# Names in a hint, at most.
MOST_NAMES = 30


class SettingError(Exception):
    """A mistake in a setting, with a hint to fix it; `code` is the id of its check message.

    `origin` is the part of the setting that is wrong, without any value: "APP_METRICS_ALERTS['No signups']". `key` is
    the last key of that part.
    """

    def __init__(self, code: str, origin: str, key: str, message: str, hint: str) -> None:
        super().__init__(f"{origin} {message}.")
        self.code, self.origin, self.key, self.hint = code, origin, key, hint

    def as_check(self) -> Error:
        """Return the message for `manage.py check`."""
        return Error(str(self), hint=self.hint, id=f"app_metrics.{self.code}")


def check_setting(name: str) -> SettingError | None:
    """Return the mistake if a setting has a value that the table in `conf` does not allow.

    Its default is a mistake if the project has set what the setting replaces, such as the host of a server.
    """
    for old in replaced_by(name):
        return SettingError(SETTINGS[name].code, f"APP_METRICS_{old}", old, "is not read", OLD_SETTINGS[old])
    return None if SETTINGS[name].is_valid(_value(name)) else _mistake(name)


def required(name: str) -> Any:
    """Return a setting. Raises ImproperlyConfigured for a bad value.

    For settings whose default cannot replace a bad value, because it may belong to another site.
    """
    if mistake := check_setting(name):
        raise ImproperlyConfigured(f"{mistake} {mistake.hint}")
    return _value(name)


def refusal(name: str) -> ImproperlyConfigured:
    """Return the error to raise for the value of a setting, with the hint."""
    mistake = _mistake(name)
    return ImproperlyConfigured(f"{mistake} {mistake.hint}")


def _mistake(name: str) -> SettingError:
    setting = SETTINGS[name]
    message = "has an impossible value" if setting.is_secret else f"is {brief(_value(name))}"
    return SettingError(setting.code, f"APP_METRICS_{name}", name, message, setting.hint)


def _value(name: str) -> Any:
    return getattr(settings, f"APP_METRICS_{name}")


class SettingReader:
    """Read a setting, or one entry of it. Its methods raise a SettingError for a bad value.

    `code` is the default id of check messages. `errors` collects the mistakes caught so far in the whole setting.
    """

    def __init__(
        self, code: str, origin: str, key: str | None = None, errors: list[SettingError] | None = None
    ) -> None:
        self.code, self.origin, self.key = code, origin, origin if key is None else key
        self.errors: list[SettingError] = [] if errors is None else errors

    def error(self, message: str, hint: str, code: str = "") -> SettingError:
        return SettingError(code or self.code, self.origin, self.key, message, hint)

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Catch a SettingError that the block raises, and add it to `errors`."""
        try:
            yield
        except SettingError as error:
            self.errors.append(error)

    def entry(self, key: Any) -> "SettingReader":
        return SettingReader(self.code, f"{self.origin}[{key!r}]", str(key), self.errors)

    def entries(self, value: Any, example: str) -> Iterator[tuple["SettingReader", Any]]:
        """Yield a reader and the value of each entry of a mapping with str keys; add other mistakes to `errors`."""
        with self.catch():
            self.check_mapping(value, example)
            for key, each in value.items():
                if isinstance(key, str):
                    yield self.entry(key), each
                else:
                    self.errors.append(self.error(f"has the key {key!r}, which is not a str", _like(example)))

    def read_mapping(
        self, value: Any, example: str, read: Callable[["SettingReader", Any], Compiled]
    ) -> dict[str, Compiled]:
        """Return the valid entries of a mapping, converted by `read`; add the mistakes in the others to `errors`."""
        compiled: dict[str, Compiled] = {}
        for entry, each in self.entries(value, example):
            with entry.catch():
                compiled[entry.key] = read(entry, each)
        return compiled

    def read_list(self, value: Any, hint: str, read: Callable[["SettingReader", Any], Compiled]) -> list[Compiled]:
        """Return the valid elements of a list or tuple, converted by `read`; add the others' mistakes to `errors`.

        The mistakes never contain a value, which may be secret.
        """
        compiled: list[Compiled] = []
        with self.catch():
            if not isinstance(value, (list, tuple)):
                raise self.error(f"is a {type(value).__name__}, not a list", hint)
            for number, each in enumerate(value):
                entry = self.entry(number)
                with entry.catch():
                    compiled.append(read(entry, each))
        return compiled

    def check_mapping(self, value: Any, example: str) -> None:
        if not isinstance(value, Mapping):
            raise self.error(f"is {value!r}, which is not a mapping", _like(example))

    def check_keys(self, value: Mapping[Any, Any], known: Sequence[str], code: str = "") -> None:
        for key in value:
            if key not in known:
                raise self.error(f"has the unknown key {key!r}", suggest(key, known), code)

    def slug(self, value: Any, code: str = "") -> str:
        try:
            return check_slug(value)
        except (TypeError, ValueError) as error:
            similar = "" if isinstance(value, bool | None) else slugify(value)[:MAX_SLUG_LENGTH]
            hint = f"Use a slug such as {similar or 'new_user_signup'!r}."
            raise self.error(f"has a bad slug: {str(error).rstrip('.')}", hint, code) from error

    def choice(self, name: str, value: Any, known: Sequence[str]) -> str:
        if value not in known:
            raise self.error(f"has {name}={value!r}", suggest(value, known))
        return str(value)

    def items(self, name: str, value: Any, hint: str) -> list[Any]:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise self.error(f"has {name}={value!r}, which is not a list", hint)
        return list(value)

    def number(self, name: str, value: Any, is_good: Callable[[Number], bool], wanted: str) -> Decimal:
        """Return a number with all nine decimal places, as it is stored; `wanted` describes valid numbers."""
        hint = f"Give {wanted}."
        try:
            number = exact(check_number(value, GAUGE))
        except TypeError as error:
            raise self.error(f"has {name}={value!r}, which is not a number", hint) from error
        except ValueError as error:
            raise self.error(f"has {name}={value!r}: {str(error).rstrip('.')}", hint) from error
        if not is_good(number):
            raise self.error(f"has {name}={value!r}", hint)
        return Decimal(number).quantize(QUANTUM, context=EXACT)

    def recipients(self, value: Any) -> tuple[str, ...]:
        """Return e-mail addresses without repetitions, ignoring case."""
        addresses = self.items("recipients", value, 'List e-mail addresses: ["team@example.com"].')
        return tuple({each.casefold(): each for each in map(self._address, addresses)}.values())

    def _address(self, value: Any) -> str:
        if isinstance(value, str) and len(value.casefold()) <= MAX_ADDRESS_LENGTH:
            with suppress(ValidationError):
                validate_email(value)
                return value
        raise self.error(f"has the recipient {value!r}", 'Give an e-mail address: "team@example.com".')


def suggest(name: Any, known: Sequence[str], listed: Sequence[str] = ()) -> str:
    """Return a hint: the known name most similar to a wrong one, or else up to 30 known names.

    If only some of the known names may be meant, `listed` has them.
    """
    close = get_close_matches(str(name), known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    listed = listed or known
    return f"Choose one of {', '.join(sorted(listed)[:MOST_NAMES])}{' and others' * (len(listed) > MOST_NAMES)}."


def _like(example: str) -> str:
    return f"Write it like this: {example}."
