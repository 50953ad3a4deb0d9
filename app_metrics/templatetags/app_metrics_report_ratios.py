"""Tags and filters of the report templates for ratios."""

from typing import NamedTuple

from django import template

from ..core import formatting
from ..core.comparisons import NOT_AVAILABLE
from ..ratios.changes import ratio_news, shown_division, shown_ratio, shown_ratio_change
from ..reports.ratio_lines import RatioLine
from .app_metrics_report import Picture, bars, names_of_bases

register = template.Library()


class Said(NamedTuple):
    """The change of a ratio against one base, and in a class and a word whether it is good news."""

    base: str
    change: str
    news: str
    word: str


@register.filter
def shown_ratio_of(line: RatioLine) -> str:
    return shown_ratio(line.ratio, line.quotient)


@register.filter
def division(line: RatioLine) -> str:
    return shown_division(line.ratio, line.quotient, line.metrics)


@register.filter
def ratio_changes(line: RatioLine) -> list[Said]:
    """Return the changes that are known, and that the ratio is new."""
    names, found = names_of_bases(line.period), []
    for name, change in line.comparisons.items():
        if change.verdict != NOT_AVAILABLE:
            news = ratio_news(change, line.metrics)
            found.append(Said(names[name], shown_ratio_change(change), news or "even", formatting.news_word(news)))
    return found


@register.simple_tag
def ratio_picture(line: RatioLine, pixels: int) -> Picture:
    return bars(line.picture, line.period, line.ratio.kind, pixels, line.ratio.unit)
