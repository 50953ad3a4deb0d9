"""The periods of a chart with the largest and the smallest number."""

from collections.abc import Iterator
from datetime import date, datetime
from functools import reduce
from typing import NamedTuple

from ..core.calendar import local_day, today
from ..core.numbers import Number, add
from ..core.summary import COUNTER, UNIQUE
from .charts import NOW, OTHER, OVERFLOW, VALUE, Chart

ZERO: Number = 0


class Extreme(NamedTuple):
    """A period by its start, and its number."""

    start: date | datetime
    number: Number


def extremes_of(chart: Chart) -> tuple[Extreme, Extreme] | None:
    """Return the periods with the largest and the smallest number of a counter or a unique count; of equal ones, the
    first.

    Periods that are not over do not take part, nor do those in which counting began or whose number is unknown. None if
    no two numbers differ.
    Gauges and timers have none: their chart has the lowest and the highest number of each period. The values of a label
    of a unique count have none, because they overlap.
    """
    found = list(_counted_throughout(chart))
    highest, lowest = max(found, key=_number, default=None), min(found, key=_number, default=None)
    if highest is None or lowest is None or highest.number == lowest.number:
        return None
    return highest, lowest


def _counted_throughout(chart: Chart) -> Iterator[Extreme]:
    are_comparable = chart.metric.kind == COUNTER or (chart.metric.kind == UNIQUE and not chart.selection.split)
    if not are_comparable or chart.since is None:
        return
    summed = (NOW, VALUE, OTHER, OVERFLOW)
    columns = [each.numbers for each in chart.columns if each.role in summed and not each.is_apart]
    for start, *numbers in zip(chart.starts, *columns, strict=True):
        day = local_day(start)
        known = [number for number in numbers if number is not None]
        if len(known) == len(numbers) and chart.since < day and chart.selection.period.next(day) <= today():
            yield Extreme(start, reduce(add, known, ZERO))


def _number(extreme: Extreme) -> Number:
    return extreme.number
