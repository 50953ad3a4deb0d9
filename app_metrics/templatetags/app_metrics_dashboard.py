"""Tags and filters of the dashboard's templates: numbers, changes and dates as text."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..contrib.news import better_of, news
from ..core import formatting
from ..core.calendar import aware, local_day
from ..core.comparisons import DOWN, UP, Comparison
from ..core.numbers import Number
from ..core.periods import DAY, HOUR
from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, MEASURED, TIMER, UNIQUE, Summary, headline, percentile
from ..dashboard.charts import BESIDE, COUNT, PERCENTILE, Chart, Column
from ..dashboard.extremes import extremes_of
from ..dashboard.heat_map import CLOCK_HOURS, HeatMap, Place
from ..dashboard.heat_map_svg import draw_heat_map
from ..dashboard.metric_facts import Facts
from ..dashboard.so_far import Cut
from ..dashboard.svg import chart_title, curve_class, sparkline
from ..models import KIND_NAMES, Annotation, Metric, OutgoingMail
from ..models.percentiles import SHOWN_PERCENTS
from .app_metrics_percentiles import unknown_percentile
from .app_metrics_uniques import shown_events

register = template.Library()
register.filter("change", formatting.shown_change)
register.filter("weekday", formatting.weekday_name)
register.filter("date_title", formatting.date_title)
register.filter("moment_title", formatting.moment_title, expects_localtime=True)


class Fact(NamedTuple):
    """A labelled number of a metric, and a note on it."""

    label: str
    value: str
    note: str = ""


@register.filter
def number(value: Number | None, metric: Metric, with_cents: bool = False) -> str:
    return formatting.shown(value, metric.kind, metric.unit, with_cents)


@register.filter
def so_far(metric: Metric) -> str:
    """Return what a metric's number of today is."""
    names = {COUNTER: _("Today so far"), UNIQUE: _("Today so far"), GAUGE: _("Last value today")}
    return names.get(metric.kind) or _("Mean of today so far")


@register.filter
def duration(seconds: float) -> str:
    return formatting.shown(seconds, TIMER)


@register.filter
def amount(value: Number) -> str:
    return formatting.shown(value)


@register.filter
def second_kind(metric: Metric) -> str:
    return str(dict(KIND_NAMES).get(metric.second_kind, metric.second_kind))


@register.filter
def reason(mail: OutgoingMail) -> str:
    """Return why a mail was not sent, in the reader's language; the database stores our own reasons in English."""
    return _(mail.error) if mail.error else ""


@register.simple_tag
def state(is_well: Any) -> SafeString:
    """Return a badge that says in words, not by colour alone, whether a part is fine."""
    name, word = ("well", _("Fine")) if is_well else ("ill", _("Needs attention"))
    return format_html('<span class="app-metrics-state {}">{}</span>', name, word)


@register.filter
def news_class(comparison: Comparison, metric: Metric) -> str:
    """Return "up" for good news, "down" for bad news, otherwise an empty text."""
    return news(comparison, metric)


@register.simple_tag
def picture(numbers: Sequence[Number | None], metric: Metric) -> SafeString:
    """Return a sparkline of the latest days."""
    latest = ", ".join(formatting.shown(each, metric.kind, metric.unit) for each in numbers[-7:])
    return sparkline(numbers, _("Last 30 days; the latest seven: %(numbers)s") % {"numbers": latest})


@register.simple_tag(takes_context=True)
def sorting(context: Any, name: str, title: str) -> SafeString:
    """Return a column's head with a link that sorts by it, or that reverses the order if it is sorted already."""
    current = context["sort"]
    is_sorted = current.removeprefix("-") == name
    # The first click sorts names upwards and numbers downwards.
    first = name if name == "name" else f"-{name}"
    wanted = (name if current.startswith("-") else f"-{name}") if is_sorted else first
    query = context["request"].GET.copy()
    query["sort"] = wanted
    query.pop("page", None)
    direction = "descending" if current.startswith("-") else "ascending"
    return format_html(
        '<th scope="col"{}><a href="?{}">{}</a></th>',
        format_html(' aria-sort="{}"', direction) if is_sorted else "",
        query.urlencode(),
        title,
    )


