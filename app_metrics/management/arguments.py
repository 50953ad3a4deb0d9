from argparse import ArgumentTypeError
from datetime import date, datetime

from ..core.dates import check_year, read_day, read_moment


def parse_date(text: str) -> date:
    """Return the date in an option. Raises ArgumentTypeError, which argparse shows to the user."""
    try:
        day = read_day(text)
        check_year(day, text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return day


def parse_moment(text: str) -> datetime:
    """Return the time in an option, naive without an offset. Raises ArgumentTypeError."""
    try:
        return read_moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
