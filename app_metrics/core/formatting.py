"""Numbers, changes, dates and pictures as people read them, in the active language; nothing of Django's ORM."""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING

from django.utils import dateformat
from django.utils.formats import get_format, number_format
from django.utils.translation import get_language, get_language_bidi, gettext, pgettext

from .numbers import Number, exact
from .periods import MONTH, WEEK, YEAR, next_start
from .plain_text import one_line
from .summary import COUNTER, TIMER

if TYPE_CHECKING:
    from .comparisons import Comparison

MINUS, NO_BREAK, ABSENT = "\u2212", "\u00a0", "\u2013"

_LEFT_TO_RIGHT = "\u200e"
# SI symbols, which are the same in every language.
_SECONDS = (("s", 0), ("ms", -3), ("µs", -6), ("ns", -9))
_MINUTE, _HOUR = 60, 3600
# Languages that write no comma between the weekday and the date (CLDR, the full date format).
_WITHOUT_COMMA = frozenset({"cs", "fi", "fr", "it", "nb", "nl", "nn", "no", "sk", "sv"})
# Wide enough for every number that can be stored, whatever precision the thread's decimal context has.
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)


def shown(number: Number | float | None, kind: str = COUNTER, unit: str = "") -> str:
    """Return a number as it is read: grouped, with few decimal places, and its unit; a timer's is seconds."""
    if number is None:
        return ABSENT
    value = Decimal(exact(number))
    return _from_left((MINUS if value < 0 else "") + _measured(value.copy_abs(), kind, unit))


def shown_change(comparison: "Comparison") -> str:
    """Return the relative change in percent, "new" where there was nothing before, or "n/a"."""
    relative = comparison.relative
    if relative is None:
        return pgettext("change", "new") if comparison.verdict == "new" else pgettext("change", "n/a")
    sign = "+" if relative > 0 else MINUS if relative else "±"
    text = _percentage(relative.copy_abs().scaleb(2, _WIDE), is_fall=relative < 0)
    # Translators: how a percentage is written; no line breaks at the space.
    return _from_left(sign + (gettext("%(number)s %%") % {"number": text}).replace(" ", NO_BREAK))


def shown_difference(comparison: "Comparison", kind: str = COUNTER, unit: str = "") -> str:
    """Return the absolute change with its sign, in the metric's unit."""
    change = comparison.change
    if change is None:
        return ABSENT
    sign = "+" if change > 0 else MINUS if change else "±"
    return _from_left(sign + _measured(Decimal(change).copy_abs(), kind, unit))


def heights(values: Iterable[Number | None], pixels: int) -> list[int | None]:
    """Return a bar's height for each number, below zero where it is negative; all together span so many pixels.

    A bar that is not zero is at least one pixel high.
    """
    values = list(values)
    known = [value for value in values if value is not None]
    span = float(max([0, *known])) - float(min([0, *known]))
    return [None if value is None else _height(value, span, pixels) for value in values]


def period_title(period: str, start: date) -> str:
    """Return the name of a day, week or month; a week has a number only where it begins on Monday, as ISO weeks do."""
    if period == MONTH:
        return dateformat.format(start, get_format("YEAR_MONTH_FORMAT"))
    if period != WEEK:
        return _with_weekday(start, dateformat.format(start, _date_format()))
    days = dates(start, next_start(WEEK, start) - timedelta(days=1))
    if start.isoweekday() != 1:
        return days
    return gettext("Week %(number)s, %(dates)s") % {"number": start.isocalendar().week, "dates": days}


def moment_title(period: str, start: date) -> str:
    """Return the name of a period; of an hour, which starts at a datetime, its date and time.

    Where clocks are put back the same time comes twice; then the name of the zone tells which one it is.
    """
    if isinstance(start, datetime):
        title = _with_weekday(start, dateformat.format(start, f"{_date_format()}, {get_format('TIME_FORMAT')}"))
        is_ambiguous = start.replace(fold=0).utcoffset() != start.replace(fold=1).utcoffset()
        return f"{title} {start.tzname()}" if is_ambiguous else title
    return str(start.year) if period == YEAR else period_title(period, start)