@register.simple_tag
def compared(comparison: Comparison, metric: Metric) -> str:
    """Return whether a change is good news, and the number that today's is compared with; "" if that is zero."""
    if not comparison.base:
        return ""
    before = _("before %(number)s") % {"number": formatting.shown(comparison.base, comparison.kind)}
    return ", ".join(filter(None, (formatting.news_word(news(comparison, metric)), before)))


@register.simple_tag
def compared_time(cut: Cut) -> str:
    """Return sentences on what today is compared with."""
    if not cut.hours:
        return _("Change: the comparison starts after the first full hour of the day.")
    with_what = _("Change: today so far compared with %(day)s up to the same time.")
    estimated = _("Of counters, the running hour of that day is estimated.")
    return f"{with_what % {'day': formatting.day_title(cut.day)}} {estimated}"


@register.simple_tag
def whole_periods(chart: Chart) -> str:
    """Return the dates that whole periods extend the chosen dates to; an empty text if both are the same."""
    chosen, (first, last) = chart.selection, chart.selection.span()
    if (first, last) == (chosen.first, chosen.last):
        return ""
    return _("Whole periods: %(dates)s.") % {"dates": formatting.dates(first, last)}


@register.simple_tag
def curve(column: Column, chart: Chart) -> str:
    return curve_class(column, chart.columns)


@register.simple_tag
def lines(chart: Chart) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table: the name of a period, and its numbers."""
    for index in range(len(chart.starts)):
        yield chart_title(chart, index), [_cell(chart, column, index) for column in chart.columns]


@register.filter
def note(chart: Chart, index: int) -> str:
    """Return what was annotated in the period of a row."""
    return next((mark.title for mark in chart.marks if mark.index == index), "")


@register.filter
def when(annotation: Annotation) -> str:
    return formatting.period_title(HOUR, annotation.moment)


@register.simple_tag
def heat_map_picture(heat: HeatMap) -> SafeString:
    return draw_heat_map(heat)


@register.simple_tag
def heat_map_note(heat: HeatMap) -> str:
    """Return what the cells of a heat map show, and which numbers their shades stand for."""
    notes = {
        COUNTER: _("The mean total of an hour in this range. The strongest shade is %(number)s."),
        GAUGE: _("The mean of all values in this range. The strongest shade is %(number)s."),
        DISTRIBUTION: _("The mean of all values in this range. The strongest shade is %(number)s."),
        TIMER: _("The mean of all durations in this range. The strongest shade is %(number)s."),
        UNIQUE: _("The mean number of different ones in an hour of this range. The strongest shade is %(number)s."),
    }
    return notes[heat.metric.kind] % {"number": number(heat.numbers[heat.highest], heat.metric)}


@register.simple_tag
def heat_map_rows(heat: HeatMap) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of a heat map's table: an hour of the clock, and its numbers by weekday."""
    cents = formatting.have_cents(heat.numbers.values(), heat.metric.kind, heat.metric.unit)
    for hour in CLOCK_HOURS:
        numbers = (heat.numbers.get(Place(weekday, hour)) for weekday in heat.weekdays)
        yield formatting.clock_hour(hour), [number(each, heat.metric, cents) for each in numbers]


@register.simple_tag
def facts(chart: Chart, known: Facts) -> list[Fact]:
    """Return the facts above the chart; with a filter, only those that follow from the chart."""
    metric, found = chart.metric, [_in_range(chart), *_percentiles(chart), *_compared(chart), *_extremes(chart)]
    if chart.selection.where:
        return found
    if known.whole:
        found.append(Fact(_("All time"), *_number_with_range(metric, known.whole)))
    if known.best:
        day, total = known.best
        names = {UP: _("Best day of all time"), DOWN: _("Worst day of all time")}
        name = names.get(better_of(metric), _("Highest day of all time"))
        found.append(Fact(name, number(total, metric), formatting.period_title(DAY, day)))
    for milestone in known.milestones:
        reached = _("detected %(date)s") % {"date": formatting.date_title(local_day(aware(milestone.reached_at)))}
        found.append(Fact(_("Milestone"), number(milestone.value, metric), reached))
    return found


