"""The spread of numbers over time as inline SVG; the style sheet `dashboard.css` shades its cells by their classes."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from django.utils.safestring import SafeString
from django.utils.translation import gettext

from ..core.formatting import short_title, shown
from .distribution import Cell, Spread
from .heat_map_svg import LEVELS
from .svg import CHARACTER_WIDTH, PADDING, WIDTH, chart_title, labelled

# Lengths are in units of the drawing, which the page scales.
TOP, ROW_HEIGHT, FOOT, GAP = 8, 18, 24, 1


class Frame(NamedTuple):
    """The place of the cells in a drawing."""

    left: float
    width: float
    bottom: float


def draw_spread(spread: Spread) -> SafeString:
    """Return a heat map as an image with a text that names the fullest cell; a table must hold the others."""
    said = _Texts(spread)
    labels = list(_bound_labels(spread))
    left = max(len(text) for text, _ in labels) * CHARACTER_WIDTH + PADDING
    frame = Frame(left, (WIDTH - left) / len(spread.columns), TOP + len(spread.rows) * ROW_HEIGHT)
    label = gettext("Distribution by time; most: %(most)s") % {"most": said.cell(spread.highest)}
    size = f"0 0 {WIDTH} {frame.bottom + FOOT}"
    root = Element("svg", {"viewBox": size, "role": "img", "aria-label": label})
    for text, y in labels:
        _add_text(root, text, left - PADDING, y + 4, "end")
    for text, x in _time_labels(spread, frame):
        _add_text(root, text, x, frame.bottom + FOOT - 6, "middle")
    for cell in sorted(spread.counts):
        _add_cell(root, spread, frame, cell, said.cell(cell))
    # The serializer escapes all texts and attributes.
    return SafeString(ElementTree.tostring(root, encoding="unicode"))


def column_title(spread: Spread, column: int) -> str:
    """Return the name of the period of a column, or of its first and its last one."""
    indexes = spread.columns[column]
    first, last = (chart_title(spread.chart, index) for index in (indexes[0], indexes[-1]))
    return first if first == last else gettext("%(first)s to %(last)s") % {"first": first, "last": last}


def row_title(spread: Spread, row: int) -> str:
    """Return the bounds of the numbers in a row."""
    lower, upper = (_shown(spread, bound) for bound in spread.bounds(row))
    return lower if lower == upper else gettext("%(first)s to %(last)s") % {"first": lower, "last": upper}


class _Texts:
    """The texts of cells; the titles of columns and rows are made once."""

    def __init__(self, spread: Spread) -> None:
        self._counts = spread.counts
        self._column = cache(lambda column: column_title(spread, column))
        self._row = cache(lambda row: row_title(spread, row))

    def cell(self, cell: Cell) -> str:
        return f"{self._column(cell.column)}; {self._row(cell.row)}: {shown(self._counts[cell])}"


def _shown(spread: Spread, bound: float) -> str:
    metric = spread.chart.metric
    return shown(bound, metric.kind, metric.unit)


def _bound_labels(spread: Spread) -> Iterator[tuple[str, float]]:
    """Yield the lower bound of every second row, and zero, with their places."""
    bottom = TOP + len(spread.rows) * ROW_HEIGHT
    for number, row in enumerate(spread.rows):
        lower, _ = spread.bounds(number)
        if not row.sign:
            yield _shown(spread, lower), bottom - (number + 0.5) * ROW_HEIGHT
        elif number % 2 == 0 and not (number and not spread.rows[number - 1].sign):
            yield _shown(spread, lower), bottom - number * ROW_HEIGHT


def _time_labels(spread: Spread, frame: Frame) -> Iterator[tuple[str, float]]:
    starts = [spread.chart.starts[indexes[0]] for indexes in spread.columns]
    for column in labelled(starts):
        text = short_title(spread.chart.selection.period, starts[column])
        half = len(text) * CHARACTER_WIDTH / 2
        yield text, min(frame.left + (column + 0.5) * frame.width, WIDTH - half)


def _add_text(root: Element, text: str, x: float, y: float, anchor: str) -> None:
    SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}).text = text


def _add_cell(root: Element, spread: Spread, frame: Frame, cell: Cell, said: str) -> None:
    level = -(-LEVELS * spread.counts[cell] // spread.counts[spread.highest])
    x, y = frame.left + cell.column * frame.width, frame.bottom - (cell.row + 1) * ROW_HEIGHT
    size = {"width": f"{frame.width - GAP:.1f}", "height": str(ROW_HEIGHT - GAP)}
    added = SubElement(root, "rect", {"class": f"level-{level}", "x": f"{x:.1f}", "y": f"{y:.1f}", **size})
    SubElement(added, "title").text = said
