"""Annotations: what happened at a moment, such as a release, shown beside the numbers it may explain."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import time_zone
from ..core.calendar import as_stored, aware, locate, starts_at
from ..core.dates import check_year
from ..core.periods import Period, midnight
from ..setting_values import is_web_address
from .fields import ExactCharField
from .metrics import Metric
from .natural_keys import NaturalKeyManager, NaturalKeyModel

MAX_TEXT_LENGTH, MAX_URL_LENGTH = 200, 500
# A reading takes the latest ones of its range, at most this many.
MOST_READ = 1000


def validate_web_address(text: str) -> None:
    """Raise ValidationError unless a text is an address that a browser opens as a page.

    Django's own validator refuses hosts without a dot, as an intranet has them.
    """
    if not is_web_address(text) or not text.isprintable():
        raise ValidationError(_("Enter an address that begins with http:// or https://."), code="invalid")


def validate_year(at: datetime) -> None:
    """Raise ValidationError if APP_METRICS_YEARS does not include the year of a time."""
    try:
        check_year(at, "It")
    except ValueError as error:
        raise ValidationError(str(error), code="invalid") from error


def new_key() -> str:
    return uuid4().hex


def release_key(release: str) -> str:
    """Return the key of a release, which differs from every `new_key()`."""
    return f"release:{release}"


class AnnotationQuerySet(models.QuerySet[Any]):
    def within(self, first: date, last: date) -> "AnnotationQuerySet":
        """Return the annotations on the dates from `first` to `last`, both included, in the metrics time zone."""
        begin, end = (as_stored(midnight(day, time_zone())) for day in (first, last + timedelta(days=1)))
        return self.filter(at__gte=begin, at__lt=end)

    def latest_of(self, metrics: Any) -> list["Annotation"]:
        """Return the latest annotations of some metrics, and those of all metrics, oldest first."""
        about = self.filter(models.Q(metric=None) | models.Q(metric__in=metrics))
        return list(about.order_by("-at", "-pk")[:MOST_READ])[::-1]


class Annotation(NaturalKeyModel):
    """Something that happened at a moment; without a metric, it is shown with all of them."""

    NATURAL_KEY = ("key",)

    # That of a release follows from its name, so that many processes annotate it once.
    key = ExactCharField(_("key"), max_length=120, unique=True, default=new_key, editable=False)
    text = models.CharField(
        _("text"), max_length=MAX_TEXT_LENGTH, help_text=_("What happened, in a few words: “Release 4.2”.")
    )
    at = models.DateTimeField(_("happened at"), default=timezone.now, db_index=True, validators=[validate_year])
    url = models.CharField(
        _("address"),
        max_length=MAX_URL_LENGTH,
        blank=True,
        validators=[validate_web_address],
        help_text=_("A page about it. It begins with http:// or https://."),
    )
    metric = models.ForeignKey(
        Metric,
        verbose_name=_("metric"),
        related_name="annotations",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        help_text=_("Choose none to annotate all metrics."),
    )

    objects = NaturalKeyManager.from_queryset(AnnotationQuerySet)()  # type: ignore[misc]  # it has more methods

    class Meta:
        verbose_name = _("annotation")
        verbose_name_plural = _("annotations")
        ordering = ("-at", "-pk")

    def __str__(self) -> str:
        return self.text

    @property
    def moment(self) -> datetime:
        """The time at which it happened, in the metrics time zone."""
        return aware(self.at).astimezone(time_zone())

    @property
    def link(self) -> str:
        """The address if a page may link to it: a row that was not validated may hold a script."""
        return self.url if is_web_address(self.url) else ""

    def as_data(self, period: Period) -> dict[str, Any]:
        """Return the annotation as data for JSON; `start` is that of the period it lies in."""
        return {
            "at": self.moment.isoformat(),
            "start": starts_at(period, *locate(period, self.moment)).isoformat(),
            "text": self.text,
            "url": self.link or None,
        }
