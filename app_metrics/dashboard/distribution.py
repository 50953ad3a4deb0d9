"""How the numbers of a timer or distribution spread: how many of each period of a chart lie between which bounds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ..core.histogram import SHIFT, SUBDIVISIONS
from .charts import Chart

# More cells would be too small to point at, and would make the page slow.
MOST_COLUMNS, MOST_ROWS = 62, 20
# Finer rows than an eighth of a doubling, which are 9 % wide, would show chance.
FEWEST_BUCKETS = SUBDIVISIONS // 8


class Row(NamedTuple):
    """The numbers of a sign, -1, 0 or 1, at a place on the logarithmic scale; rows have the order of their numbers."""

    sign: int
    place: int


class Cell(NamedTuple):
    column: int
    row: int


@dataclass(frozen=True)
class Spread:
    """How many numbers of a chart's periods lie in each row; empty cells are left out.

    A row holds the numbers of so many `buckets` of a histogram, the lowest row first, and a column the periods with
    these indexes, one or several.
    """

    chart: Chart
    buckets: int
    columns: Sequence[range]
    rows: Sequence[Row]
    counts: Mapping[Cell, int]

    @cached_property
    def highest(self) -> Cell:
        return max(sorted(self.counts), key=lambda cell: self.counts[cell])

    def bounds(self, row: int) -> tuple[float, float]:
        """Return the bounds of the numbers in a row, the lower first; both are 0 for zero."""
        sign, place = self.rows[row]
        near, far = (sign * 2.0 ** (edge * self.buckets / SUBDIVISIONS) for edge in (sign * place - 1, sign * place))
        return (near, far) if sign > 0 else (far, near)

    def is_known(self, column: int) -> bool:
        """Return whether the numbers of any period of a column are known."""
        return any(self.chart.histograms[index] is not None for index in self.columns[column])


def spread_of(chart: Chart) -> Spread | None:
    """Return how the numbers of a chart spread; None if no histogram of its periods is known."""
    step = max(1, -(-len(chart.histograms) // MOST_COLUMNS))
    indexes = range(len(chart.histograms))
    columns = [indexes[first : first + step] for first in indexes[::step]]
    found = [_added(chart, column) for column in columns]
    buckets, rows = _rows({bucket for counts in found for bucket in counts})
    return Spread(chart, buckets, columns, rows, _cells(found, buckets, rows)) if rows else None


def _added(chart: Chart, column: Iterable[int]) -> Counter[int]:
    added: Counter[int] = Counter()
    for index in column:
        histogram = chart.histograms[index]
        if histogram is not None:
            added.update(histogram.counts)
    return added


def _cells(found: Iterable[Mapping[int, int]], buckets: int, rows: Sequence[Row]) -> Counter[Cell]:
    cells: Counter[Cell] = Counter()
    number_of = {row: number for number, row in enumerate(rows)}
    for column, counts in enumerate(found):
        for bucket, count in counts.items():
            cells[Cell(column, number_of[_row_of(bucket, buckets)])] += count
    return cells


def _rows(used: set[int]) -> tuple[int, list[Row]]:
    """Return how many buckets a row holds, and all rows from the lowest to the highest bucket."""
    buckets = FEWEST_BUCKETS
    while len(rows := _rows_of(used, buckets)) > MOST_ROWS:
        buckets *= 2
    return buckets, rows


def _rows_of(used: Iterable[int], buckets: int) -> list[Row]:
    rows = {_row_of(bucket, buckets) for bucket in used}
    for sign in (-1, 1):
        places = [row.place for row in rows if row.sign == sign]
        if places:
            # Without gaps, so that the scale is logarithmic.
            rows.update(Row(sign, place) for place in range(min(places), max(places)))
    return sorted(rows)


def _row_of(bucket: int, buckets: int) -> Row:
    """Return the row of a bucket, whose upper bound is 2^((bucket - SHIFT) / SUBDIVISIONS)."""
    if not bucket:
        return Row(0, 0)
    sign = 1 if bucket > 0 else -1
    return Row(sign, sign * -(-(abs(bucket) - SHIFT) // buckets))
