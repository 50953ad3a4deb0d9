"""Read the dates and times that users write, and check their years."""

import re
from datetime import date, datetime

from ..conf import years

# Python reads any character between a date and a time, so 1790120511230 would be 12:30 on 5 December 1790.
_NUMBER = re.compile(r"\d{9}")


def read_day(text: str) -> date:
    """Return the date in a text such as 2026-11-23. Raises ValueError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.100} is not a date; give one such as 2026-11-23.") from error


def read_moment(text: str) -> datetime:
    """Return the time in a text such as 2026-11-23T09:00; it is naive without an offset. Raises ValueError."""
    if _NUMBER.match(text):
        raise ValueError(
            f"{text!r:.100} is a number; give a time in ISO format, such as 2026-11-23T09:00, not seconds or "
            "milliseconds since 1970."
        )
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.100} is not a time; give one such as 2026-11-23T09:00.") from error


def check_year(day: date, subject: str) -> None:
    """Raise ValueError, about a date or time called `subject`, if APP_METRICS_YEARS does not include its year."""
    first, last = years()
    if not first <= day.year <= last:
        raise ValueError(f"{subject} is in the year {day.year}; APP_METRICS_YEARS allows {first} to {last}.")
