"""Charts and sparklines as inline SVG; the style sheet `dashboard.css` colours them by their classes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import groupby
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
from ..core.summary import COUNTER, UNIQUE
from .charts import MAXIMUM, MINIMUM, NOW, OTHER, OVERFLOW, PERCENTILE, PREVIOUS, VALUE, Chart, Column

# Lengths are in units of the drawing, which the page scales.
WIDTH, HEIGHT = 960, 340
TOP, RIGHT, BOTTOM = 8, WIDTH - 8, HEIGHT - 28
LINE_HEIGHT, PADDING = 18, 8
# The browser's font is unknown here: this is the width of a wide one.
CHARACTER_WIDTH = 8.2
SPARKLINE_WIDTH, SPARKLINE_HEIGHT = 100, 20
MAX_TIME_LABELS, MAX_STEPS = 7, 6
# A longer title is cut in the box beside a point.
MAX_TITLE_LENGTH = 60
# A chart with more points has no dots on its curves.
MAX_DOTTED_POINTS = 62
# These are drawn first, so that the other curves cover them.
BACKGROUND_ROLES = (PREVIOUS, MAXIMUM, MINIMUM)
# The last number of these may belong to a period that is not over.
RUNNING_ROLES = (NOW, PERCENTILE, VALUE, OTHER, OVERFLOW)


class Curve(NamedTuple):
    """The numbers of a column, or a part of them, and the CSS classes of the line that joins them."""

    css_class: str
    numbers: Sequence[Number | None]


class Scale(NamedTuple):
    """Maps points in time and numbers to coordinates of the drawing."""

    left: float
    step: float
    low: Decimal
    high: Decimal

    def x(self, index: int) -> float:
        return self.left + self.step * (index + 0.5)

    def y(self, number: Number) -> float:
        return TOP + (BOTTOM - TOP) * float((self.high - number) / (self.high - self.low))


def draw(chart: Chart) -> SafeString:
    """Return a chart as inline SVG without style and script, or an empty string if the chart is empty."""
    if chart.is_empty:
        return SafeString("")
    label = gettext("Chart of %(metric)s") % {"metric": one_line(chart.metric.name)}
    root = Element("svg", {"class": "chart", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "group", "aria-label": label})
    scale = _add_axes(root, chart)
    for curve in _curves(chart):
        _add_curve(root, scale, curve)
    if chart.marks:
        _add_marks(root, scale, chart)
    _add_dots(root, scale, chart)
    _add_slots(root, scale, chart)
    # The serializer escapes all texts and attributes.
    return SafeString(ElementTree.tostring(root, encoding="unicode"))


def sparkline(values: Sequence[Number | None], label: str) -> SafeString:
    """Return a small line over an area, in the colour of the text, or an empty string if there are no numbers.

    A style sheet may give it any size; the line keeps its width.
    """
    if not any(value is not None for value in values):
        return SafeString("")
    size = SPARKLINE_WIDTH, SPARKLINE_HEIGHT
    line, area = _sparkline_points(values)
    return format_html(
        '<svg class="app-metrics-sparkline" width="{}" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none"'
        ' role="img" aria-label="{}"><polygon points="{}" fill="currentColor" fill-opacity="0.15"/>'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"'
        ' vector-effect="non-scaling-stroke"/></svg>',
        *size, *size, label, area, line,
    )  # fmt: skip


def chart_title(chart: Chart, index: int) -> str:
    """Return the name of a period of a chart, and that its numbers are those so far if it is not over."""
    title = period_title(chart.selection.period, chart.starts[index])
    is_last = index == len(chart.starts) - 1
    return gettext("%(period)s, so far") % {"period": title} if chart.is_running and is_last else title


def curve_class(column: Column, columns: Iterable[Column]) -> str:
    """Return the CSS classes of a column's curve, dots and legend entry."""
    same_role = [each for each in columns if each.role == column.role]
    return f"{column.role} {column.role}-{same_role.index(column)}"


def _add_axes(root: Element, chart: Chart) -> Scale:
    """Draw both axes, and return the scale they stand for."""
    drawn = [*(number for column in chart.drawn for number in column.numbers), chart.projected]
    numbers = [Decimal(number) for number in drawn if number is not None]
    low, high = min([Decimal(0), *numbers]), max([Decimal(0), *numbers])
    if low == high:
        high = Decimal(1)
    are_whole = all(number == number.to_integral_value() for number in numbers)
    kind = "" if chart.metric.kind == UNIQUE else chart.metric.kind  # a tick is no estimate
    ticks = [(tick, shown(tick, kind, chart.metric.unit)) for tick in _ticks(low, high, are_whole)]
    left = max(len(text) for _, text in ticks) * CHARACTER_WIDTH + PADDING
    scale = Scale(left, (RIGHT - left) / max(1, len(chart.starts)), low, high)
    axis = SubElement(root, "g", {"class": "axis y"})
    for tick, text in ticks:
        y = scale.y(tick)
        _add(axis, "path", "line" if tick == 0 else "guide line", d=f"M{left:.1f} {y:.1f}H{RIGHT}")
        _add(axis, "text", text=text, x=left - PADDING, y=y + 4, text_anchor="end")
    axis = SubElement(root, "g", {"class": "axis x"})
    for index in labelled(chart.starts):
        x, text = scale.x(index), short_title(chart.selection.period, chart.starts[index])
        _add(axis, "path", "guide line", d=f"M{x:.1f} {TOP}V{BOTTOM}")
        half = len(text) * CHARACTER_WIDTH / 2
        _add(axis, "text", text=text, x=min(x, WIDTH - half), y=HEIGHT - PADDING, text_anchor="middle")
    return scale


