"""Tags and filters for ratios in the dashboard's templates."""

from collections.abc import Iterator

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..core import formatting
from ..core.numbers import Number
from ..core.periods import HOUR
from ..dashboard.charts import PART
from ..dashboard.ratio_charts import RatioChart
from ..dashboard.ratio_rows import RatioRow
from ..dashboard.svg import chart_title
from ..ratios.changes import (
    RatioChange,
    operand_title,
    ratio_news,
    shown_division,
    shown_operand,
    shown_ratio,
    shown_ratio_change,
)
from ..ratios.declared import Ratio
from ..ratios.quotients import Quotient
from .app_metrics_dashboard import Fact, counted_since

register = template.Library()
register.filter("ratio_change", shown_ratio_change)


@register.filter
def of_ratio(quotient: Quotient, ratio: Ratio) -> str:
    return shown_ratio(ratio, quotient)


@register.filter
def division(row: RatioRow) -> str:
    """Return today's two numbers, such as "24 ÷ 1,200"."""
    return shown_division(row.ratio, row.today, row.metrics)


@register.filter
def divided(row: RatioRow) -> str:
    """Return what is divided, such as "checkouts ÷ visits"."""
    return f"{operand_title(row.ratio.of, row.metrics)} ÷ {operand_title(row.ratio.to, row.metrics)}"


@register.filter
def ratio_news_class(row: RatioRow) -> str:
    """Return "up" for good news, "down" for bad news, otherwise an empty text."""
    return ratio_news(row.comparison, row.metrics)


@register.filter
def ratio_before(row: RatioRow) -> str:
    """Return whether a change is good news, and the ratio that today's is compared with, or why there is none."""
    change = row.comparison
    if change.base is None:
        # Translators: why there is no change of a ratio up to the same time of the day.
        return _("It covers whole days, so it is not compared up to the same time.") if row.ratio.days else ""
    before = _("before %(number)s") % {"number": shown_ratio(row.ratio, change.then)}
    return ", ".join(filter(None, (formatting.news_word(ratio_news(change, row.metrics)), before)))


@register.simple_tag
def ratio_facts(chart: RatioChart) -> list[Fact]:
    """Return the facts above the chart."""
    divided = shown_division(chart.ratio, chart.total, chart.metrics)
    has_days = chart.ratio.of.days and chart.ratio.to.days
    label = _("At the end of this range") if has_days else _("In this range")
    found = [Fact(label, shown_ratio(chart.ratio, chart.total), divided)]
    if change := chart.change:
        found.append(Fact(pgettext("column", "Change"), shown_ratio_change(change), _compared(chart, change)))
    return found


@register.simple_tag
def ratio_lines(chart: RatioChart) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table: the name of a period, the ratio, its two numbers, and the ratio before."""
    value, numerator, denominator, previous = (column.numbers for column in chart.columns)
    for index in range(len(chart.starts)):
        yield (
            chart_title(chart, index),
            [
                _ratio_cell(chart, value[index]),
                shown_operand(chart.ratio.of, numerator[index], chart.metrics),
                shown_operand(chart.ratio.to, denominator[index], chart.metrics),
                _ratio_cell(chart, previous[index]),
            ],
        )


@register.simple_tag
def why_empty(chart: RatioChart) -> str:
    """Return why a chart has no ratio."""
    if chart.ratio.days and chart.selection.period == HOUR:
        return _("There is no ratio of an hour, because it covers whole days.")
    if any(number is None for column in chart.columns if column.role == PART for number in column.numbers):
        return _("There is no ratio in this range, because one of its two numbers is unknown.")
    return _("There is no ratio in this range, because the denominator is zero.")


@register.simple_tag
def operand_links(chart: RatioChart) -> list[tuple[str, str, str]]:
    """Return a label, the metric's name and its slug of the numerator and of the denominator; "" if there is none."""
    operands = ((_("Numerator"), chart.ratio.of), (_("Denominator"), chart.ratio.to))
    return [
        (label, operand_title(each, chart.metrics), each.slug if each.slug in chart.metrics else "")
        for label, each in operands
    ]


def _compared(chart: RatioChart, change: RatioChange) -> str:
    """Return whether a change is good news, both ratios, and whether a period is left out, or why there is none."""
    if change.base is None:
        return counted_since(chart) if chart.lacks_base(change) else ""
    ratios = {"now": shown_ratio(chart.ratio, change.now), "before": shown_ratio(chart.ratio, change.then)}
    note = _("%(now)s, before %(before)s") % ratios
    word = formatting.news_word(ratio_news(change, chart.metrics))
    note = ", ".join(filter(None, (word, note)))
    return _("%(note)s; without the unfinished period") % {"note": note} if chart.is_running else note


def _ratio_cell(chart: RatioChart, value: Number | None) -> str:
    if value is None:
        return formatting.ABSENT
    return formatting.shown(value, chart.ratio.kind, chart.ratio.unit, chart.has_cents)
