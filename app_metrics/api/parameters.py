"""The query parameters of a request to the API, checked and converted."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar

from django.http import HttpRequest

from ..core.dates import check_year, read_moment
from ..core.setting_rules import suggest
from ..core.validation import check_labels

# What names of parameters begin with that hold the name of a label.
LABEL, WHERE = "label.", "where."
# Results of one page: the maximum, and the default for metrics and label sets.
MAX_RESULTS, DEFAULT_RESULTS = 1000, 100
# Characters of a search text: as many as the longest name has. SQLite refuses patterns of 50,000 characters.
MAX_TEXT = 200

# At most nine digits: enough for every page number, and within the integers of every database.
_NUMBER = re.compile("0*[1-9][0-9]{0,8}")

Day = TypeVar("Day", bound=date)


class Mistake(Exception):
    """A request that cannot be answered; `status` is the HTTP status of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Parameters:
    """The query parameters of a request, each given at most once. Raises Mistake for any error in them.

    `known` are the names that the request may use; with the `prefixes` "label." or "where.", a name of a label follows.
    """

    def __init__(self, request: HttpRequest, *known: str, prefixes: tuple[str, ...] = ()) -> None:
        for name, values in request.GET.lists():
            if name not in known and not name.startswith(prefixes):
                shown = [*known, *(f"{prefix}NAME" for prefix in prefixes)]
                raise Mistake(f"There is no parameter {name!r:.100}. {suggest(name[:100], shown)}")
            if len(values) > 1:
                raise Mistake(f"Give {name!r:.100} once; it is given {len(values)} times.")
            if "\0" in name + values[0]:
                raise Mistake(f"{name!r:.100} holds a NUL character; leave it out.")
        self._values = request.GET

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        """Return a text of at most 200 characters, "" if it is not given."""
        text = self._values.get(name, "")
        if len(text) > MAX_TEXT:
            raise Mistake(f"`{name}` has {len(text)} characters; give at most {MAX_TEXT}.")
        return text

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return one of `choices`, or the default if it is not given."""
        value = self._values.get(name, default)
        if value not in (*choices, default):
            raise Mistake(f"`{name}` is {value!r:.100}. {suggest(value[:100], choices)}")
        return value

    def number(self, name: str, default: int, largest: int | None = None) -> int:
        """Return a whole number from 1 to `largest`, or the default if it is not given."""
        text = self._values.get(name, str(default))
        if not _NUMBER.fullmatch(text) or (largest and int(text) > largest):
            wanted = f"from 1 to {largest}" if largest else "of at least 1"
            raise Mistake(f"`{name}` is {text!r:.100}; give a whole number {wanted}.")
        return int(text)

    def day(self, name: str) -> date | None:
        """Return a date, None if it is not given."""
        text = self._values.get(name)
        if text is None:
            return None
        try:
            day = date.fromisoformat(text)
        except ValueError as error:
            raise Mistake(f"`{name}` is {text!r:.100}; give a date such as 2026-11-23.") from error
        return _in_allowed_year(name, day)

    def moment(self, name: str) -> datetime | None:
        """Return a datetime, naive if it has no offset; None if it is not given."""
        text = self._values.get(name)
        if text is None:
            return None
        try:
            moment = read_moment(text)
        except ValueError:
            moment = None
        if moment is None or ":" not in text:
            raise Mistake(
                f"`{name}` is {text!r:.100}; give a time such as 2026-11-23T09:00. In an offset, write + as "
                "%2B: 2026-11-23T09:00%2B01:00."
            )
        return _in_allowed_year(name, moment)

    def labels(self, prefix: str = LABEL) -> dict[str, str] | None:
        """Return the labels that the parameters with a prefix give; None if there are none."""
        labels = {name.removeprefix(prefix): self._values[name] for name in self._values if name.startswith(prefix)}
        try:
            check_labels(labels)
        except ValueError as error:
            raise Mistake(str(error)) from error
        return labels or None


def _in_allowed_year(name: str, day: Day) -> Day:
    try:
        check_year(day, f"`{name}`")
    except ValueError as error:
        raise Mistake(str(error)) from error
    return day
