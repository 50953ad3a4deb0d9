"""The rows that hold summaries: items, which are not aggregated yet, and totals."""

from datetime import date, datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..core import calendar
from ..core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ..core.periods import Period
from ..core.summary import MAX_KIND_LENGTH
from ..core.validation import MAX_LABELS_LENGTH, MAX_SLUG_LENGTH
from .fields import ExactCharField, ExactDecimalField, ExactUUIDField, SketchField
from .natural_keys import NaturalKeyModel


def period_choices() -> list[tuple[Period, Any]]:
    """Return the periods and their names; a function, so that a new period needs no migration."""
    return [(period, period.display_name) for period in Period]


def number_field(**options: Any) -> ExactDecimalField:
    return ExactDecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **options)


class StoredSummary(models.Model):
    """Columns for the fields of a summary, its label set and its hour, counted from local midnight."""

    labels = ExactCharField(_("labels"), max_length=MAX_LABELS_LENGTH)
    hour = models.SmallIntegerField(_("hour"))
    count = models.BigIntegerField(_("count"))
    total = number_field(verbose_name=_("total"))
    minimum = number_field(verbose_name=_("minimum"))
    maximum = number_field(verbose_name=_("maximum"))
    last = number_field(verbose_name=pgettext_lazy("value", "last"))
    # Unix time in microseconds, so that SQL compares it without time zones.
    last_at = models.BigIntegerField(_("last recorded"))
    # Of timers and distributions; an item of a single number has none.
    histogram = SketchField(_("histogram"), null=True, editable=False)
    # Of unique counts, also of a single event.
    uniques = SketchField(_("unique counts"), null=True, editable=False)

    class Meta:
        abstract = True


class Item(StoredSummary):
    """A stored summary that is not aggregated yet.

    Requests wait for the insert, so there is no foreign key and no index except that of the id. The id is derived from
    the batch's id, so that a batch that is written twice is recognised.
    """

    id = ExactUUIDField(primary_key=True)
    slug = ExactCharField(_("slug"), max_length=MAX_SLUG_LENGTH)
    kind = models.CharField(_("kind"), max_length=MAX_KIND_LENGTH)
    day = models.DateField(_("day"))

    class Meta:
        verbose_name = _("pending item")
        verbose_name_plural = _("pending items")

    def __str__(self) -> str:
        return f"{self.slug} {self.labels} {self.day} {self.hour}h"


class Total(StoredSummary, NaturalKeyModel):
    """The summary of one metric and label set in one period; `hour` is 0 unless the period is an hour."""

    NATURAL_KEY = ("metric__slug", "period", "start", "hour", "labels")

    metric = models.ForeignKey(
        "app_metrics.Metric",
        verbose_name=_("metric"),
        on_delete=models.CASCADE,
        related_name="totals",
        db_index=False,  # the unique constraint begins with it
    )
    period = models.CharField(_("period"), max_length=10, choices=period_choices)
    start = models.DateField(_("start"))

    class Meta:
        verbose_name = _("total")
        verbose_name_plural = _("totals")
        constraints = (
            models.UniqueConstraint(
                fields=("metric", "period", "start", "hour", "labels"), name="app_metrics_total_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_period_display()} {self.start}"

    @property
    def starts_at(self) -> date | datetime:
        """The date on which the period begins, or the aware local time if it is an hour."""
        return calendar.starts_at(Period(self.period), self.start, self.hour)
