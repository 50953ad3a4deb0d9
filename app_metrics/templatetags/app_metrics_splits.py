"""Tags of the dashboard's templates that say how the values of a label relate to each other."""

from django import template
from django.utils.translation import gettext as _

from ..core.summary import UNIQUE
from ..dashboard.charts import OVERFLOW, Chart

register = template.Library()


@register.simple_tag
def overflow_note(chart: Chart) -> str:
    """Return what the overflow series of a chart may hold; an empty text without one."""
    if not any(column.role == OVERFLOW for column in chart.columns):
        return ""
    if chart.selection.where:
        return _("The labels of the series “overflow” are not known, so some of its events may match the filter.")
    return _("The labels of the series “overflow” are not known, so it is apart from the values.")


@register.simple_tag
def overlap_note(chart: Chart) -> str:
    """Return that the values of a unique count overlap; an empty text if they do not, or are not shown."""
    if chart.metric.kind != UNIQUE or not chart.selection.split:
        return ""
    return _("Whoever came under several values counts under each of them, so the values do not add up.")
