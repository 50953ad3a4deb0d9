"""The rules of `APP_METRICS_ALERTS`: which number is watched, and within which limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from ..core.numbers import Number
from ..core.periods import DAY, HOUR, MONTH, WEEK
from ..core.setting_rules import Reader, SettingError, compile_each, suggest
from ..core.validation import check_labels
from ..models import Alert

SETTING = "APP_METRICS_ALERTS"
CODE = "E019"
RULE_EXAMPLE = '{"metric": "new_user_signup", "period": "day", "below": 1}'
EXAMPLE = f'{{"No signups": {RULE_EXAMPLE}}}'

BELOW, ABOVE, CHANGE = TESTS = ("below", "above", "change")
KEYS = ("metric", "period", *TESTS, "at_least", "labels", "recipients", "quiet")
WATCHED = (HOUR, DAY, WEEK, MONTH)
MAX_NAME_LENGTH = Alert._meta.get_field("name").max_length or 0
HOURS_OF_A_YEAR = 8784


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert; `test` is the comparison with `limit`, which is a percentage if that is "change"."""

    name: str
    metric: str
    period: str
    test: str
    limit: Decimal
    at_least: Decimal
    labels: Mapping[str, str] | None
    recipients: tuple[str, ...]
    quiet: timedelta

    def fires(self, value: Number | None, base: Fraction | None) -> bool | None:
        """Return whether a value is out of the limit; None if there is nothing to compare."""
        if value is None:
            return None
        if self.test != CHANGE:
            return value < self.limit if self.test == BELOW else value > self.limit
        if base is None:
            return None
        if base <= 0 or base < Fraction(self.at_least):
            return False
        bound = base * (100 + Fraction(self.limit)) / 100
        return Fraction(value) <= bound if self.limit < 0 else Fraction(value) >= bound


def compile_alerts(value: Any) -> tuple[dict[str, AlertRule], list[SettingError]]:
    """Return the valid rules by name, and the mistakes in the others."""
    rules, mistakes = compile_by_name(value)
    return rules, [*mistakes.values()]


def compile_by_name(value: Any) -> tuple[dict[str, AlertRule], dict[str, SettingError]]:
    """Do the same with the mistakes by name, too."""
    return compile_each(Reader(CODE, SETTING), value, EXAMPLE, _compile)


def _compile(name: str, value: Any) -> AlertRule:
    reader = Reader(CODE, f"{SETTING}[{name!r}]")
    if not 0 < len(name) <= MAX_NAME_LENGTH or name != name.replace("\0", "").encode(errors="replace").decode():
        raise reader.error("has a name that cannot be stored", f"Give it 1 to {MAX_NAME_LENGTH} characters.")
    reader.check_keys(value, KEYS, RULE_EXAMPLE)
    missing = [key for key in ("metric", "period") if key not in value]
    if missing:
        raise reader.error(f"lacks {missing[0]!r}", f"Write it like this: {RULE_EXAMPLE}.")
    if value["period"] not in WATCHED:
        raise reader.error(f"has the period {value['period']!r}", suggest(value["period"], WATCHED))
    test, limit = _read_test(reader, value)
    number = partial(reader.number, is_good=lambda number: number >= 0, wanted="a number, 0 or more")
    hours = partial(reader.number, is_good=lambda number: 0 <= number <= HOURS_OF_A_YEAR, wanted="hours, up to a year")
    return AlertRule(
        name=name,
        metric=reader.slug(value["metric"]),
        period=value["period"],
        test=test,
        limit=limit,
        at_least=number("at_least", value.get("at_least", 0)),
        labels=_read_labels(reader, value.get("labels")),
        recipients=reader.recipients(value.get("recipients", ())),
        quiet=timedelta(hours=float(hours("quiet", value.get("quiet", 1)))),
    )


def _read_test(reader: Reader, value: Mapping[str, Any]) -> tuple[str, Decimal]:
    found = [test for test in TESTS if test in value]
    if len(found) != 1:
        raise reader.error(f"has {len(found)} of {', '.join(TESTS)}", "Give exactly one of them.")
    test = found[0]
    if test != CHANGE:
        if "at_least" in value:
            raise reader.error("has at_least without change", "It is what the base must come to; remove it.")
        return test, reader.number(test, value[test], lambda number: True, "a number")
    if value["period"] == MONTH:
        raise reader.error("has the change of a month", "Months before differ in length; choose hour, day or week.")
    wanted = "a percentage other than 0, from -100 up"
    return test, reader.number(test, value[test], lambda number: number >= -100 and number != 0, wanted)


def _read_labels(reader: Reader, value: Any) -> Mapping[str, str] | None:
    try:
        check_labels(value)
    except (TypeError, ValueError) as error:
        raise reader.error(f"has labels={value!r}", str(error)) from error
    return value  # type: ignore[no-any-return]
