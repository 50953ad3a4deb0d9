from argparse import ArgumentTypeError
from datetime import date

from ..core.periods import FIRST_YEAR


def parse_date(text: str) -> date:
    """Return the date in an option. Raises ArgumentTypeError, which argparse shows to the user."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a date; give one such as 2026-11-23.") from error
    if day.year <= FIRST_YEAR:
        raise ArgumentTypeError(f"{text!r} is too early; give a date after the year {FIRST_YEAR}.")
    return day
