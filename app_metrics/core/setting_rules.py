"""Read the settings that say what is told and to whom, and say what is wrong with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .numbers import EXACT, QUANTUM, Number, exact
from .summary import GAUGE
from .validation import MAX_ADDRESS_LENGTH, check_number, check_slug

Compiled = TypeVar("Compiled")


class SettingError(Exception):
    """A mistake in a rule, with what would mend it; `code` is the id of its check message."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


class Reader:
    """Read the parts of one rule. What is wrong raises a SettingError that has the setting's code."""

    def __init__(self, code: str, origin: str) -> None:
        self.code, self.origin = code, origin

    def error(self, message: str, hint: str) -> SettingError:
        return SettingError(self.code, f"{self.origin} {message}.", hint)

    def check_keys(self, value: Any, known: Sequence[str], example: str) -> None:
        if not isinstance(value, Mapping):
            raise self.error(f"is {value!r}", f"Write it like this: {example}.")
        for key in value:
            if key not in known:
                raise self.error(f"has the unknown key {key!r}", suggest(key, known))

    def slug(self, value: Any) -> str:
        try:
            return check_slug(value)
        except (TypeError, ValueError) as error:
            raise self.error(f"does not name a metric: {str(error).rstrip('.')}", "Name it by its slug.") from error

    def number(self, name: str, value: Any, is_good: Callable[[Number], bool], wanted: str) -> Decimal:
        """Return a number as it is stored, nine decimal places included; `wanted` says which ones are good."""
        hint = f"Give {wanted}."
        try:
            number = exact(check_number(value, GAUGE))
        except (TypeError, ValueError) as error:
            raise self.error(f"has {name}={value!r}: {str(error).rstrip('.')}", hint) from error
        if not is_good(number):
            raise self.error(f"has {name}={value!r}", hint)
        return Decimal(number).quantize(QUANTUM, context=EXACT)

    def recipients(self, value: Any) -> tuple[str, ...]:
        """Return e-mail addresses, each once, however it is spelled."""
        if not isinstance(value, (list, tuple)):
            raise self.error(f"has recipients={value!r}", 'List e-mail addresses: ["team@example.com"].')
        addresses = [self._address(each) for each in value]
        return tuple({address.casefold(): address for address in addresses}.values())

    def _address(self, value: Any) -> str:
        hint = 'Give an e-mail address: "team@example.com".'
        if not isinstance(value, str) or len(value.casefold()) > MAX_ADDRESS_LENGTH:
            raise self.error(f"has the recipient {value!r}", hint)
        try:
            validate_email(value)
        except ValidationError as error:
            raise self.error(f"has the recipient {value!r}", hint) from error
        return value


def compile_each(
    reader: Reader, value: Any, example: str, compile_one: Callable[[str, Any], Compiled]
) -> tuple[dict[str, Compiled], dict[str, SettingError]]:
    """Return the rules of a setting that are right, and the mistakes of the others, by name.

    A setting that maps no names to rules is one mistake, under its own name.
    """
    rules: dict[str, Compiled] = {}
    errors: dict[str, SettingError] = {}
    try:
        for name, rule in entries(reader.origin, value, example):
            try:
                rules[name] = compile_one(name, rule)
            except SettingError as error:
                errors[name] = error
    except SettingError as error:
        errors[reader.origin] = SettingError(reader.code, str(error), error.hint)
    return rules, errors


def entries(setting: str, value: Any, example: str) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a setting that maps names to rules. Raises SettingError where it is no such mapping."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise SettingError(
            "E001", f"{setting} is {value!r}, which does not map names to rules.", f"Map them: {example}."
        )
    yield from value.items()


def suggest(name: Any, known: Sequence[str]) -> str:
    """Return a hint that names what was probably meant, or else all there is to choose from."""
    close = get_close_matches(str(name), known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of {', '.join(sorted(known)[:30])}."
