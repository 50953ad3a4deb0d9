"""Tags and filters of the report templates: numbers, changes, charts and tables."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from ..contrib.news import better_of, news
from ..core import formatting, plain_text
from ..core.comparisons import BEFORE, DOWN, NOT_AVAILABLE, UP, WEEK_BEFORE, YEAR_BEFORE, Comparison
from ..core.numbers import Number
from ..core.periods import Period
from ..core.summary import COUNTER, GAUGE, MEASURED, UNIQUE
from ..models import Annotation, Metric
from ..models.reports import SENT_PERIODS
from ..ratios.changes import shown_ratio, shown_ratio_change
from ..reports.content import PERCENT, Line, Report
from ..reports.points import ReportPoint
from ..reports.ratio_lines import RatioLine

register = template.Library()
register.filter(plain_text.one_line)
register.filter("change", formatting.shown_change)
register.filter(formatting.day_title)

SEPARATOR = " · "
# The latest annotations that a mail shows of a metric, and of all metrics.
MOST_ANNOTATIONS = 5
# The height in pixels of a chart without bars.
EMPTY_HEIGHT = 8


class Fact(NamedTuple):
    """A labelled text about a metric, besides its number and changes.

    A number may have a change; `news` is the class of its colour, and `word` says the same.
    """

    label: str
    value: str
    change: str = ""
    news: str = "even"
    word: str = ""

    @property
    def text(self) -> str:
        return f"{self.value}, {self.change}" if self.change else self.value


class Bar(NamedTuple):
    """The height of a bar in pixels above and below the zero line."""

    above: int
    below: int
    is_reported: bool


class Picture(NamedTuple):
    """A bar chart of a metric: pixels above and below the zero line, a text alternative, the first and last date."""

    bars: Sequence[Bar]
    above: int
    below: int
    text: str
    first: str
    last: str


class Table(NamedTuple):
    """A report in aligned columns: the heading, the texts of metrics and ratios, and whether they have sparklines."""

    head: str
    rows: Sequence[tuple[Line, str]]
    ratios: Sequence[tuple[RatioLine, str]]
    is_pictured: bool


@register.filter
def period_title(report: Report) -> str:
    """Return the name of the reported period."""
    return formatting.period_title(report.period, report.start)


@register.filter
def shown(number: Number | None, metric: Metric) -> str:
    """Format a number for the metric's kind and unit."""
    return formatting.shown(number, metric.kind, metric.unit)


@register.filter
def difference(comparison: Comparison, metric: Metric) -> str:
    """Format an absolute change for the metric's kind and unit."""
    return formatting.shown_difference(comparison, metric.kind, metric.unit)


@register.filter
def sparkline(points: Iterable[ReportPoint]) -> str:
    return plain_text.sparkline(point.value for point in points)


@register.filter
def indented(text: str, columns: int) -> str:
    """Wrap a text to the width of a mail, indented by `columns`, and by two more after the first line."""
    first, *further = plain_text.wrapped(" ".join(text.split("\n")).strip(" "), plain_text.TEXT_WIDTH - columns - 2)
    return "\n".join([" " * columns + first, *(" " * (columns + 2) + line for line in further)])


@register.filter
def changes(line: Line) -> list[tuple[str, Comparison]]:
    """Return the comparisons of a metric's number, each with the name of its base."""
    return [
        (names_of_bases(line.trend.period)[name], comparison) for name, comparison in line.trend.comparisons.items()
    ]


@register.filter
def news_class(comparison: Comparison, metric: Metric) -> str:
    """Return "up" for good news, "down" for bad news, otherwise "even"."""
    return news(comparison, metric) or "even"


@register.filter
def news_word(comparison: Comparison, metric: Metric) -> str:
    """Return in a word what the colour of a change says; "" if it says nothing."""
    return formatting.news_word(news(comparison, metric))


@register.filter
def headline_name(metric: Metric) -> str:
    """Return the name of a metric's main number; an empty text for a counter."""
    if metric.kind in MEASURED:
        return pgettext("number", "mean")
    return _("last value") if metric.kind == GAUGE else ""


@register.filter
def latest_annotations(report: Report) -> Sequence[Annotation]:
    return report.annotations[-MOST_ANNOTATIONS:]


@register.filter
def earlier_annotations(report: Report) -> int:
    """Return how many annotations are left out."""
    return max(0, len(report.annotations) - MOST_ANNOTATIONS)


@register.filter
def facts(line: Line) -> list[Fact]:
    """Return the facts about a metric besides its number and changes."""
    found = [
        *map(_annotated, line.annotations[-MOST_ANNOTATIONS:]),
        *_range(line),
        *_percentile(line),
        *_extremes(line),
    ]
    kind, unit = line.metric.kind, line.metric.unit
    with_cents = formatting.have_cents((share.number for share in line.shares), kind, unit)
    for label, shares in groupby(line.shares, key=lambda share: share.label):
        values = [
            plain_text.one_line(share.value)
            + formatting.NO_BREAK
            + formatting.shown(share.number, kind, unit, with_cents)
            for share in shares
        ]
        found.append(Fact(_label_title(line.metric, plain_text.one_line(label)), SEPARATOR.join(values)))
    return found


def _label_title(metric: Metric, label: str) -> str:
    """Return the name of a label; the values of a unique count overlap, so that they do not add up."""
    # Translators: after the name of a label: somebody may be counted under several of its values.
    return _("%(label)s (values overlap)") % {"label": label} if metric.kind == UNIQUE else label


@register.simple_tag
def picture(line: Line, pixels: int) -> Picture:
    """Return a bar chart of a metric's last periods, `pixels` high."""
    return bars(line.picture, line.trend.period, line.metric.kind, pixels)


