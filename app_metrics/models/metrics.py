"""What is counted: metrics, the items that wait, and the totals."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..core import calendar
from ..core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ..core.periods import HOUR, Period
from ..core.summary import COUNTER, GAUGE, TIMER, Summary
from ..core.validation import MAX_LABELS_LENGTH, MAX_SLUG_LENGTH
from . import queries
from .fields import ExactCharField, ExactDecimalField, ExactSlugField
from .ledger import LedgerRow
from .pending import held

KIND_NAMES = ((COUNTER, _("counter")), (GAUGE, _("gauge")), (TIMER, _("timer")))


def period_choices() -> list[tuple[Period, Any]]:
    """Return the periods and their names; a function, so that a new period needs no migration."""
    return [(period, period.display_name) for period in Period]


class MetricQuerySet(models.QuerySet[Any]):
    def with_total(self, period: str, day: date | None = None, name: str = "period_total") -> "MetricQuerySet":
        """Annotate each metric with its sum over the period that holds `day` (default: today).

        Waiting items are included. The sum is the database's own: exact on PostgreSQL and MariaDB, correct to 15
        digits on SQLite; `Metric.total()` is exact everywhere. Raises ValueError for "hour" or an unknown period.
        """
        if period == HOUR:
            raise ValueError("with_total() spans whole days or longer periods; use Metric.total() for an hour.")
        first, last = calendar.span(Period(period), day or calendar.today())
        totals = Total.objects.filter(metric=models.OuterRef("pk"), period=period, start=first)
        items = Item.objects.filter(slug=models.OuterRef("slug"), day__range=(first, last))
        waiting = _sum(items, "slug")
        annotated: MetricQuerySet = self.annotate(**{name: _sum(totals, "metric") + waiting})
        return annotated


def _sum(rows: models.QuerySet[Any], group: str) -> Coalesce:
    number = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)
    total = models.Sum(Cast("total", number), output_field=number)
    summed = rows.order_by().values(group).annotate(summed=total).values("summed")
    return Coalesce(models.Subquery(summed, output_field=number), Decimal(0), output_field=number)


class Metric(models.Model):
    """A named thing that is counted, gauged or timed."""

    name = models.CharField(_("name"), max_length=200)
    slug = ExactSlugField(_("slug"), max_length=MAX_SLUG_LENGTH, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=KIND_NAMES, default=COUNTER)
    unit = models.CharField(_("unit"), max_length=30, blank=True)
    description = models.TextField(_("description"), blank=True)
    # The first other kind this slug was recorded under; its numbers are counted all the same.
    second_kind = models.CharField(_("also recorded as"), max_length=10, blank=True, editable=False)

    objects = MetricQuerySet.as_manager()

    class Meta:
        verbose_name = _("metric")
        verbose_name_plural = _("metrics")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    def summary(self, period: str, day: date | None = None, labels: Mapping[str, str] | None = None) -> Summary | None:
        """Return the summary of the period that holds `day` (default: today), waiting items included.

        It spans all label sets, or the one given. None when nothing was recorded. A datetime stands for its hour
        where the period is "hour". Raises ValueError for an unknown period.
        """
        return queries.summary(self._sources(), Period(period), day, labels)

    def total(self, period: str, day: date | None = None, labels: Mapping[str, str] | None = None) -> Decimal:
        """Return the exact sum over the period that holds `day`, in the metric's unit; 0 when nothing was recorded.

        See `summary()` for the arguments.
        """
        summary = self.summary(period, day, labels)
        return Decimal(summary.total) if summary else Decimal(0)

    def series(
        self, period: str, start: date, end: date, labels: Mapping[str, str] | None = None
    ) -> list[queries.Point]:
        """Return one point for every period that touches the dates from `start` to `end`, gaps filled with zeros.

        Both dates are included. A point starts at a date, or at an aware datetime where the period is "hour".
        Raises ValueError for an unknown period.
        """
        return queries.series(self._sources(), Period(period), start, end, labels)

    def _sources(self) -> queries.Sources:
        totals, items = Total.objects.filter(metric=self), Item.objects.filter(slug=self.slug)
        return queries.Sources(totals, items, held(LedgerRow.objects, {self.slug}))


class Dashboard(Metric):
    """What the admin lists the dashboard by, beside the models."""

    class Meta:
        proxy = True
        default_permissions = ()  # whoever may view metrics
        verbose_name = verbose_name_plural = _("dashboard")


def number_field(**options: Any) -> ExactDecimalField:
    return ExactDecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **options)


class StoredSummary(models.Model):
    """The columns of a summary and of the bucket it belongs to; hours count from the local midnight."""

    labels = ExactCharField(_("labels"), max_length=MAX_LABELS_LENGTH)
    hour = models.SmallIntegerField(_("hour"))
    count = models.BigIntegerField(_("count"))
    total = number_field(verbose_name=_("total"))
    minimum = number_field(verbose_name=_("minimum"))
    maximum = number_field(verbose_name=_("maximum"))
    last = number_field(verbose_name=pgettext_lazy("value", "last"))
    # Unix time in microseconds: compared in SQL, where time zones must not matter.
    last_at = models.BigIntegerField(_("last recorded"))

    class Meta:
        abstract = True


class Item(StoredSummary):
    """A stored summary that is not aggregated yet.

    It has neither foreign key nor index besides its id, which the aggregation drains it by: a request waits for
    this write. The id follows from the batch's, so that the same batch written again is recognised.
    """

    id = models.UUIDField(primary_key=True)
    slug = ExactCharField(_("slug"), max_length=MAX_SLUG_LENGTH)
    kind = models.CharField(_("kind"), max_length=10)
    day = models.DateField(_("day"))

    class Meta:
        verbose_name = _("waiting item")
        verbose_name_plural = _("waiting items")

    def __str__(self) -> str:
        return f"{self.slug} {self.labels} {self.day} {self.hour}h"


class Total(StoredSummary):
    """The summary of one metric and label set in one period; `hour` is 0 unless the period is an hour."""

    metric = models.ForeignKey(
        Metric,
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
        """The date on which the period begins, or the aware local time where it is an hour."""
        return calendar.starts_at(Period(self.period), self.start, self.hour)


class QuarantinedItem(models.Model):
    """A row of the item log that no total could take, set aside with the reason."""

    payload = models.TextField(_("payload"))
    reason = models.TextField(_("reason"))
    quarantined_at = models.DateTimeField(_("quarantined at"), auto_now_add=True)

    class Meta:
        verbose_name = _("quarantined item")
        verbose_name_plural = _("quarantined items")

    def __str__(self) -> str:
        return self.reason


class AggregationRun(models.Model):
    """What the latest aggregation did; one row."""

    finished_at = models.DateTimeField(_("finished at"))
    seconds = models.FloatField(_("seconds"))
    items = models.BigIntegerField(_("items"))
    quarantined = models.BigIntegerField(_("quarantined"))

    class Meta:
        verbose_name = _("aggregation run")
        verbose_name_plural = _("aggregation runs")

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}"


class ImportedFile(models.Model):
    """A file that was imported, so that it is not counted twice."""

    digest = models.CharField(_("SHA-256"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=200)
    lines = models.BigIntegerField(_("lines"))
    imported_at = models.DateTimeField(_("imported at"))

    class Meta:
        verbose_name = _("imported file")
        verbose_name_plural = _("imported files")

    def __str__(self) -> str:
        return str(self.name)
