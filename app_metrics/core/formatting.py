"""Numbers, changes and dates as text for people, in the active language, and the heights of bars."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING

from django.utils import dateformat
from django.utils.dates import WEEKDAYS
from django.utils.formats import get_format, number_format
from django.utils.translation import get_language, get_language_bidi, gettext, pgettext

from .numbers import Number, exact
from .periods import WEEK, Period
from .plain_text import one_line
from .summary import COUNTER, TIMER, UNIQUE
from .uniques import EXACT, STANDARD_ERROR

if TYPE_CHECKING:
    from .comparisons import Change

MINUS, NO_BREAK, ABSENT = "\u2212", "\u00a0", "\u2013"

_LEFT_TO_RIGHT = "\u200e"
# SI symbols; they are the same in every language.
_SECONDS = (("s", 0), ("ms", -3), ("µs", -6), ("ns", -9))
_MINUTE, _HOUR = 60, 3600
# Languages without a comma between the weekday and the date (full date format of the CLDR).
_WITHOUT_COMMA = frozenset({"cs", "fi", "fr", "it", "nb", "nl", "nn", "no", "sk", "sv"})
# A currency's code; that other units look like one does no harm.
_CODE = re.compile("[A-Z]{3}")
# Precise enough for every number that can be stored; the thread's own decimal context may not be.
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)


def shown(number: Number | float | None, kind: str = "", unit: str = "", with_cents: bool = False) -> str:
    """Return a number as text: digits grouped, rounded, with its unit; the number of a timer is in seconds.

    `kind` is that of a metric, if the number belongs to one. Cents have two digits, so 107576.8 is "107,576.80", if the
    unit is a currency, and in a counter without a unit, because new metrics have none. Whole amounts have none unless
    they stand beside others, `with_cents`. A unique count is shown with its error if it is an estimate; without `kind`,
    it is a plain number, as on an axis.
    """
    if number is None:
        return ABSENT
    value = Decimal(exact(number))
    if kind == UNIQUE and value > EXACT:  # all that are higher are estimates
        return about(int(value), STANDARD_ERROR, unit)
    return _from_left((MINUS if value < 0 else "") + _measured(value.copy_abs(), kind, unit, with_cents))


def have_cents(numbers: Iterable[Number | None], kind: str, unit: str) -> bool:
    """Return whether any of some numbers is shown with cents."""
    if not _is_money(kind, one_line(unit)):
        return False
    amounts = (_rounded(Decimal(number).copy_abs()) for number in numbers if number is not None)
    return any(not _is_whole(amount) and amount == _to_places(amount, 2) for amount in amounts)


def shown_change(comparison: "Change") -> str:
    """Return the relative change in percent, "new" if there was nothing before, or "n/a"."""
    relative = comparison.relative
    if relative is None:
        return pgettext("change", "new") if comparison.verdict == "new" else pgettext("change", "n/a")
    sign = "+" if relative > 0 else MINUS if relative else "±"
    text = _percentage(relative.copy_abs().scaleb(2, _WIDE), is_fall=relative < 0)
    # Translators: how a percentage is written; no line breaks at the space.
    return _from_left(sign + (gettext("%(number)s %%") % {"number": text}).replace(" ", NO_BREAK))


def about(number: int, error: Decimal, unit: str = "") -> str:
    """Return a number with its relative error, such as "about 48,200 ± 1.6 %"; only the number if there is no error.

    It is rounded to the first digit in which the error shows.
    """
    if not error:
        return shown(number, unit=unit)
    places = -_WIDE.multiply(error, Decimal(number)).adjusted()
    texts = {
        "number": _with_unit(_localised(_to_places(Decimal(number), places)), one_line(unit)),
        "percent": _localised(_to_places(error.scaleb(2, _WIDE), 1)),
    }
    # Translators: an estimate and how far it may be from the truth; no line breaks at the spaces.
    return _from_left((gettext("about %(number)s ± %(percent)s %%") % texts).replace(" ", NO_BREAK))


def news_word(news: str) -> str:
    """Return the word for good news, "up", or bad news, "down"; "" if it is neither."""
    words = {"up": pgettext("change", "better"), "down": pgettext("change", "worse")}
    return words.get(news, "")


def shown_difference(comparison: "Change", kind: str = "", unit: str = "") -> str:
    """Return the absolute change with its sign, in the metric's unit."""
    change = comparison.change
    if change is None:
        return ABSENT
    sign = "+" if change > 0 else MINUS if change else "±"
    return _from_left(sign + _measured(Decimal(change).copy_abs(), kind, unit))


def heights(values: Iterable[Number | None], pixels: int) -> list[int | None]:
    """Return the height in pixels of a bar for each number; negative numbers have negative heights.

    The highest and the lowest bar together span `pixels`. A bar is at least one pixel high unless its number is zero.
    """
    values = list(values)
    known = [value for value in values if value is not None]
    span = float(max([0, *known])) - float(min([0, *known]))
    return [None if value is None else _height(value, span, pixels) for value in values]


def period_title(period: Period, start: date) -> str:
    """Return the name of a period with its year: a date, a month, a year, or the dates of any other period.

    An hour is given as a datetime and named by its date and time; if that time occurs twice because clocks go back, the
    name of the time zone is added. A week that begins on Monday also has its ISO number.
    """
    if isinstance(start, datetime):
        return _hour_title(start)
    if period.months == 12:
        return str(start.year)
    if period.months == 1:
        return _month_title(start)
    if period.days == 1:
        return _with_weekday(start, date_title(start))
    days = dates(start, period.last_day(start))
    if period != WEEK or start.isoweekday() != 1:
        return days
    return gettext("Week %(number)s, %(dates)s") % {"number": start.isocalendar().week, "dates": days}


