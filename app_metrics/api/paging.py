"""The pages of a list, and the dates of a series."""

from datetime import date
from typing import Any, NamedTuple

from django.http import HttpRequest

from ..core.calendar import start_of, today
from ..core.periods import HOUR, Period
from .parameters import DEFAULT_RESULTS, MAX_RESULTS, Mistake, Parameters

# A page of hours consists of whole dates, which have up to 25 of them.
HOURLY_DATES = MAX_RESULTS // 25
# A page of a series that is split has a tenth of the points, because each group has all of them.
SPLIT_SHARE = 10
HOURS = 24
# A page may read twice as many totals as it does by default, so that the links to further pages stay good while label
# sets are added.
SPARE = 2

Answer = dict[str, Any]


class Page(NamedTuple):
    """The results from `first` up to `end`, and the links to the pages beside them."""

    first: int
    end: int
    links: Answer


class Load(NamedTuple):
    """How many label sets each point of a series is read from, and how many totals a page may read by default."""

    label_sets: int
    most: int


def page_of(
    request: HttpRequest, parameters: Parameters, count: int, size: int | None = None, *, is_named: bool = False
) -> Page:
    """Return the requested page; without a `size`, the request may choose that. If it `is_named`, links repeat it."""
    size = size or parameters.number("per_page", DEFAULT_RESULTS, MAX_RESULTS)
    number = parameters.number("page", 1)
    pages = max(1, -(-count // size))
    if number > pages:
        raise Mistake(f"There is no page {number}; the last one is {pages}.", 404)
    named = {"per_page": size} if is_named else {}
    links = {
        "next": _link(request, page=number + 1, **named) if number < pages else None,
        "previous": _link(request, page=number - 1, **named) if number > 1 else None,
    }
    return Page((number - 1) * size, min(number * size, count), links)


def page_of_series(
    request: HttpRequest,
    parameters: Parameters,
    period: Period,
    start: date,
    end: date,
    load: Load,
    *,
    is_split: bool = False,
) -> Page:
    """Return the requested page of the periods between two dates; for HOUR, of these dates.

    It has fewer of them the more label sets they are read from.
    """
    count = period.steps(start_of(period, start), start_of(period, end)) + 1
    most = HOURLY_DATES if period == HOUR else MAX_RESULTS
    most = most // SPLIT_SHARE if is_split else most
    fitting = max(1, load.most // (load.label_sets * (HOURS if period == HOUR else 1)))
    size = parameters.number("per_page", min(most, fitting), min(most, SPARE * fitting))
    return page_of(request, parameters, count, size, is_named=fitting < most)


def _link(request: HttpRequest, **changed: int) -> str:
    query = request.GET.copy()
    for name, number in changed.items():
        query[name] = str(number)
    return request.build_absolute_uri(f"?{query.urlencode()}")


def range_of(parameters: Parameters, period: Period) -> tuple[date, date]:
    """Return the first and the last requested date; by default a recent range up to today."""
    start, end = parameters.day("start"), parameters.day("end")
    if end is None:
        end = max(today(), start or today())
    if start is None:
        start = period.shift(start_of(period, end), 1 - period.recent)
    if start > end:
        raise Mistake(f"`start` is {start}, which is after `end`, {end}; swap them.")
    return start, end