def short_moment(period: str, start: date) -> str:
    """Return what an axis says of a period: as little as tells it from its neighbours."""
    if isinstance(start, datetime) and start.hour:
        return dateformat.format(start, get_format("TIME_FORMAT"))
    return str(start.year) if period == YEAR else short_title(period, start)


def day_title(day: date) -> str:
    """Return a weekday and date without the year."""
    return _with_weekday(day, short_title("", day))


def short_title(period: str, start: date) -> str:
    """Return a month and year, or the date on which another period starts, without the year."""
    if period == MONTH:
        return period_title(period, start)
    return dateformat.format(start, "j F" if _is_english() else get_format("MONTH_DAY_FORMAT"))


def _rounded(number: Decimal) -> Decimal:
    """Round to two decimal places, or to three significant digits where that says more."""
    return _significant(number) if number < 1 else _to_places(number, 2)


def _significant(number: Decimal) -> Decimal:
    """Round to three significant digits, but not to less than whole numbers."""
    return _to_places(number, max(0, 2 - number.adjusted())) if number else number


def _to_places(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), context=_WIDE)


def _localised(number: Decimal | int) -> str:
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return number_format(Decimal(text), use_l10n=True, force_grouping=True)


def _percentage(percent: Decimal, is_fall: bool) -> str:
    if 0 < percent < Decimal("0.05"):
        return "<" + _localised(Decimal("0.1"))
    if is_fall and Decimal("99.5") <= percent < 100:
        # Something is left, so it has not fallen by 100 %.
        return _localised(percent.quantize(Decimal("0.1"), ROUND_DOWN, _WIDE))
    return _localised(_to_places(percent, 1 if percent < 10 else 0))


def _measured(number: Decimal, kind: str, unit: str) -> str:
    if kind == TIMER:
        return _duration(number)
    unit = one_line(unit)
    return _localised(_rounded(number)) + (NO_BREAK + unit if unit else "")


def _from_left(text: str) -> str:
    """Keep a sign before its number, and a unit behind, in a text that runs from right to left."""
    return _LEFT_TO_RIGHT + text + _LEFT_TO_RIGHT if get_language_bidi() else text


def _duration(seconds: Decimal) -> str:
    rounded = _significant(seconds)
    if rounded < _MINUTE:
        symbol, power = next((each for each in _SECONDS if rounded >= Decimal(1).scaleb(each[1])), _SECONDS[0])
        return _localised(rounded.scaleb(-power, _WIDE)) + NO_BREAK + symbol
    whole = int(_to_places(seconds, 0))
    if whole < _HOUR:
        return _parts((whole // _MINUTE, "min"), (whole % _MINUTE, "s"))
    minutes = int(_to_places(_WIDE.divide(seconds, Decimal(_MINUTE)), 0))
    return _parts((minutes // 60, "h"), (minutes % 60, "min"))


def _parts(*parts: tuple[int, str]) -> str:
    return NO_BREAK.join(f"{_localised(number)}{NO_BREAK}{symbol}" for number, symbol in parts if number)


def _height(value: Number, span: float, pixels: int) -> int:
    if not value:
        return 0
    height = max(1, round(abs(float(value)) / span * pixels))
    return height if value > 0 else -height


def _is_english() -> bool:
    return (get_language() or "en").partition("-")[0] == "en"


def _date_format() -> str:
    # Django abbreviates the month in English.
    return "j F Y" if _is_english() else get_format("DATE_FORMAT")


def _with_weekday(day: date, text: str) -> str:
    comma = "" if (get_language() or "").partition("-")[0] in _WITHOUT_COMMA else ","
    return f"{dateformat.format(day, 'l')}{comma} {text}"


def dates(first: date, last: date) -> str:
    """Return the dates from one to another, without what both have in common."""
    day_of_month = re.match(r"j\.?", _date_format())
    end = dateformat.format(last, _date_format())
    if not day_of_month or first.year != last.year:
        return f"{dateformat.format(first, _date_format())} \u2013 {end}"
    if first.month != last.month:
        return f"{short_title('', first)} \u2013 {end}"
    return f"{dateformat.format(first, day_of_month[0])}\u2013{end}"
