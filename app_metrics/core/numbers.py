"""Exact numbers: how large they may be, and how they are added, rounded, written and read."""

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from typing import Any

Number = int | Decimal
# Numbers have nine decimal places: a timer counts nanoseconds.
DECIMAL_PLACES = 9
# A stored number has at most 38 digits, so even the largest recorded number can be added up 10**11 times.
MAX_DIGITS = 38
LARGEST = 10**18
# A total's columns hold numbers below these.
COUNT_LIMIT = TIME_LIMIT = 2**63
TOTAL_LIMIT = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES)
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
QUANTUM = Decimal(1).scaleb(-DECIMAL_PLACES)
ROUNDING = Context(prec=100)


def add(left: Number, right: Number) -> Number:
    """Add exactly, whatever precision the thread's decimal context has."""
    if type(left) is int and type(right) is int:
        return left + right
    return EXACT.add(left, right)


def less(left: Number, right: Number) -> Number:
    """Subtract exactly, whatever precision the thread's decimal context has."""
    if type(left) is int and type(right) is int:
        return left - right
    return EXACT.subtract(left, right)


def trimmed(number: Decimal) -> Decimal:
    """Return a stored number without trailing zeros and without an exponent."""
    whole = number.to_integral_value()
    return whole if whole == number else EXACT.normalize(number)


def digits(number: Number) -> str:
    """Return a number as digits, without an exponent."""
    return str(number) if type(number) is int else f"{number:f}"


def plain(number: Number) -> str:
    """Return a number as digits, without an exponent and without trailing zeros."""
    return digits(number if isinstance(number, int) else trimmed(number))


def exact(number: Number | float) -> Number:
    """Return an int or Decimal; a float is rounded to nine decimal places from its shortest decimal form."""
    if type(number) is float:
        return ROUNDING.quantize(Decimal(repr(number)), QUANTUM)  # a method of the number takes twice as long
    return number  # type: ignore[return-value]


def read_count(value: Any) -> int:
    """Return a number of events that was stored or sent. Raises ValueError, TypeError or ArithmeticError."""
    count = int(value)
    if count != Decimal(value) or not 0 < count < COUNT_LIMIT:
        raise ValueError(f"{value!r:.100} is not a number of events.")
    return count


def read_time(value: Any) -> int:
    """Return microseconds of Unix time that were stored or sent. Raises ValueError or TypeError."""
    moment = int(value)
    if not -TIME_LIMIT <= moment < TIME_LIMIT:
        raise ValueError(f"{value!r:.100} is not a time in microseconds.")
    return moment


def read_number(value: Any) -> Decimal:
    """Return an exact number that was stored or sent. Raises ValueError, TypeError or ArithmeticError."""
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(f"{value!r:.100} is not a number.") from error
    if not number.is_finite() or not -TOTAL_LIMIT < number < TOTAL_LIMIT:
        raise ValueError(f"{value!r:.100} does not fit into a total.")
    EXACT.quantize(number, QUANTUM)
    return number


def check_percent(percent: int | Decimal | Fraction) -> None:
    """Raise ValueError for a bad percentage."""
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is not a percentage; give a number from 0 to 100.")
