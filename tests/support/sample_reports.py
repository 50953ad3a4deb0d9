"""In-memory reports like those of `build_report`."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from app_metrics.core.comparisons import Comparison, comparable_starts
from app_metrics.core.periods import Period
from app_metrics.core.summary import Summary
from app_metrics.models import Metric, MetricSet
from app_metrics.models.reports import SENT_PERIODS
from app_metrics.reports.content import Line, Reached, Report, ReportPoint, Share
from app_metrics.trending import Trend
from tests.support.summaries import summary_of

DAY = date(2026, 11, 16)


def summary(total, count=1, minimum=None, maximum=None, last=None):
    """Return a summary; by default, as if a single number had been recorded."""
    named = {"count": count, "minimum": minimum, "maximum": maximum, "last": last}
    return summary_of(total)._replace(**{name: value for name, value in named.items() if value is not None})


def comparison(now, then=0, kind="counter", start=DAY):
    """Compare two numbers; None means nothing was recorded."""
    return Comparison(kind, start, *(None if number is None else summary(number) for number in (now, then)))


def line(name="Signups", now=123, thens=(100, 90, 0), *, kind="counter", unit="", period="day", start=DAY, **said):
    """Return a line of a report; `now` and `thens` are numbers, summaries or None."""
    period, metric = Period(period), Metric(name=name, slug="slug", kind=kind, unit=unit)
    found = [each if each is None or isinstance(each, Summary) else summary(each) for each in (now, *thens)]
    bases = comparable_starts(period, start).items()
    comparisons = {
        base: Comparison(kind, first, found[0], then)
        for (base, first), then in zip(bases, found[1:] if period == "day" else found[1:3], strict=True)
    }
    values = said.pop("values", [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7][: SENT_PERIODS[period].pictured])
    points = [ReportPoint(*pair) for pair in zip(period.latest(start, len(values)), values, strict=True)]
    extremes = said.pop("extremes", (ReportPoint(DAY - timedelta(days=4), 45), ReportPoint(DAY - timedelta(days=8), 3)))
    return Line(metric, Trend(period, start, found[0], comparisons), points, *extremes, said.pop("shares", ()), **said)


def report(*lines, name="Shop", period="day", start=DAY, milestones=(), annotations=()):
    end = Period(period).last_day(start)
    return Report(MetricSet(name=name), Period(period), start, end, list(lines), list(milestones), list(annotations))


def labelled(number, labels=8, values=5):
    """Return a line with the maximum number of label values."""
    shares = [
        Share(f"label-{label}", f"value-{value}", 100 - value) for label in range(labels) for value in range(values)
    ]
    return line(f"Metric {number}", shares=shares)


def milestone(name="Signups", value=10_000, total=10_021):
    return Reached(
        Metric(name=name, slug="slug"), Decimal(value), Decimal(total), datetime(2026, 11, 16, 13, tzinfo=UTC)
    )
