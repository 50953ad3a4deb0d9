"""Tags of the dashboard's templates for the percentiles of a timer or distribution, and for how its numbers spread."""

from collections.abc import Iterator, Mapping

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..core.formatting import ABSENT, shown
from ..core.numbers import Number
from ..core.summary import TIMER, whole_histogram
from ..dashboard.distribution import Cell, Spread
from ..dashboard.distribution_svg import column_title, draw_spread, row_title
from ..dashboard.overview import Row

register = template.Library()


def unknown_percentile() -> str:
    return pgettext("percentile", "n/a")


@register.simple_tag
def p95(row: Row, known: Mapping[str, Number | None]) -> str:
    """Return the 95th percentile of a row, that it is unknown, or "" if the metric has none."""
    metric = row.metric
    if metric.slug not in known:
        return ""
    number = known[metric.slug]
    text = unknown_percentile() if number is None else shown(number, metric.kind, metric.unit)
    return f"p95 {text}"


@register.simple_tag
def spread_picture(spread: Spread) -> SafeString:
    return draw_spread(spread)


@register.simple_tag
def spread_note(spread: Spread) -> str:
    """Return what the cells show, what the strongest shade stands for, and whether periods are left out."""
    chart = spread.chart
    if chart.metric.kind == TIMER:
        note = _("How many durations were how long, on a logarithmic scale. The strongest shade is %(number)s.")
    else:
        note = _("How many values were how large, on a logarithmic scale. The strongest shade is %(number)s.")
    note %= {"number": shown(spread.counts[spread.highest])}
    is_whole = chart.whole is not None and whole_histogram(chart.whole) is not None
    return note if is_whole else f"{note} " + _("Periods without percentiles are left out.")


@register.simple_tag
def spread_heads(spread: Spread) -> list[str]:
    """Return the bounds of the rows of the picture, which are columns of the table, the lowest first."""
    return [row_title(spread, row) for row in range(len(spread.rows))]


@register.simple_tag
def spread_rows(spread: Spread) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table: the name of a period, and how many numbers it has between each two bounds."""
    for column in range(len(spread.columns)):
        numbers = [spread.counts.get(Cell(column, row), 0) for row in range(len(spread.rows))]
        texts = [shown(each) for each in numbers] if spread.is_known(column) else [ABSENT] * len(numbers)
        yield column_title(spread, column), texts
