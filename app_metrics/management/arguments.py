from argparse import ArgumentTypeError
from datetime import date

from ..core.periods import FIRST_YEAR


def parse_date(text: str) -> date:
    """Return the date in an option. Raises ArgumentTypeError, which argparse shows to the user."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2026-11-23.") from error
    if day.year <= FIRST_YEAR:
        raise ArgumentTypeError(f"{text!r} is before anything can have been recorded.")
    return day