def bars(points: Sequence[ReportPoint], period: Period, kind: str, pixels: int, unit: str = "") -> Picture:
    """Return a bar chart of points; the last one is that of the reported period."""
    heights = [height or 0 for height in formatting.heights((point.value for point in points), pixels)]
    highest, lowest = max(0, *heights), min(0, *heights)
    drawn = [Bar(max(0, height), max(0, -height), False) for height in heights]
    drawn[-1] = drawn[-1]._replace(is_reported=True)
    first, last = (formatting.short_title(period, points[index].start) for index in (0, -1))
    numbers = ", ".join(formatting.shown(point.value, kind, unit) for point in points)
    text = _("From %(first)s to %(last)s: %(numbers)s") % {"first": first, "last": last, "numbers": numbers}
    return Picture(drawn, highest or (0 if lowest else EMPTY_HEIGHT), -lowest, text, first, last)


@register.simple_tag
def table(report: Report) -> Table:
    """Lay out a report in columns, without sparklines if they do not fit."""
    pictured = _table(report, with_sparkline=True)
    texts = (text for _, lines in (*pictured.rows, *pictured.ratios) for text in lines.split("\n"))
    if all(plain_text.width(text) <= plain_text.TEXT_WIDTH for text in texts):
        return pictured
    return _table(report, with_sparkline=False)


def names_of_bases(period: Period) -> dict[str, str]:
    return {BEFORE: str(SENT_PERIODS[period].before), WEEK_BEFORE: _("week before"), YEAR_BEFORE: _("year before")}


def _table(report: Report, *, with_sparkline: bool) -> Table:
    rows = [*_head(report), *map(_cells, report.lines), *map(_ratio_cells, report.ratios)]
    texts = ["\n".join(lines) for lines in plain_text.aligned(rows if with_sparkline else [row[:-1] for row in rows])]
    deep = len(texts) - len(report.lines) - len(report.ratios)
    rest = deep + len(report.lines)
    of_metrics = list(zip(report.lines, texts[deep:rest], strict=True))
    of_ratios = list(zip(report.ratios, texts[rest:], strict=True))
    return Table("\n".join(texts[:deep]), of_metrics, of_ratios, with_sparkline)


def _head(report: Report) -> list[list[str]]:
    """Return the rows of a table's heading, with one word of each column's name per row."""
    names = [name.split() for name, each in changes(report.lines[0])] if report.lines else []
    deep = max(map(len, names), default=0)
    lowered = [[""] * (deep - len(name)) + name for name in names]
    return [["", "", *words, ""] for words in zip(*lowered, strict=True)]


def _cells(line: Line) -> list[str]:
    name = plain_text.one_line(line.metric.name)
    changed = map(formatting.shown_change, line.trend.comparisons.values())
    return [name, shown(line.number, line.metric), *changed, sparkline(line.picture)]


def _ratio_cells(line: RatioLine) -> list[str]:
    changed = map(shown_ratio_change, line.comparisons.values())
    return [line.ratio.name, shown_ratio(line.ratio, line.quotient), *changed, sparkline(line.picture)]


def _annotated(annotation: Annotation) -> Fact:
    said = {"day": formatting.day_title(annotation.moment), "text": plain_text.one_line(annotation.text)}
    return Fact(_("Annotation"), _("%(day)s: %(text)s") % said)


def _range(line: Line) -> list[Fact]:
    """Return the number of a gauge or timer with its minimum and maximum; nothing for counters and unique counts."""
    summary, metric = line.summary, line.metric
    if summary is None or metric.kind in (COUNTER, UNIQUE):
        return []
    label, said = _("Last value"), shown(line.number, metric)
    if metric.kind in MEASURED:
        counted = {"number": said, "count": formatting.shown(summary.count)}
        label = pgettext("number", "Mean")
        said = ngettext(
            "%(number)s from %(count)s measurement", "%(number)s from %(count)s measurements", summary.count
        ) % counted  # fmt: skip
    if summary.minimum == summary.maximum:
        return [Fact(label, said)]
    bounds = {"said": said, "low": shown(summary.minimum, metric), "high": shown(summary.maximum, metric)}
    # Translators: "17, between 3 and 40" or "380 ms from 12 measurements, between 12 ms and 1.4 s".
    return [Fact(label, _("%(said)s, between %(low)s and %(high)s") % bounds)]


def _percentile(line: Line) -> list[Fact]:
    """Return the 95th percentile with its change; nothing if it is the mean, as that of a single number is."""
    compared, summary, metric = line.percentile, line.summary, line.metric
    if compared is None or summary is None or summary.minimum == summary.maximum:
        return []
    change = "" if compared.verdict == NOT_AVAILABLE else formatting.shown_change(compared)
    said = shown(compared.current, metric)
    return [Fact(f"p{PERCENT}", said, change, news_class(compared, metric), news_word(compared, metric))]


def _extremes(line: Line) -> list[Fact]:
    """Return the best and the worst day; in a daily report, of the days in the chart."""
    highest, lowest = line.best, line.worst
    if highest is None or lowest is None:
        return []
    best, worst, better = _("Best day"), _("Worst day"), better_of(line.metric)
    if better == UP:
        return [_of_day(best, highest, line.metric), _of_day(worst, lowest, line.metric)]
    if better == DOWN:
        return [_of_day(best, lowest, line.metric), _of_day(worst, highest, line.metric)]
    return [_of_day(_("Highest"), highest, line.metric), _of_day(_("Lowest"), lowest, line.metric)]


def _of_day(name: str, point: ReportPoint, metric: Metric) -> Fact:
    said = {"day": formatting.day_title(point.start), "number": shown(point.value, metric)}
    return Fact(name, _("%(day)s: %(number)s") % said)
