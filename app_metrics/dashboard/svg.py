"""Charts as SVG: `pygal` (the extra `dashboard`) plots them, and a style sheet of ours gives them their looks."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext

from ..core.formatting import period_title, short_title, shown
from ..core.numbers import Number
from ..core.plain_text import one_line
from ..core.summary import COUNTER
from .charts import MAXIMUM, MINIMUM, NOW, OTHER, PREVIOUS, VALUE, Chart, Column

WIDTH, HEIGHT = 960, 340
FONT_SIZE = 13
# The width and height of a sparkline.
SPARKLINE = (100, 20)
# Labels on the axis of time.
MOST_LABELS = 7
# Where a label would run over the edge.
LATE = WIDTH * 0.9
# Characters of a line beside a point.
MOST_CHARACTERS = 60
# With no more points, each is marked by a dot.
MOST_DOTS = 62
# What is drawn first stands behind.
BEHIND = (PREVIOUS, MAXIMUM, MINIMUM)
# The box with the numbers of one point.
LINE_HEIGHT, CHARACTER_WIDTH, PADDING = 18, 8.2, 8


class Curve(NamedTuple):
    """What is plotted of a column: its numbers, and the class by which the style sheet knows it."""

    column: Column
    kind: str
    numbers: Sequence[Number | None]
    is_filled: bool = False


class Dot(NamedTuple):
    """Where a number of a column is plotted."""

    column: Column
    x: float
    y: float


def can_draw() -> bool:
    """Tell whether charts can be drawn here."""
    return find_spec("pygal") is not None


def draw(chart: Chart) -> SafeString:
    """Return a chart as an SVG to be put into a page, without style and script; nothing where nothing can be drawn."""
    if not can_draw() or chart.is_empty:
        return SafeString("")
    curves = list(_curves(chart))
    root = _plotted(chart, curves)
    plot = next(group for group in root.iter("g") if group.get("class") == "plot")
    slots = _slots(root, curves)
    _clean(root, curves)
    root.set("role", "group")
    root.set("aria-label", gettext("Chart of %(metric)s") % {"metric": one_line(chart.metric.name)})
    _add_dots(plot, chart, slots)
    _add_slots(plot, chart, slots)
    # One stop of the Tab key also without scripts.
    if stops := plot.findall("g[@class='slot']"):
        stops[-1].set("tabindex", "0")
    # Elements and their texts only: the serializer escapes them.
    return SafeString(ElementTree.tostring(root, encoding="unicode"))


def sparkline(values: Sequence[Number | None], label: str) -> SafeString:
    """Draw a line through numbers, in the colour of the text; nothing where there are none."""
    if not any(value is not None for value in values):
        return SafeString("")
    return format_html(
        '<svg class="app-metrics-sparkline" width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"/></svg>',
        *SPARKLINE, *SPARKLINE, label, _points(values),
    )  # fmt: skip


def _curves(chart: Chart) -> Iterator[Curve]:
    """Yield what is plotted, from back to front."""
    columns = [column for column in chart.columns if column.is_drawn]
    for column in sorted(columns, key=lambda column: column.role not in BEHIND):
        kind, numbers = curve_class(column, columns), list(column.numbers)
        if column.role in (NOW, VALUE, OTHER) and chart.is_running:
            # What still grows must not look like a fall.
            yield Curve(column, f"{kind} running", [None] * (len(numbers) - 2) + numbers[-2:])
            numbers[-1] = None
        if column.role == NOW and chart.metric.kind == COUNTER and None not in numbers[:-1]:
            yield Curve(column, f"{kind} area", numbers, is_filled=True)
        yield Curve(column, kind, numbers)


def _plotted(chart: Chart, curves: Sequence[Curve]) -> Element:
    """Return what pygal makes of the numbers; the label of each is its position in the range."""
    from pygal import Line
    from pygal.style import Style

    metric, period = chart.metric, chart.selection.period
    plot = Line(
        width=WIDTH, height=HEIGHT, margin=4, css=(), js=(), show_legend=False, include_x_axis=True, truncate_label=-1,
        missing_value_fill_truncation="either",
        style=Style(label_font_size=FONT_SIZE, major_label_font_size=FONT_SIZE),
        show_minor_x_labels=False, x_labels_major=[str(index) for index in _labelled(chart)], max_scale=6,
        value_formatter=lambda number: shown(number, metric.kind, metric.unit),
    )  # fmt: skip
    # pygal tells labels apart by their text, and "midnight" may come every day.
    plot.x_labels = [str(index) for index in range(len(chart.starts))]
    for curve in curves:
        numbers = [
            None if number is None else {"value": float(number), "label": str(index)}
            for index, number in enumerate(curve.numbers)
        ]
        plot.add("", numbers, fill=curve.is_filled, show_dots=not curve.is_filled)
    root = _without_namespaces(ElementTree.fromstring(plot.render(is_unicode=True)))  # noqa: S314 - not from outside
    for text in root.iterfind(".//g[@class='axis x']//text"):
        text.text = short_title(period, chart.starts[int(text.text or 0)])
        if float(text.get("x", 0)) > LATE:
            text.set("class", "late")
    return root


def _labelled(chart: Chart) -> Iterable[int]:
    """Return which points are named on the axis of time: evenly apart, and hours at midnight where there are days."""
    every = -(-len(chart.starts) // MOST_LABELS)
    midnights = [index for index, start in enumerate(chart.starts) if isinstance(start, datetime) and not start.hour]
    if len(midnights) > 2:
        return midnights[:: -(-len(midnights) // MOST_LABELS)]
    if midnights:
        every = next(hours for hours in (1, 2, 3, 6, 12) if hours >= every)
    return range(0, len(chart.starts), every)


def _without_namespaces(root: Element) -> Element:
    """Spell the elements as HTML does."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _slots(root: Element, curves: Sequence[Curve]) -> Mapping[int, Sequence[Dot]]:
    """Return the dots of each position in the range, from left to right; each column has one."""
    slots: dict[int, dict[str, Dot]] = defaultdict(dict)
    for number, curve in enumerate(curves):
        for group in _series(root, number):
            for dot in group.iterfind("g[@class='dots']"):
                index, circle = dot.find("desc[@class='label']"), dot.find("circle")
                if index is not None and circle is not None:
                    x, y = float(circle.get("cx", 0)), float(circle.get("cy", 0))
                    slots[int(index.text or 0)][curve.kind.partition(" running")[0]] = Dot(curve.column, x, y)
    return {index: list(dots.values()) for index, dots in sorted(slots.items())}


