from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable
from datetime import date, datetime

from django.core.management.base import CommandError

from ..aggregation.retention import MAX_DAYS
from ..core.dates import check_year, read_day, read_moment
from ..core.validation import check_labels


def parse_date(text: str) -> date:
    """Return the date in an option. Raises ArgumentTypeError, which argparse shows to the user."""
    try:
        day = read_day(text)
        check_year(day, text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return day


def parse_days(text: str) -> int:
    """Return the number of days in an option. Raises ArgumentTypeError."""
    try:
        days = int(text)
    except ValueError:
        days = 0
    if not 1 <= days <= MAX_DAYS:
        raise ArgumentTypeError(f"{text!r} is not a whole number of days from 1 to {MAX_DAYS:,}")
    return days


def parse_moment(text: str) -> datetime:
    """Return the time in an option, naive without an offset. Raises ArgumentTypeError."""
    try:
        return read_moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def add_where(parser: ArgumentParser, help: str) -> None:  # noqa: A002 - its name in argparse
    parser.add_argument("--where", action="append", metavar="LABEL=VALUE", help=help)


def where_of(given: Iterable[str] | None) -> dict[str, str]:
    """Return the filter that the options `--where` give. Raises CommandError."""
    where: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--where is {text!r}; give LABEL=VALUE, such as plan=pro.")
        if name in where:
            raise CommandError(f"--where gives the label {name!r} twice; no label set has two values of a label.")
        where[name] = value
    try:
        check_labels(where)
    except ValueError as error:
        raise CommandError(f"--where: {error}") from error
    return where