def short_title(period: Period, start: date) -> str:
    """Return the label of a period on an axis: a time, a year, a month and year, or a date without the year.

    The first hour of a date is labelled with the date.
    """
    if isinstance(start, datetime) and start.hour:
        return dateformat.format(start, get_format("TIME_FORMAT"))
    if not period.months:
        return _short_date(start)
    return str(start.year) if period.months == 12 else _month_title(start)


def date_title(day: date) -> str:
    """Return a date with its year."""
    return dateformat.format(day, _date_format())


def moment_title(moment: datetime) -> str:
    """Return a date with its year, and a time."""
    own = f"{_date_format()}, {get_format('TIME_FORMAT')}"
    return dateformat.format(moment, own if _is_english() else get_format("DATETIME_FORMAT"))


def day_title(day: date) -> str:
    """Return a weekday and date without the year."""
    return _with_weekday(day, _short_date(day))


def weekday_name(number: int) -> str:
    """Return the name of an ISO weekday."""
    return str(WEEKDAYS[number - 1])


def clock_hour(hour: int) -> str:
    """Return an hour of the clock as a time."""
    return dateformat.time_format(time(hour), get_format("TIME_FORMAT"))


def dates(first: date, last: date) -> str:
    """Return a range of dates; the first date leaves out the month and year if they are the same as the last date's."""
    day_of_month = re.match(r"j\.?", _date_format())
    end = date_title(last)
    if first == last:
        return end
    if not day_of_month or first.year != last.year:
        return f"{date_title(first)} \u2013 {end}"
    if first.month != last.month:
        return f"{_short_date(first)} \u2013 {end}"
    return f"{dateformat.format(first, day_of_month[0])}\u2013{end}"


def _rounded(number: Decimal) -> Decimal:
    """Round to two decimal places, numbers below 1 to three significant digits."""
    return _significant(number) if number < 1 else _to_places(number, 2)


def _significant(number: Decimal) -> Decimal:
    """Round to three significant digits, but keep all digits of whole numbers."""
    return _to_places(number, max(0, 2 - number.adjusted())) if number else number


def _to_places(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), context=_WIDE)


def _amount(number: Decimal, with_cents: bool) -> str:
    """Return a rounded number with two decimal places, or with more if it needs them."""
    if number != _to_places(number, 2) or (_is_whole(number) and not with_cents):
        return _localised(number)
    return number_format(_to_places(number, 2), use_l10n=True, force_grouping=True)


def _is_whole(number: Decimal) -> bool:
    return number == number.to_integral_value()


def _is_money(kind: str, unit: str) -> bool:
    """Return whether a number may be money, by the sign or the code of a currency, or as a counter without a unit."""
    is_sign = any(unicodedata.category(character) == "Sc" for character in unit)
    return is_sign or bool(_CODE.fullmatch(unit)) or (kind == COUNTER and not unit)


def _localised(number: Decimal | int) -> str:
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return number_format(Decimal(text), use_l10n=True, force_grouping=True)


def _percentage(percent: Decimal, is_fall: bool) -> str:
    if 0 < percent < Decimal("0.05"):
        return "<" + _localised(Decimal("0.1"))
    if is_fall and Decimal("99.5") <= percent < 100:
        # Do not round up to 100 %, because the number did not fall to zero.
        return _localised(percent.quantize(Decimal("0.1"), ROUND_DOWN, _WIDE))
    return _localised(_to_places(percent, 1 if percent < 10 else 0))


def _measured(number: Decimal, kind: str, unit: str, with_cents: bool = False) -> str:
    if kind == TIMER:
        return _duration(number)
    unit = one_line(unit)
    rounded = _rounded(number)
    text = _amount(rounded, with_cents) if _is_money(kind, unit) else _localised(rounded)
    return _with_unit(text, unit)


def _with_unit(text: str, unit: str) -> str:
    return text + (NO_BREAK + unit if unit else "")


def _from_left(text: str) -> str:
    """Keep the sign before the number and the unit after it in languages that run from right to left."""
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


def _hour_title(start: datetime) -> str:
    title = _with_weekday(start, dateformat.format(start, f"{_date_format()}, {get_format('TIME_FORMAT')}"))
    is_ambiguous = start.replace(fold=0).utcoffset() != start.replace(fold=1).utcoffset()
    return f"{title} {start.tzname()}" if is_ambiguous else title


def _month_title(day: date) -> str:
    return dateformat.format(day, get_format("YEAR_MONTH_FORMAT"))


def _short_date(day: date) -> str:
    return dateformat.format(day, "j F" if _is_english() else get_format("MONTH_DAY_FORMAT"))


def _is_english() -> bool:
    return (get_language() or "en").partition("-")[0] == "en"


def _date_format() -> str:
    # Django's own format for English abbreviates the month.
    return "j F Y" if _is_english() else get_format("DATE_FORMAT")


def _with_weekday(day: date, text: str) -> str:
    comma = "" if (get_language() or "").partition("-")[0] in _WITHOUT_COMMA else ","
    return f"{dateformat.format(day, 'l')}{comma} {text}"
