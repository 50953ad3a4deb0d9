"""Tags of the dashboard's templates for unique counts."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..core.formatting import shown
from ..core.numbers import ROUNDING
from ..core.summary import UNIQUE, Summary
from ..dashboard.overview import Picture, Row
from ..dashboard.so_far import Cut

register = template.Library()


def shown_events(summary: Summary) -> str:
    """Return how many events a summary has."""
    return ngettext("%(number)s event", "%(number)s events", summary.count) % {"number": shown(summary.count)}


@register.simple_tag
def of_week_and_month(row: Row) -> str:
    """Return the numbers of this week and this month of a unique count, which are no sums of days; else ""."""
    if row.metric.kind != UNIQUE:
        return ""
    week, month = (shown(number, UNIQUE, row.metric.unit) for number in (row.week, row.month))
    return _("This week: %(week)s, this month: %(month)s") % {"week": week, "month": month}


@register.simple_tag
def sticky(row: Row, known: Mapping[str, tuple[int, int]]) -> str:
    """Return the stickiness of a row with the numbers that it divides; "" if it has none."""
    if row.metric.slug not in known:
        return ""
    day, month = known[row.metric.slug]
    texts = {
        "percent": shown(ROUNDING.divide(Decimal(100 * day), Decimal(month)), unit="%"),
        "division": f"{shown(day, UNIQUE)} ÷ {shown(month, UNIQUE)}",
    }
    # Translators: of those who came in a month, the share that comes on a day (DAU ÷ MAU).
    return _("Stickiness: %(percent)s (yesterday ÷ last 30 days: %(division)s)") % texts


@register.simple_tag
def uniquely_compared(cut: Cut, rows: Iterable[tuple[Row, Picture]]) -> str:
    """Return how today's unique counts are compared; "" if there are none, or nothing is compared yet."""
    has_any = any(row.metric.kind == UNIQUE for row, picture in rows)
    return _("Of unique counts, only full hours are compared.") if has_any and cut.hours else ""
