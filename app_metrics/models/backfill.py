"""The progress of backfills."""

from datetime import date, datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..core import calendar
from ..core.periods import HOUR
from .metrics import Metric
from .natural_keys import NaturalKeyModel

Hour = tuple[date, int]


class Backfill(NaturalKeyModel):
    """How far a metric's totals were filled in from a table: all hours before `until` are done.

    Filling stops before `end`, the hour after the first one in which something was counted live; `end` is empty until
    then. Days and hours are stored, because not every database distinguishes the two equal times when clocks go back.
    """

    NATURAL_KEY = ("metric__slug",)

    metric = models.OneToOneField(
        Metric, verbose_name=_("metric"), on_delete=models.CASCADE, related_name="backfill", primary_key=True
    )
    until_day = models.DateField(_("filled until"))
    until_hour = models.SmallIntegerField(_("hour"))
    end_day = models.DateField(_("to be filled until"), null=True)
    end_hour = models.SmallIntegerField(_("hour"), default=0)
    events = models.BigIntegerField(_("events added"), default=0)
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("backfill")
        verbose_name_plural = _("backfills")

    def __str__(self) -> str:
        return f"{self.metric_id} {self.until_day} {self.until_hour}h"

    @property
    def until(self) -> Hour:
        return self.until_day, self.until_hour

    @property
    def end(self) -> Hour | None:
        return None if self.end_day is None else (self.end_day, self.end_hour)

    @property
    def is_finished(self) -> bool:
        return self.end is not None and self.until >= self.end

    @property
    def filled_until(self) -> date | datetime:
        """The aware local time up to which history was filled."""
        return calendar.starts_at(HOUR, *self.until)


# dumpdata leaves out the primary keys of models with natural keys, but this primary key is the metric.
Backfill._meta.pk.serialize = True  # type: ignore[attr-defined]
