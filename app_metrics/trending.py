"""How a metric changes: closed periods and the current ones so far, compared with earlier periods."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from .core.calendar import Moment, latest_closed, moment_of
from .core.comparisons import BEFORE, YEAR_BEFORE, Comparison, Plan, closed, running, week_of, whole
from .core.errors import MetricError
from .core.numbers import Number, check_percent
from .core.periods import DAY, MONTH, WEEK, WHOLE_DAYS, YEAR, Period, Piece
from .core.summary import UNIQUE, Summary, headline
from .models import Metric
from .models.queries import QuerySources, fold_together

# The groups of the classic dictionary, and the keys of each.
CLASSIC = {
    "yesterday": ("yesterday", "previous_week", "previous_month"),
    WEEK: ("week", "previous_week", "previous_month_week", "previous_year_week"),
    MONTH: ("month", "previous_month", "previous_month_year"),
    YEAR: ("year", "previous_year"),
}


class InvalidMetric(MetricError, TypeError):
    """`trending_for_metric()` was not given a Metric."""


@dataclass(frozen=True, slots=True)
class Trend:
    """One period of one metric, and its comparisons by "before", "week_before" and "year_before".

    `summary` covers all that was recorded in the period. If the period is not over, the comparisons cover only its full
    hours so far, and the same part of the earlier periods.
    """

    period: Period
    start: date
    summary: Summary | None
    comparisons: Mapping[str, Comparison]


@dataclass(frozen=True, slots=True)
class Trends:
    """The trends of one metric by period: of the latest closed period, and of the current one so far."""

    closed: Mapping[str, Trend]
    so_far: Mapping[str, Trend]


# Summaries by slug and name of a span.
Found = Mapping[tuple[str, Hashable], Summary]


def trends(
    metrics: Iterable[Metric],
    day: date | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    percent: int | Decimal | None = None,
) -> dict[str, Trends]:
    """Return the trends of metrics by slug, over all label sets or the one given; one query, or two for a
    label set.

    `day` counts as today (default: today in the metrics time zone); any other day counts as over. With `percent`, the
    comparisons are those of a percentile, which only timers and distributions have. Raises ValueError if it is not from
    0 to 100.
    """
    if percent is not None:
        check_percent(percent)
    metrics = list(metrics)
    moment = moment_of(day)
    over = {period: closed(period, latest_closed(period, moment.today)) for period in WHOLE_DAYS}
    so_far = {period: running(period, moment) for period in WHOLE_DAYS}
    spans = {**spans_of("over", over.values()), **spans_of("so far", so_far.values())}
    found = fold_together(QuerySources.of(metrics), spans, labels, sketches=percent is not None)
    return {
        metric.slug: Trends(
            {period: trend(metric, "over", plan, found, percent) for period, plan in over.items()},
            {period: trend(metric, "so far", plan, found, percent) for period, plan in so_far.items()},
        )
        for metric in metrics
    }


def trending_for_metric(
    metric: Metric, date: date | None = None
) -> dict[str, Number | dict[str, Number | None] | None]:
    """Return the classic dictionary of a metric's trends; `date` counts as today (default: today).

    `current_day` is a number. `yesterday` holds `yesterday`, `previous_week` (the same weekday a week before it) and
    `previous_month` (the same day of the month before, or that month's last); `week` holds `week`, `previous_week`,
    `previous_month_week` (four weeks before) and `previous_year_week` (the same ISO week); `month` holds `month`,
    `previous_month` and `previous_month_year`; `year` holds `year` and `previous_year`. The current week, month and
    year are compared with the same part of the earlier ones, in full hours. A number is a counter's total, a gauge's
    last value or a timer's mean in seconds; 0 if nothing was recorded, and None if a unique count is unknown, because
    its sketch is damaged.

    Raises InvalidMetric if `metric` is not a Metric.
    """
    if not isinstance(metric, Metric):
        raise InvalidMetric(f"trending_for_metric() takes a Metric, not {type(metric).__name__}.")
    spans = _classic_spans(moment_of(date))
    found = fold_together(QuerySources.of([metric]), spans)
    numbers = {name: _classic_number(metric, found.get((metric.slug, name))) for name in spans}
    return {
        "current_day": numbers["current_day"],
        **{group: {name: numbers[group, name] for name in names} for group, names in CLASSIC.items()},
    }


def _classic_number(metric: Metric, summary: Summary | None) -> Number | None:
    number = headline(metric.kind, summary)
    return None if summary and metric.kind == UNIQUE and number is None else number or 0


def spans_of(prefix: str, plans: Iterable[Plan]) -> dict[Hashable, list[Piece]]:
    """Return the spans that trends need, under the names by which `trend` finds them."""
    spans: dict[Hashable, list[Piece]] = {}
    for plan in plans:
        spans[prefix, plan.period, "whole"] = plan.whole
        spans[prefix, plan.period, "compared"] = plan.compared
        spans.update({(prefix, plan.period, name): pieces for name, (_, pieces) in plan.bases.items()})
    return spans


def trend(metric: Metric, prefix: str, plan: Plan, found: Found, percent: int | Decimal | None = None) -> Trend:
    """Return a metric's trend from the summaries found for the spans of a plan."""

    def summary(name: str) -> Summary | None:
        return found.get((metric.slug, (prefix, plan.period, name)))

    comparisons = {
        name: Comparison(metric.kind, start, summary("compared"), summary(name), percent)
        for name, (start, _) in plan.bases.items()
    }
    return Trend(plan.period, plan.start, summary("whole"), comparisons)


def _classic_spans(moment: Moment) -> dict[Hashable, list[Piece]]:
    yesterday = DAY.previous(moment.today)
    week_before, month_before = yesterday - timedelta(weeks=1), _month_before(yesterday)
    days = zip(CLASSIC["yesterday"], (yesterday, week_before, month_before), strict=True)
    spans: dict[Hashable, list[Piece]] = {("yesterday", name): whole(DAY, day) for name, day in days}
    spans["current_day"] = running(DAY, moment).whole
    for period in (WEEK, MONTH, YEAR):
        plan = running(period, moment)
        spans[period, period] = plan.whole
        spans[period, f"previous_{period}"] = plan.bases[BEFORE][1]
        if YEAR_BEFORE in plan.bases:
            spans[period, CLASSIC[period][-1]] = plan.bases[YEAR_BEFORE][1]
    spans[WEEK, "previous_month_week"] = week_of(moment, weeks_before=4)
    return spans


def _month_before(day: date) -> date:
    """Return the same day of the month before, or the last day of a shorter month."""
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=min(day.day, last.day))
