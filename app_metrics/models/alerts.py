"""Milestones that were reached, and the state of alerts."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..core.validation import MAX_SLUG_LENGTH
from .fields import ExactCharField, ExactSlugField
from .natural_keys import NaturalKeyModel
from .totals import number_field

OK, FIRED = "ok", "fired"
STATE_NAMES = ((OK, pgettext_lazy("alert", "ok")), (FIRED, pgettext_lazy("alert", "fired")))


class HighWaterMark(NaturalKeyModel):
    """The highest all-time total seen of a metric with milestones; only milestones above it are announced.

    It refers to the metric by slug, because it may be created before the metric.
    """

    NATURAL_KEY = ("slug",)

    slug = ExactSlugField(_("slug"), max_length=MAX_SLUG_LENGTH, unique=True)
    total = number_field(verbose_name=_("total"))

    class Meta:
        verbose_name = _("high-water mark")
        verbose_name_plural = _("high-water marks")

    def __str__(self) -> str:
        return f"{self.slug} {self.total}"


class Milestone(NaturalKeyModel):
    """An all-time total that a metric reached, and whether the signal about it was sent."""

    NATURAL_KEY = ("slug", "value")

    slug = ExactSlugField(_("slug"), max_length=MAX_SLUG_LENGTH, db_index=False)
    value = number_field(verbose_name=_("milestone"))
    total = number_field(verbose_name=_("total"))
    reached_at = models.DateTimeField(_("reached at"))
    announced = models.BooleanField(_("announced"), default=False, db_index=True)

    class Meta:
        verbose_name = _("milestone")
        verbose_name_plural = _("milestones")
        ordering = ("-reached_at", "-pk")
        constraints = (models.UniqueConstraint(fields=("slug", "value"), name="app_metrics_milestone_unique"),)

    def __str__(self) -> str:
        return f"{self.slug} {self.value.normalize():f}"


class Alert(NaturalKeyModel):
    """The state of one rule of APP_METRICS_ALERTS, and the state that was last reported."""

    NATURAL_KEY = ("name",)

    name = ExactCharField(_("name"), max_length=200, unique=True)
    state = models.CharField(_("state"), max_length=5, choices=STATE_NAMES, default=OK)
    changed_at = models.DateTimeField(_("changed at"), null=True, blank=True)
    evaluated_at = models.DateTimeField(_("evaluated at"), null=True, blank=True)
    # What the last evaluation compared; `base` is empty if the rule has a fixed limit.
    value = number_field(verbose_name=_("value"), null=True, blank=True)
    base = number_field(verbose_name=pgettext_lazy("alert", "base"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    reported_state = models.CharField(_("last reported state"), max_length=5, choices=STATE_NAMES, default=OK)
    reported_at = models.DateTimeField(_("reported at"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ("name",)

    def __str__(self) -> str:
        return str(self.name)
