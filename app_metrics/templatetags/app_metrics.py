"""Numbers in the project's own templates, `{% load app_metrics %}`; each is cached for a minute."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext

from ..core.calendar import span, today
from ..core.dropped import warn_once
from ..core.formatting import shown
from ..core.numbers import Number
from ..core.periods import DAY, WHOLE_DAYS, Period
from ..core.summary import headline
from ..core.validation import check_slug
from ..dashboard.svg import sparkline
from ..models import Metric
from ..models.queries import point_headline
from ..ratios import Quotient, Ratio, UnknownRatio, get_ratio
from ..ratios.changes import shown_ratio
from ..ratios.declared import ratios
from ..transport.databases import described, savepoint

register = template.Library()

CACHE_SECONDS = 60
MOST_DAYS = 366
# The name, kind, unit and numbers of a metric that does not exist.
NOTHING: tuple[str, str, str, list[str | None]] = ("", "", "", [])


@register.simple_tag
def metric_total(slug: str, period: str = DAY) -> str:
    """Show a metric's number for the current "day", "week", "month" or "year", pending items included.

    It is a counter's total, a gauge's last value or a timer's mean, with the metric's unit, in the format of the active
    language. For an unknown metric it is 0, and if the database fails it is an empty text, with one warning in the log.
    Raises ValueError for a bad slug or any other period.
    """
    return _shown("metric_total", slug, period, 0, lambda metric: headline(metric.kind, metric.summary(period)))


@register.simple_tag
def metric_percentile(slug: str, percent: int | float = 95, period: str = DAY) -> str:
    """Show a percentile of a timer or distribution in the current period, as `metric_total` shows a number.

    It is a dash if it is unknown, or the metric is. Raises ValueError for a bad slug, period or percentage.
    """
    exact = Decimal(str(percent))
    return _shown(f"metric_percentile {exact}", slug, period, None, lambda metric: metric.percentile(period, exact))


@register.simple_tag
def metric_ratio(name: str, period: str = DAY) -> str:
    """Show a ratio of `APP_METRICS_RATIOS` for the current "day", "week", "month" or "year", pending items included.

    It is "n/a" if the denominator is zero. For an unknown ratio it is "n/a", and if the database fails it is an empty
    text, with one warning in the log. Raises ValueError for any other period.
    """
    _check_period("metric_ratio", period)
    try:
        ratio = get_ratio(name)
    except (UnknownRatio, ImproperlyConfigured) as error:
        warn_once(f"{{% metric_ratio %}} shows no number: {error}", source=name)
        return pgettext("change", "n/a")
    key = f"app_metrics:ratio:{name}:{period}:{span(Period(period), today())[0]}"
    found = _cached(key, lambda: _quotient(ratio, period), "metric_ratio")
    if found is None:
        return ""
    numerator, denominator = (None if number is None else Decimal(number) for number in found)
    return shown_ratio(ratio, Quotient(numerator, denominator, ratio.factor))


@register.simple_tag
def metric_sparkline(slug: str, days: int = 30) -> SafeString:
    """Draw the latest days of a metric or a ratio, today included, as inline SVG without script and style.

    It has the colour of the text, and is empty for an unknown metric, or if the database fails. Raises ValueError for a
    bad slug, or for fewer than 2 or more than 366 days.
    """
    if type(days) is not int or not 2 <= days <= MOST_DAYS:
        raise ValueError(f"metric_sparkline draws 2 to {MOST_DAYS} days, not {days!r}.")
    key = f"app_metrics:sparkline:{check_slug(slug)}:{days}:{today()}"
    name, kind, unit, numbers = _cached(key, lambda: _series(slug, days), "metric_sparkline") or NOTHING
    values = [None if number is None else Decimal(number) for number in numbers]
    label = gettext("%(metric)s, last %(days)s days; today %(number)s") % {
        "metric": name,
        "days": days,
        "number": shown(values[-1], kind, unit) if values else "",
    }
    return sparkline(values, label)


def _check_period(tag: str, period: str) -> None:
    if period not in WHOLE_DAYS:
        raise ValueError(f"{tag} does not support the period {period!r}; choose one of {', '.join(WHOLE_DAYS)}.")


def _cached(key: str, read: Callable[[], Any], tag: str) -> Any:
    """Return what was read in the last minute; None if the database fails, which must not break the project's page."""

    def read_apart() -> Any:
        # PostgreSQL would answer no further query in a transaction of ATOMIC_REQUESTS.
        with savepoint(Metric.objects.db):
            return read()

    try:
        return cache.get_or_set(key, read_apart, CACHE_SECONDS)
    except DatabaseError as error:
        warn_once(f"{{% {tag} %}} shows nothing: {described(error)}", source=tag)
        return None


def _metric(slug: str) -> Metric | None:
    try:
        metric: Metric = Metric.objects.get(slug=slug)
    except Metric.DoesNotExist:
        return None
    return metric


def _shown(tag: str, slug: str, period: str, default: int | None, read: Callable[[Metric], Number | None]) -> str:
    """Return a number of the current period of a metric with its unit; `default` is that of an unknown metric."""
    _check_period(tag, period)

    def found() -> tuple[str | None, str, str]:
        metric = _metric(slug)
        if metric is None:
            warn_once(f"There is no metric {slug!r} yet; {{% {tag} %}} shows {shown(default)}.", source=slug)
            return _text(default), "", ""
        return _text(read(metric)), metric.kind, metric.unit

    key = f"app_metrics:{tag.replace(' ', ':')}:{check_slug(slug)}:{period}:{span(Period(period), today())[0]}"
    cached = _cached(key, found, tag)
    if cached is None:
        return ""
    number, kind, unit = cached
    return shown(None if number is None else Decimal(number), kind, unit)


def _quotient(ratio: Ratio, period: str) -> tuple[str | None, ...]:
    numerator, denominator, _ = ratio.quotient(period)
    return _text(numerator), _text(denominator)


def _series(slug: str, days: int) -> tuple[str, str, str, list[str | None]]:
    metric, last = _metric(slug), today()
    first: date = last - timedelta(days=days - 1)
    if metric:
        numbers = [point_headline(metric.kind, point) for point in metric.series(DAY, first, last)]
        return metric.name, metric.kind, metric.unit, [_text(number) for number in numbers]
    if ratio := ratios().get(slug):
        values = [point.quotient.value for point in ratio.series(DAY, first, last)]
        return ratio.name, ratio.kind, ratio.unit, [_text(value) for value in values]
    return NOTHING


def _text(number: Number | None) -> str | None:
    return None if number is None else f"{number:f}"