def _series(root: Element, number: int) -> Iterable[Element]:
    return (group for group in root.iter("g") if f"serie-{number}" in group.get("class", "").split())


def _clean(root: Element, curves: Sequence[Curve]) -> None:
    """Leave only the axes and lines, named by what they show."""
    for number, curve in enumerate(curves):
        for group in _series(root, number):
            group.set("class", f"curve {curve.kind}")
    for parent in list(root.iter()):
        for child in list(parent):
            kind = child.get("class", "").split()
            if child.tag in ("defs", "title", "desc") or "overlay" in " ".join(kind) or kind == ["titles"]:
                parent.remove(child)
        parent.attrib.pop("style", None)
        parent.attrib.pop("id", None)


def curve_class(column: Column, columns: Iterable[Column]) -> str:
    """Return the class by which the style sheet knows the curve of a column, and its entry in the legend."""
    values = [each for each in columns if each.role == column.role]
    return f"{column.role} {column.role}-{values.index(column)}"


def _add_dots(plot: Element, chart: Chart, slots: Mapping[int, Sequence[Dot]]) -> None:
    """Mark the points of a short chart, and those that no line leads to."""
    for index, dots in slots.items():
        for dot in dots:
            numbers = dot.column.numbers
            neighbours = [*numbers[max(0, index - 1) : index], *numbers[index + 1 : index + 2]]
            if len(numbers) <= MOST_DOTS or all(number is None for number in neighbours):
                _add_dot(plot, chart, dot, radius=3)


def _add_dot(parent: Element, chart: Chart, dot: Dot, radius: int) -> None:
    _add(parent, "circle", f"dot {curve_class(dot.column, chart.columns)}", cx=dot.x, cy=dot.y, r=radius)


def _add_slots(plot: Element, chart: Chart, slots: Mapping[int, Sequence[Dot]]) -> None:
    """Add, for each point in time, what the pointer finds there: marks on the curves and a box with the numbers."""
    area = plot.find("rect[@class='background']")
    width, height = (float(area.get(name, 0)) for name in ("width", "height")) if area is not None else (0.0, 0.0)
    step = width / max(1, len(chart.starts))
    for index, dots in slots.items():
        x, lines = dots[0].x, _lines(chart, index)
        slot = SubElement(plot, "g", {"class": "slot", "role": "img", "aria-label": "; ".join(lines)})
        _add(slot, "rect", "target", x=x - step / 2, y=0, width=step, height=height)
        marks = SubElement(slot, "g", {"class": "marks"})
        for dot in dots:
            _add_dot(marks, chart, dot, radius=5)
        _add_box(slot, lines, x, width)


def _lines(chart: Chart, index: int) -> list[str]:
    """Return what is said of one point in time."""
    period = chart.selection.period
    lines = [period_title(period, chart.starts[index])]
    for column in chart.columns:
        number = column.numbers[index]
        if column.is_drawn and number is not None:
            title = one_line(column.title)
            if column.role == PREVIOUS:
                title = period_title(period, chart.previous[index])
            title = Truncator(title).chars(MOST_CHARACTERS)
            lines.append(f"{title}: {shown(number, chart.metric.kind, chart.metric.unit)}")
    return lines


def _add_box(slot: Element, lines: Sequence[str], x: float, width: float) -> None:
    box = SubElement(slot, "g", {"class": "box"})
    wide = max(map(len, lines)) * CHARACTER_WIDTH + 2 * PADDING
    left = x + PADDING if x < width / 2 else x - PADDING - wide
    left = max(0, min(left, width - wide))
    _add(box, "rect", "frame", x=left, y=0, width=wide, height=len(lines) * LINE_HEIGHT + PADDING)
    for number, line in enumerate(lines, start=1):
        text = _add(box, "text", "heading" if number == 1 else "number", x=left + PADDING, y=number * LINE_HEIGHT)
        text.text = line


def _add(parent: Element, tag: str, kind: str, **numbers: float) -> Element:
    return SubElement(parent, tag, {"class": kind, **{name: f"{number:.1f}" for name, number in numbers.items()}})


def _points(values: Sequence[Number | None]) -> str:
    """Return the points of a line from the left edge to the right one, zero or the lowest value at the bottom."""
    known = [value for value in values if value is not None]
    low, high = min(*known, Decimal(0), Decimal(0)), max(*known, Decimal(0), Decimal(0))
    (width, height), span = SPARKLINE, float(high - low) or 1.0
    step = (width - 2) / (len(values) - 1)
    return " ".join(
        f"{1 + step * index:.1f},{height - 1 - float(value - low) / span * (height - 2):.1f}"
        for index, value in enumerate(values)
        if value is not None
    )
