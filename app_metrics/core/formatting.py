"""Numbers, changes, dates and pictures as people read them, in the active language; nothing of Django's ORM."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING

from django.utils import dateformat
from django.utils.formats import get_format, number_format
from django.utils.translation import get_language, get_language_bidi, gettext, pgettext

from .periods import MONTH, WEEK, YEAR, next_start
from .summary import COUNTER, TIMER, Number, exact

if TYPE_CHECKING:
    from ..trending import Comparison

MINUS, NO_BREAK, ABSENT = "\u2212", "\u00a0", "\u2013"
# How wide plain text may be, and how much of it the first column of a table keeps in any case.
TEXT_WIDTH, LEAST_FIRST_COLUMN, GAP = 80, 16, 2

_LEFT_TO_RIGHT = "\u200e"
# SI symbols, which are the same in every language.
_SECONDS = (("s", 0), ("ms", -3), ("µs", -6), ("ns", -9))
_MINUTE, _HOUR = 60, 3600
_BLOCKS = "▁▂▃▄▅▆▇█"
# Languages that write no comma between the weekday and the date (CLDR, the full date format).
_WITHOUT_COMMA = frozenset({"cs", "fi", "fr", "it", "nb", "nl", "nn", "no", "sk", "sv"})
# Wide enough for every number that can be stored, whatever precision the thread's decimal context has.
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)
# Control characters, and those that no text may hold or that turn the direction of what follows.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


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


def sparkline(values: Iterable[Number | None]) -> str:
    """Draw a block character for each number, from zero or the lowest negative one up, and a space for None."""
    values = list(values)
    known = [value for value in values if value is not None]
    low, high = min([0, *known]), max([0, *known])
    if len(set(known)) == 1 and any(known):
        return "".join(" " if value is None else _BLOCKS[3] for value in values)
    return "".join(" " if value is None else _block(value, low, high) for value in values)


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


def one_line(text: str) -> str:
    """Return a text without line breaks, control characters and repeated blanks."""
    return " ".join(_UNFIT.sub(" ", text).split())


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide characters two, combining ones none."""
    return sum(_character_width(character) for character in text)


def wrapped(text: str, limit: int = TEXT_WIDTH) -> list[str]:
    """Return a text in lines of at most so many columns, broken at blanks, and within words only that are longer."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer) <= limit:
            line = longer
            continue
        if line:
            lines.append(line)
        *full, line = _broken(word, limit)
        lines += full
    return [*lines, line]


def aligned(rows: Iterable[Sequence[str]], limit: int = TEXT_WIDTH) -> list[list[str]]:
    """Return the lines of each row of a table: the first column flush left and wrapped, the others flush right.

    The table is wider than the limit where the other columns leave too little for the first.
    """
    rows = list(rows)
    if not rows:
        return []
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    room = max(LEAST_FIRST_COLUMN, limit - sum(widths[1:]) - GAP * (len(widths) - 1))
    first = min(widths[0], room)
    return [_aligned_row(row, [first, *widths[1:]]) for row in rows]


def _aligned_row(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    *above, last = wrapped(row[0], widths[0])
    cells = [last + " " * (widths[0] - width(last))]
    cells += [" " * (room - width(cell)) + cell for cell, room in zip(row[1:], widths[1:], strict=True)]
    return [line.rstrip(" ") for line in [*above, (" " * GAP).join(cells)]]


def _broken(word: str, limit: int) -> list[str]:
    pieces = [""]
    for character in word:
        if width(pieces[-1] + character) > limit and pieces[-1]:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


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


def _block(value: Number, low: Number, high: Number) -> str:
    if value == low:
        return _BLOCKS[0]
    steps = round((float(value) - float(low)) / (float(high) - float(low)) * (len(_BLOCKS) - 1))
    return _BLOCKS[max(1, steps)]


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
