"""`APP_METRICS_RATIOS`: ratios of two metrics by their name."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from ..conf import cached, settings
from ..core.calendar import local_day, locate, starts_at, starts_between
from ..core.comparisons import BETTER
from ..core.errors import MetricError
from ..core.periods import Period, Piece
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..core.summary import GAUGE
from ..core.validation import MAX_UNIT_LENGTH
from .operands import Operand, read_operand
from .quotients import Quotient, quotients
from .windows import first_day, last_day

SETTING = "APP_METRICS_RATIOS"
RATIO_EXAMPLE = '{"of": "checkouts", "to": "visits", "as": "percent"}'
EXAMPLE = f'{{"conversion": {RATIO_EXAMPLE}}}'
KEYS = ("of", "to", "as", "unit", "better")
PERCENT, NUMBER = FORMS = ("percent", "number")


class UnknownRatio(MetricError, LookupError):
    """The settings declare no ratio of a name."""


class RatioPoint(NamedTuple):
    """The quotient of one period of a series."""

    start: date | datetime
    quotient: Quotient


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two metrics. `said` is the change that its entry says to be good news; "" if it says none.

    It is named and shown as a gauge is: its number of a period is no sum.
    """

    kind: ClassVar[str] = GAUGE

    slug: str
    of: Operand
    to: Operand
    is_percent: bool = False
    unit: str = ""
    said: str = ""

    @property
    def name(self) -> str:
        return self.slug

    @property
    def factor(self) -> int:
        return 100 if self.is_percent else 1

    @property
    def days(self) -> int:
        """The most days that an operand is read over; 0 if both are read over the period itself."""
        return max(self.of.days, self.to.days)

    def first_day(self, pieces: Collection[Piece]) -> date:
        """Return the first date that is read for a span."""
        first, last = min(start for _, start, _ in pieces), last_day(pieces)
        if not self.days or last is None:
            return first
        return min(first_day(last, each.days) if each.days else first for each in (self.of, self.to))

    def quotient(self, period: str, day: date | None = None, using: str | None = None) -> Quotient:
        """Return the quotient of the period that contains `day` (default: today), as `Metric.summary` reads it."""
        each = Period(period)
        return quotients([self], {"period": [(each, *locate(each, day))]}, using)[self.slug, "period"]

    def series(self, period: str, start: date, end: date, using: str | None = None) -> list[RatioPoint]:
        """Return one point for every period that touches the dates from `start` to `end`, both included."""
        each = Period(period)
        starts = list(starts_between(each, local_day(start), local_day(end)))
        found = quotients([self], {at: [(each, *at)] for at in starts}, using)
        return [RatioPoint(starts_at(each, *at), found[self.slug, at]) for at in starts]


@cached
def ratios() -> dict[str, Ratio]:
    """Return the good ratios of the settings by name; `manage.py check` reports the others."""
    return compile_ratios(settings.APP_METRICS_RATIOS)[0]


def get_ratio(name: str) -> Ratio:
    """Return a ratio. Raises UnknownRatio if the settings have none, ImproperlyConfigured if it has a mistake."""
    if not isinstance(name, str):  # a variable of a template may be anything
        raise UnknownRatio(f"The name of a ratio is a str, not {name!r:.100}.")
    if name in ratios():
        return ratios()[name]
    for mistake in compile_ratios(settings.APP_METRICS_RATIOS)[1]:
        if mistake.origin.startswith(SettingReader("E031", SETTING).entry(name).origin):
            raise ImproperlyConfigured(f"{mistake} {mistake.hint}")
    hint = suggest(name[:100], list(ratios())) if ratios() else f"{SETTING} declares none."
    raise UnknownRatio(f"There is no ratio {name!r:.100}. {hint}")


def compile_ratios(value: Any) -> tuple[dict[str, Ratio], list[SettingError]]:
    """Return the good ratios by name, and the mistakes in the others."""
    reader = SettingReader("E031", SETTING)
    found = reader.read_mapping(value, EXAMPLE, _compile)
    for mistake in list(_nested(reader, found)):
        reader.errors.append(mistake)
        found.pop(mistake.key)
    return found, reader.errors


def _nested(reader: SettingReader, found: Mapping[str, Ratio]) -> Iterator[SettingError]:
    """Yield a mistake for each ratio of a ratio."""
    for name, ratio in found.items():
        inner = next((each.slug for each in (ratio.of, ratio.to) if each.slug in found), None)
        if inner is not None:
            hint = "Name two metrics: a ratio of ratios would hide how many events it is made of."
            yield reader.entry(name).error(f"divides the ratio {inner!r}", hint)


def _compile(entry: SettingReader, value: Any) -> Ratio:
    entry.check_mapping(value, RATIO_EXAMPLE)
    entry.check_keys(value, KEYS)
    missing = [key for key in ("of", "to") if key not in value]
    if missing:
        raise entry.error(f"lacks {missing[0]!r}", f"Write it like this: {RATIO_EXAMPLE}.")
    is_percent = entry.choice("as", value.get("as", NUMBER), FORMS) == PERCENT
    return Ratio(
        entry.slug(entry.key),
        read_operand(entry, "of", value["of"]),
        read_operand(entry, "to", value["to"]),
        is_percent,
        _unit(entry, value.get("unit", ""), is_percent),
        entry.choice("better", value["better"], BETTER) if "better" in value else "",
    )


def _unit(entry: SettingReader, value: Any, is_percent: bool) -> str:
    if not isinstance(value, str) or len(value) > MAX_UNIT_LENGTH:
        raise entry.error(f"has unit={value!r}", f"Give a text of at most {MAX_UNIT_LENGTH} characters.")
    if value and is_percent:
        raise entry.error(f"has unit={value!r} and is a percentage", "Remove the unit: it is %.")
    return "%" if is_percent else value
