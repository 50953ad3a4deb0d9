"""`APP_METRICS_ALERTS`: the numbers to watch, and when an alert fires."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from ..core.comparisons import DOWN, NEITHER, UP
from ..core.numbers import Number
from ..core.periods import HOUR, YEAR, Period, Start
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..core.validation import check_labels
from ..models import Alert
from ..ratios.declared import SETTING as RATIOS
from ..ratios.declared import Ratio, ratios

SETTING = "APP_METRICS_ALERTS"
RULE_EXAMPLE = '{"metric": "new_user_signup", "period": "day", "below": 1}'
EXAMPLE = f'{{"No signups": {RULE_EXAMPLE}}}'

BELOW, ABOVE, CHANGE, WORSE = TESTS = ("below", "above", "change", "worse")
# These compare with a base, in percent.
OF_CHANGES = (CHANGE, WORSE)
KEYS = ("metric", "ratio", "period", "percentile", *TESTS, "at_least", "labels", "recipients", "quiet")
# An alert about a year would come too late to help.
WATCHED = tuple(period for period in Period if period is not YEAR)
MAX_NAME_LENGTH = Alert._meta.get_field("name").max_length or 0
HOURS_OF_A_YEAR = 8784


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert. `metric` is the slug of a metric, or the name of `ratio`.

    `test` is one of `TESTS`, the comparison with `limit`; the limit of a change is in percent. A rule that tests for
    `worse` fires only after `towards` has given it a direction. `percentile` is a percentage, for the percentile to
    watch instead of the main number.
    """

    name: str
    metric: str
    period: Period
    test: str
    limit: Decimal
    at_least: Decimal
    labels: Mapping[str, str] | None
    recipients: tuple[str, ...]
    quiet: timedelta
    ratio: Ratio | None = None
    percentile: Decimal | None = None

    @property
    def slugs(self) -> set[str]:
        """The metrics that the rule reads."""
        return {self.ratio.of.slug, self.ratio.to.slug} if self.ratio else {self.metric}

    def reads_from(self, start: Start) -> Start:
        """Return the first hour that is read for a period; that of its first date if the period is no hour."""
        return (self.ratio.first_day([(self.period, *start)]), start[1]) if self.ratio else start

    def towards(self, better: str) -> "AlertRule":
        """Return the rule with a signed change for `worse`. Raises ValueError if no change of the metric is worse.

        `better` is the change of the metric that is good news.
        """
        if self.test != WORSE:
            return self
        if better == NEITHER:
            where = "its entry of APP_METRICS_RATIOS" if self.ratio else "a rule or in the admin's form of the metric"
            raise ValueError(
                f"No change of {self.metric!r} is worse: say which one is better in {where}, or write 'change' instead "
                "of 'worse'."
            )
        if better == UP and self.limit > 100:
            raise ValueError(f"{self.metric!r} cannot fall by more than 100 %: write a smaller 'worse'.")
        return replace(self, test=CHANGE, limit=self.limit if better == DOWN else -self.limit)

    def fires(self, value: Number | None, base: Fraction | None) -> bool | None:
        """Return whether the alert fires for a value; None if there is nothing to compare."""
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
    """Return the good rules by name, and the mistakes in the others."""
    reader = SettingReader("E019", SETTING)
    return reader.read_mapping(value, EXAMPLE, _compile), reader.errors


def _compile(entry: SettingReader, value: Any) -> AlertRule:
    name = entry.key
    if not 0 < len(name) <= MAX_NAME_LENGTH or name != name.replace("\0", "").encode(errors="replace").decode():
        raise entry.error("has a name that cannot be stored", f"Give it 1 to {MAX_NAME_LENGTH} characters.")
    entry.check_mapping(value, RULE_EXAMPLE)
    entry.check_keys(value, KEYS)
    ratio = _read_ratio(entry, value) if "ratio" in value else None
    missing = [key for key in ("metric", "period") if key not in value and not (ratio and key == "metric")]
    if missing:
        raise entry.error(f"lacks {missing[0]!r}", f"Write it like this: {RULE_EXAMPLE}.")
    if ratio and ratio.days and value["period"] == HOUR:
        hint = f"Choose day, week or month: in {RATIOS}, it has 'days', which are whole days."
        raise entry.error(f"watches the hours of the ratio {ratio.slug!r}", hint)
    test, limit = _read_test(entry, value)
    number = partial(entry.number, is_good=lambda number: number >= 0, wanted="a number, 0 or more")
    hours = partial(entry.number, is_good=lambda number: 0 <= number <= HOURS_OF_A_YEAR, wanted="hours, at most a year")
    return AlertRule(
        name=name,
        metric=ratio.slug if ratio else entry.slug(value["metric"]),
        period=Period(entry.choice("period", value["period"], WATCHED)),
        test=test,
        limit=limit,
        at_least=number("at_least", value.get("at_least", 0)),
        labels=_read_labels(entry, value.get("labels")),
        recipients=entry.recipients(value.get("recipients", ())),
        quiet=timedelta(hours=float(hours("quiet", value.get("quiet", 1)))),
        ratio=ratio,
        percentile=_read_percentile(entry, value),
    )


def _read_ratio(entry: SettingReader, value: Mapping[str, Any]) -> Ratio:
    if "metric" in value:
        raise entry.error("has a metric and a ratio", "Give exactly one of them.")
    if "labels" in value:
        raise entry.error("has a ratio and labels", f"Write the labels in the ratio's entry of {RATIOS}.")
    name, known = value["ratio"], list(ratios())
    if name not in known:
        raise entry.error(f"has the unknown ratio {name!r}", suggest(name, known) if known else f"Add it to {RATIOS}.")
    return ratios()[name]


def _read_percentile(entry: SettingReader, value: Mapping[str, Any]) -> Decimal | None:
    if "percentile" not in value:
        return None
    if "ratio" in value:
        raise entry.error(
            "has a ratio and a percentile",
            f'Write the percentile in the ratio\'s entry of {RATIOS}, as the field of a metric: "p95".',
        )
    wanted = "a percentage from 0 to 100"
    return entry.number("percentile", value["percentile"], lambda number: 0 <= number <= 100, wanted)


def _read_test(entry: SettingReader, value: Mapping[str, Any]) -> tuple[str, Decimal]:
    found = [test for test in TESTS if test in value]
    if len(found) != 1:
        raise entry.error(f"has {len(found)} of {', '.join(TESTS)}", "Give exactly one of them.")
    test = found[0]
    if test not in OF_CHANGES:
        if "at_least" in value:
            raise entry.error(
                "has at_least without change or worse", "Remove it: only a change is compared with a base."
            )
        return test, entry.number(test, value[test], lambda number: True, "a number")
    period = value["period"]
    if period in WATCHED and Period(period).months:
        hint = f"{period.capitalize()}s differ in length; choose hour, day or week."
        raise entry.error(f"has {test} with the period {period!r}", hint)
    if test == WORSE:
        return test, entry.number(test, value[test], lambda number: number > 0, "a percentage above 0")
    wanted = "a percentage of at least -100, other than 0"
    return test, entry.number(test, value[test], lambda number: number >= -100 and number != 0, wanted)


def _read_labels(entry: SettingReader, value: Any) -> Mapping[str, str] | None:
    try:
        check_labels(value)
    except (TypeError, ValueError) as error:
        raise entry.error(f"has labels={value!r}", str(error)) from error
    return value  # type: ignore[no-any-return]
