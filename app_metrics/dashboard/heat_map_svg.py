"""A heat map as inline SVG; the style sheet `dashboard.css` shades its cells by their classes."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from django.utils.safestring import SafeString
from django.utils.translation import gettext

from ..core.formatting import clock_hour, shown, weekday_name
from .heat_map import CLOCK_HOURS, HeatMap, Place

# Lengths are in units of the drawing, which the page scales.
LEFT, CELL_WIDTH, CELL_HEIGHT, GAP, FOOT = 110, 36, 26, 2, 22
# Classes from level-0, nothing, to this one.
LEVELS = 5
# Every so many hours one is labelled.
LABELLED_HOURS = 3


def draw_heat_map(heat: HeatMap) -> SafeString:
    """Return a heat map as an image with a text that names its highest number; a table must hold the others."""
    width, height = LEFT + len(CLOCK_HOURS) * CELL_WIDTH, len(heat.weekdays) * CELL_HEIGHT + FOOT
    label = gettext("By weekday and hour; highest: %(highest)s") % {"highest": _said(heat, heat.highest)}
    root = Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label})
    for text, x, y, anchor in _labels(heat, height):
        SubElement(root, "text", {"x": str(x), "y": str(y), "text-anchor": anchor}).text = text
    low, high = min(0, *heat.numbers.values()), max(0, *heat.numbers.values())
    for place, number in heat.numbers.items():
        # The scale includes zero.
        level = LEVELS * Decimal(number - low) / Decimal(high - low)
        _add_cell(root, heat, place, int(level.to_integral_value(ROUND_CEILING)))
    # The serializer escapes all texts and attributes.
    return SafeString(ElementTree.tostring(root, encoding="unicode"))


def _labels(heat: HeatMap, height: int) -> Iterator[tuple[str, int, int, str]]:
    """Yield the text of each label with its place."""
    for row, weekday in enumerate(heat.weekdays):
        yield weekday_name(weekday), LEFT - 8, row * CELL_HEIGHT + 18, "end"
    for hour in CLOCK_HOURS[::LABELLED_HOURS]:
        yield clock_hour(hour), LEFT + hour * CELL_WIDTH, height - 6, "start"


def _add_cell(root: Element, heat: HeatMap, place: Place, level: int) -> None:
    size = {"width": str(CELL_WIDTH - GAP), "height": str(CELL_HEIGHT - GAP), "rx": "3"}
    row = heat.weekdays.index(place.weekday)
    at = {"x": str(LEFT + place.hour * CELL_WIDTH), "y": str(row * CELL_HEIGHT)}
    cell = SubElement(root, "rect", {"class": f"level-{level}", **at, **size})
    SubElement(cell, "title").text = _said(heat, place)


def _said(heat: HeatMap, place: Place) -> str:
    number = shown(heat.numbers[place], heat.metric.kind, heat.metric.unit)
    return f"{weekday_name(place.weekday)}, {clock_hour(place.hour)}: {number}"
