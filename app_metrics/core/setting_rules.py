"""Read the settings that say what is told and to whom, and say what is wrong with them."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from ..contrib.rules import RuleError, entries, suggest
from ..models.reports import MAX_ADDRESS_LENGTH
from .summary import EXACT, GAUGE, QUANTUM, Number, exact
from .validation import check_number, check_slug

Compiled = TypeVar("Compiled")


class Reader:
    """Read the parts of one rule. What is wrong raises a RuleError that has the setting's code."""

    def __init__(self, code: str, origin: str) -> None:
        self.code, self.origin = code, origin

    def error(self, message: str, hint: str) -> RuleError:
        return RuleError(self.code, f"{self.origin} {message}.", hint)

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
) -> tuple[dict[str, Compiled], dict[str, RuleError]]:
    """Return the rules of a setting that are right, and the mistakes of the others, by name.

    A setting that maps no names to rules is one mistake, under its own name.
    """
    rules: dict[str, Compiled] = {}
    errors: dict[str, RuleError] = {}
    try:
        for name, rule in entries(reader.origin, value, example):
            try:
                rules[name] = compile_one(name, rule)
            except RuleError as error:
                errors[name] = error
    except RuleError as error:
        errors[reader.origin] = RuleError(reader.code, str(error), error.hint)
    return rules, errors