def _in_range(chart: Chart) -> Fact:
    return Fact(_("In this range"), *_number_with_range(chart.metric, chart.whole, chart.has_cents))


def _percentiles(chart: Chart) -> list[Fact]:
    """Return the 95th percentile of the range with the others, or a reason why it is not known."""
    metric, whole, label = chart.metric, chart.whole, _("p95 in this range")
    if metric.kind not in MEASURED or whole is None:
        return []
    known = {percent: percentile(whole, percent) for percent in SHOWN_PERCENTS}
    if known[95] is None:
        return [Fact(label, unknown_percentile(), _unknown_reason(chart))]
    texts = {percent: number(known[percent], metric, chart.has_cents) for percent in SHOWN_PERCENTS}
    return [Fact(label, texts.pop(95), ", ".join(f"p{percent} {text}" for percent, text in texts.items()))]


def _unknown_reason(chart: Chart) -> str:
    """Return why a chart lacks percentiles of some numbers."""
    if not chart.histograms:
        return _("There are too many label sets for percentiles of this range: choose a shorter one or longer periods.")
    return _(
        "Some numbers were recorded before the upgrade that brought percentiles, or as another kind, or their "
        "histogram is damaged."
    )


def counted_since(chart: Chart) -> str:
    return _("counted since %(date)s") % {"date": formatting.date_title(chart.since)} if chart.since else ""


def _compared(chart: Chart) -> list[Fact]:
    comparison = chart.comparison
    if comparison is None:
        return []
    if chart.lacks_base(comparison):
        return [Fact(pgettext("column", "Change"), formatting.shown_change(comparison), counted_since(chart))]
    word = formatting.news_word(news(comparison, chart.metric))
    note = "; ".join(filter(None, (word, _now_and_before(comparison))))
    if chart.is_running:
        note = _("%(note)s; without the unfinished period") % {"note": note}
    return [Fact(pgettext("column", "Change"), formatting.shown_change(comparison), note)]


def _extremes(chart: Chart) -> list[Fact]:
    best, worst = _("Best in this range"), _("Worst in this range")
    names = {UP: (best, worst), DOWN: (worst, best)}
    highest_and_lowest = names.get(better_of(chart.metric), (_("Highest in this range"), _("Lowest in this range")))
    period = chart.selection.period
    return [
        Fact(name, number(each.number, chart.metric, chart.has_cents), formatting.period_title(period, each.start))
        for name, each in zip(highest_and_lowest, extremes_of(chart) or (), strict=False)
    ]


def _now_and_before(comparison: Comparison) -> str:
    numbers = (formatting.shown(each, comparison.kind) for each in (comparison.current, comparison.base))
    return _("%(now)s, before %(before)s") % dict(zip(("now", "before"), numbers, strict=True))


def _number_with_range(metric: Metric, summary: Summary | None, with_cents: bool = False) -> tuple[str, str]:
    """Return a summary's number, and a note: the range of gauges and timers, the events of unique counts."""
    value = number(headline(metric.kind, summary), metric, with_cents)
    if summary is None or metric.kind == COUNTER:
        return value, ""
    if metric.kind == UNIQUE:
        return value, shown_events(summary)
    ranged = {"low": number(summary.minimum, metric), "high": number(summary.maximum, metric)}
    between = _("between %(low)s and %(high)s") % ranged
    name = pgettext("number", "last") if metric.kind == GAUGE else pgettext("number", "mean")
    return value, f"{name}, {between}"


def _cell(chart: Chart, column: Column, index: int) -> str:
    value = column.numbers[index]
    if column.role in (PERCENTILE, BESIDE) and value is None and _has_events(chart, column, index):
        return unknown_percentile()
    return formatting.shown(value) if column.role == COUNT else number(value, chart.metric, chart.has_cents)


def _has_events(chart: Chart, column: Column, index: int) -> bool:
    """Return whether there is something of which a column has the percentiles."""
    if column.role == BESIDE:
        return chart.columns[chart.columns.index(column) - 1].numbers[index] is not None
    return any(each.role == COUNT and each.numbers[index] for each in chart.columns)