def _ticks(low: Decimal, high: Decimal, are_whole: bool) -> list[Decimal]:
    """Return the round numbers to label on the axis, from the lowest to the highest value."""
    power = Decimal(1).scaleb(((high - low) / MAX_STEPS).adjusted())
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * MAX_STEPS >= high - low)
    if are_whole:
        step = max(step, Decimal(1))
    first = int((low / step).to_integral_value(ROUND_CEILING))
    last = int((high / step).to_integral_value(ROUND_FLOOR))
    return [step * number for number in range(first, last + 1)]


def labelled(starts: Sequence[object]) -> Iterable[int]:
    """Return the points to label on the time axis: evenly spaced, or the midnights of several days of hours."""
    every = -(-len(starts) // MAX_TIME_LABELS)
    midnights = [index for index, start in enumerate(starts) if isinstance(start, datetime) and not start.hour]
    if len(midnights) > 2:
        return midnights[:: -(-len(midnights) // MAX_TIME_LABELS)]
    if midnights:
        every = next(hours for hours in (1, 2, 3, 6, 12) if hours >= every)
    return range(0, len(starts), max(1, every))


def _curves(chart: Chart) -> Iterator[Curve]:
    """Yield the curves from back to front."""
    for column in sorted(chart.drawn, key=lambda column: column.role not in BACKGROUND_ROLES):
        css_class, numbers = curve_class(column, chart.columns), list(column.numbers)
        if column.role in RUNNING_ROLES and chart.is_running:
            if chart.projected is not None:
                yield Curve(f"{css_class} projected", [None] * (len(numbers) - 2) + [*numbers[-2:-1], chart.projected])
            if not _is_apart(chart):
                yield Curve(f"{css_class} running", [None] * (len(numbers) - 2) + numbers[-2:])
            numbers[-1] = None
        if column.role == NOW and chart.metric.kind == COUNTER:
            yield Curve(f"{css_class} area", numbers)
        yield Curve(css_class, numbers)


def _is_apart(chart: Chart) -> bool:
    """Return whether no line leads to the running period: a line to a part of a number would look like a fall."""
    return chart.is_running and chart.metric.kind in (COUNTER, UNIQUE) and chart.projected is None


def _add_curve(root: Element, scale: Scale, curve: Curve) -> None:
    """Draw a line, or an area down to zero, which stops where there is no number."""
    indexes = range(len(curve.numbers))
    runs = [list(run) for known, run in groupby(indexes, lambda index: curve.numbers[index] is not None) if known]
    lines = []
    for run in runs:
        points = [(scale.x(index), scale.y(curve.numbers[index] or 0)) for index in run]
        if curve.css_class.endswith("area"):
            points += [(points[-1][0], scale.y(0)), (points[0][0], scale.y(0))]
        lines.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points))
    group = SubElement(root, "g", {"class": f"curve {curve.css_class}"})
    _add(group, "path", "line", d="".join(lines))


def _add_dots(root: Element, scale: Scale, chart: Chart) -> None:
    """Mark the points of a short chart, and in a long one those without neighbours, which no line reaches."""
    for column in chart.drawn:
        numbers = [None, *column.numbers, None]
        apart = len(column.numbers) - 1 if _is_apart(chart) and column.role in RUNNING_ROLES else None
        for index, (before, number, after) in enumerate(zip(numbers, numbers[1:], numbers[2:], strict=False)):
            is_alone = index == apart or (before is None and after is None)
            if number is not None and (is_alone or len(column.numbers) <= MAX_DOTTED_POINTS):
                _add_dot(root, scale, chart, column, index, radius=3)
    if chart.projected is not None:
        x, y = scale.x(len(chart.starts) - 1), scale.y(chart.projected)
        _add(root, "circle", f"dot {NOW} projected", cx=x, cy=y, r=4)


def _add_dot(parent: Element, scale: Scale, chart: Chart, column: Column, index: int, radius: int) -> None:
    x, y = scale.x(index), scale.y(column.numbers[index] or 0)
    _add(parent, "circle", f"dot {curve_class(column, chart.columns)}", cx=x, cy=y, r=radius)


def _add_marks(root: Element, scale: Scale, chart: Chart) -> None:
    """Draw a line at each period with annotations, and above all lines a number wherever the one before leaves room."""
    lines, numbers = (SubElement(root, "g", {"class": "annotation"}) for _ in range(2))
    free = 0.0
    for mark in chart.marks:
        x, width = scale.x(mark.index), len(str(mark.number)) * CHARACTER_WIDTH + PADDING
        _add(lines, "path", "line", d=f"M{x:.1f} {TOP}V{BOTTOM}")
        if x >= free:
            left, free = min(x, WIDTH - width), x + width
            _add(numbers, "rect", "flag", x=left, y=TOP, width=width, height=LINE_HEIGHT)
            _add(numbers, "text", text=str(mark.number), x=left + width / 2, y=TOP + 13, text_anchor="middle")


def _mark_titles(chart: Chart) -> dict[int, list[str]]:
    return {mark.index: [Truncator(mark.title).chars(MAX_TITLE_LENGTH)] for mark in chart.marks}


def _add_slots(root: Element, scale: Scale, chart: Chart) -> None:
    """Add what pointer and keyboard reveal at each point in time: larger dots, and a box with the numbers."""
    slot, titles = None, _mark_titles(chart)
    for index in range(len(chart.starts)):
        columns = [column for column in chart.drawn if column.numbers[index] is not None]
        if not columns and index not in titles:
            continue
        x, lines = scale.x(index), [*_box_lines(chart, columns, index), *titles.get(index, ())]
        slot = SubElement(root, "g", {"class": "slot", "role": "img", "aria-label": "; ".join(lines)})
        _add(slot, "rect", "target", x=x - scale.step / 2, y=TOP, width=scale.step, height=BOTTOM - TOP)
        marks = SubElement(slot, "g", {"class": "marks"})
        for column in columns:
            _add_dot(marks, scale, chart, column, index, radius=5)
        _add_box(slot, lines, x)
    if slot is not None:
        # The chart is one stop of the Tab key; the script moves it along the points.
        slot.set("tabindex", "0")


def _box_lines(chart: Chart, columns: Iterable[Column], index: int) -> list[str]:
    period = chart.selection.period
    lines = [chart_title(chart, index)]
    for column in columns:
        title = period_title(period, chart.previous[index]) if column.role == PREVIOUS else one_line(column.title)
        number = shown(column.numbers[index], chart.metric.kind, chart.metric.unit, chart.has_cents)
        lines.append(f"{Truncator(title).chars(MAX_TITLE_LENGTH)}: {number}")
    if index == len(chart.starts) - 1 and chart.projected is not None:
        number = shown(chart.projected, chart.metric.kind, chart.metric.unit)
        lines.append(gettext("Projected: %(number)s") % {"number": number})
    return lines


def _add_box(slot: Element, lines: Sequence[str], x: float) -> None:
    box = SubElement(slot, "g", {"class": "box"})
    width = max(map(len, lines)) * CHARACTER_WIDTH + 2 * PADDING
    left = x + PADDING if x < WIDTH / 2 else x - PADDING - width
    left = max(0, min(left, WIDTH - width))
    _add(box, "rect", "frame", x=left, y=TOP, width=width, height=len(lines) * LINE_HEIGHT + PADDING)
    for number, line in enumerate(lines, start=1):
        css_class = "heading" if number == 1 else "number"
        _add(box, "text", css_class, line, x=left + PADDING, y=TOP + number * LINE_HEIGHT)


def _add(parent: Element, tag: str, css_class: str = "", text: str = "", **attributes: str | float) -> None:
    """Add an element; numbers among its attributes are rounded, and `text_anchor` stands for `text-anchor`."""
    element = SubElement(parent, tag, {"class": css_class} if css_class else {})
    element.text = text or None
    for name, value in attributes.items():
        element.set(name.replace("_", "-"), value if isinstance(value, str) else f"{value:.1f}")


def _sparkline_points(values: Sequence[Number | None]) -> tuple[str, str]:
    """Return the points of a line from edge to edge, and those of the area between the line and zero.

    Zero or a lower value is at the bottom.
    """
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    low, high = min(Decimal(0), *(value for _, value in known)), max(Decimal(0), *(value for _, value in known))
    span, step = float(high - low) or 1.0, (SPARKLINE_WIDTH - 2) / (len(values) - 1)

    def point(index: int, value: Number) -> str:
        return f"{1 + step * index:.1f},{SPARKLINE_HEIGHT - 1 - float(value - low) / span * (SPARKLINE_HEIGHT - 2):.1f}"

    line = [point(*each) for each in known]
    return " ".join(line), " ".join([*line, point(known[-1][0], 0), point(known[0][0], 0)])
