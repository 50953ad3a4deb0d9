"""Numbers that are counted exactly: how large they may be, and how they are added, rounded and written."""

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow

Number = int | Decimal
# Numbers carry nine decimal places: a timer's nanosecond.
DECIMAL_PLACES = 9
# A stored number has at most 38 digits, so the largest recorded number still adds up 10**11 times.
MAX_DIGITS = 38
LARGEST = 10**18
# What a total's columns can hold lies below these.
COUNT_LIMIT = 2**63
TOTAL_LIMIT = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES)
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
QUANTUM = Decimal(1).scaleb(-DECIMAL_PLACES)
ROUNDING = Context(prec=100)


def add(left: Number, right: Number) -> Number:
    """Add exactly, whatever precision the thread's decimal context has."""
    if type(left) is int and type(right) is int:
        return left + right
    return EXACT.add(left, right)


def trimmed(number: Decimal) -> Decimal:
    """Return a stored number without zeros behind the point, and without an exponent."""
    whole = number.to_integral_value()
    return whole if whole == number else EXACT.normalize(number)


def digits(number: Number) -> str:
    """Return a number as digits, without an exponent."""
    return str(number) if type(number) is int else f"{number:f}"


def exact(number: Number | float) -> Number:
    """Return an int or Decimal; a float is rounded to nine decimal places from its shortest decimal form."""
    if type(number) is float:
        return Decimal(repr(number)).quantize(QUANTUM, context=ROUNDING)
    return number  # type: ignore[return-value]
