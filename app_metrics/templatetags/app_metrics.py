"""Numbers in the project's own templates, `{% load app_metrics %}`; each is cached for a minute."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.core.cache import cache
from django.utils.safestring import SafeString
from django.utils.translation import gettext

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

register = template.Library()

CACHE_SECONDS = 60
MOST_DAYS = 366


@register.simple_tag
def metric_total(slug: str, period: str = DAY) -> str:
    """Show a metric's number for the current "day", "week", "month" or "year", pending items included.

    It is a counter's total, a gauge's last value or a timer's mean, with the metric's unit, in the format of the active
    language. For an unknown metric it is 0, with one warning in the log. Raises ValueError for a bad slug or any
    other period.
    """
    if period not in WHOLE_DAYS:
        raise ValueError(f"metric_total does not support the period {period!r}; choose one of {', '.join(WHOLE_DAYS)}.")
    key = f"app_metrics:total:{check_slug(slug)}:{period}:{span(Period(period), today())[0]}"
    found: Any = cache.get_or_set(key, lambda: _total(slug, period), CACHE_SECONDS)
    number, kind, unit = found
    return shown(None if number is None else Decimal(number), kind, unit)


@register.simple_tag
def metric_sparkline(slug: str, days: int = 30) -> SafeString:
    """Draw a metric's latest days, today included, as inline SVG in the colour of the text, without script and style.

    Returns an empty text for an unknown metric. Raises ValueError for a bad slug, or for fewer than 2 or more than 366
    days.
    """
    if type(days) is not int or not 2 <= days <= MOST_DAYS:
        raise ValueError(f"metric_sparkline draws 2 to {MOST_DAYS} days, not {days!r}.")
    key = f"app_metrics:sparkline:{check_slug(slug)}:{days}:{today()}"
    found: Any = cache.get_or_set(key, lambda: _series(slug, days), CACHE_SECONDS)
    name, kind, unit, numbers = found
    values = [None if number is None else Decimal(number) for number in numbers]
    label = gettext("%(metric)s, last %(days)s days; today %(number)s") % {
        "metric": name,
        "days": days,
        "number": shown(values[-1], kind, unit) if values else "",
    }
    return sparkline(values, label)


def _metric(slug: str) -> Metric | None:
    try:
        metric: Metric = Metric.objects.get(slug=slug)
    except Metric.DoesNotExist:
        return None
    return metric


def _total(slug: str, period: str) -> tuple[str | None, str, str]:
    metric = _metric(slug)
    if metric is None:
        warn_once(f"There is no metric {slug!r} yet; {{% metric_total %}} shows 0.", source=slug)
        return "0", "", ""
    return _text(headline(metric.kind, metric.summary(period))), metric.kind, metric.unit


def _series(slug: str, days: int) -> tuple[str, str, str, list[str | None]]:
    metric = _metric(slug)
    if metric is None:
        return "", "", "", []
    last: date = today()
    points = metric.series(DAY, last - timedelta(days=days - 1), last)
    return metric.name, metric.kind, metric.unit, [_text(point_headline(metric.kind, point)) for point in points]


def _text(number: Number | None) -> str | None:
    return None if number is None else f"{number:f}"
