"""Metrics, and the records of aggregations and imports."""

from collections.abc import Collection, Container, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, models, router, transaction
from django.utils.translation import gettext_lazy as _

from ..core import calendar
from ..core.comparisons import DOWN, NEITHER, UP
from ..core.dropped import warn_once
from ..core.numbers import Number
from ..core.periods import HOUR, Period
from ..core.plain_text import brief
from ..core.slugs import slugs_for
from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, MAX_KIND_LENGTH, TIMER, UNIQUE, Summary
from ..core.validation import MAX_NAME_LENGTH, MAX_SLUG_LENGTH, MAX_UNIT_LENGTH
from ..transport.databases import is_about_missing_table, savepoint
from . import percentiles, queries, splitting
from .dataframes import dataframe
from .discovery import unknown_kinds
from .fields import ExactSlugField
from .natural_keys import NaturalKeyManager, NaturalKeyModel
from .primary import primary
from .sums import sum_over

if TYPE_CHECKING:
    import pandas

Labels = Mapping[str, str] | None
# The permission to see the dashboard and to read the API.
VIEW_PERMISSION = "app_metrics.view_metric"
KIND_NAMES = (
    (COUNTER, _("counter")), (GAUGE, _("gauge")), (TIMER, _("timer")), (DISTRIBUTION, _("distribution")),
    (UNIQUE, _("unique count")),
)  # fmt: skip
BETTER_NAMES = (
    ("", _("as its rules and its kind say")),
    (UP, _("more is better")),
    (DOWN, _("less is better")),
    (NEITHER, _("neither")),
)


class MetricQuerySet(models.QuerySet[Any]):
    _discovers = True

    def get(self, *args: Any, **conditions: Any) -> Any:
        """Return one metric as Django does; if there is none, first create the metrics of pending events.

        It creates none if `using()` names another database than the one that they are written to.
        """
        writable = router.db_for_write(self.model)
        try:
            return super().get(*args, **conditions)
        except self.model.DoesNotExist:
            is_elsewhere = self._db not in (None, writable)  # type: ignore[attr-defined]
            if is_elsewhere or not (self._discovers and self.discover()):
                raise
        return super().using(writable).get(*args, **conditions)

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **conditions: Any) -> tuple[Any, bool]:
        """Return one metric, created with the given defaults even if events are pending."""
        own = self.all()
        own._discovers = False
        return super(MetricQuerySet, own).get_or_create(defaults, **conditions)

    def discover(self, slugs: Collection[str] | None = None) -> int:
        """Create the metrics that events were recorded for and that no aggregation has created yet; return how many.

        A metric gets its slug as its name, and the kind it was first recorded under. With `slugs`, only metrics with
        one of them are created. If the database refuses, that is logged, and the next aggregation creates them.
        """
        own = self.model._default_manager.using(self._db)  # type: ignore[attr-defined]
        try:
            with savepoint(own.db):
                kinds = unknown_kinds(own, slugs)
            new = [self.model(slug=slug, name=slug, kind=kind) for slug, kind in sorted(kinds.items())]
            if new:
                metrics = primary(self.model._default_manager)
                with transaction.atomic(using=metrics.db):
                    metrics.bulk_create(new, ignore_conflicts=True)
            return len(new)
        except DatabaseError as error:
            if not is_about_missing_table(error):  # before `migrate`, writes and pages say so
                warn_once(f"The metrics of pending events could not be created: {brief(error)}", source="discover")
            return 0

    def with_total(self, period: str, day: date | None = None, name: str = "period_total") -> "MetricQuerySet":
        """Annotate each metric with its sum over the period that contains `day` (default: today).

        Pending items are included. The database computes the sum: exactly on PostgreSQL, MariaDB and MySQL, to 15
        digits on SQLite; `Metric.total()` is exact everywhere. Raises ValueError for "hour" or an unknown period.
        """
        if period == HOUR:
            raise ValueError("with_total() does not support hours; use Metric.total() instead.")
        annotated: MetricQuerySet = self.annotate(**{name: sum_over(Period(period), day or calendar.today())})
        return annotated

    def bulk_create(self, objs: Iterable["Metric"], *args: Any, **options: Any) -> list["Metric"]:
        """Save metrics as Django does; those without a slug get a free one from their name, as in `save()`."""
        metrics = list(objs)
        taken = {metric.slug for metric in metrics}
        for metric in metrics:
            metric.slug = metric.slug or _free_slug(metric.name, self.using(self.db), taken)
            taken.add(metric.slug)
        return super().bulk_create(metrics, *args, **options)

    def lock(self) -> None:
        """Lock the metrics until the transaction ends, so that only one import or backfill at a time fills them.

        It is an UPDATE, because isolation levels that keep a snapshot then refuse a stale one. On PostgreSQL,
        aggregations go on adding totals.
        """
        self.update(name=models.F("name"))


def _free_slug(name: str, metrics: models.QuerySet[Any], taken: Container[str] = ()) -> str:
    slugs = (each for each in slugs_for(name) if each not in taken)
    return next(each for each in slugs if not metrics.filter(slug=each).exists())


class Metric(NaturalKeyModel):
    """A named thing that is counted, gauged or timed."""

    NATURAL_KEY = ("slug",)

    name = models.CharField(_("name"), max_length=MAX_NAME_LENGTH)
    slug = ExactSlugField(_("slug"), max_length=MAX_SLUG_LENGTH, unique=True)
    kind = models.CharField(_("kind"), max_length=MAX_KIND_LENGTH, choices=KIND_NAMES, default=COUNTER)
    unit = models.CharField(_("unit"), max_length=MAX_UNIT_LENGTH, blank=True)
    description = models.TextField(_("description"), blank=True)
    # The default of the database is for processes that still run the version before.
    better = models.CharField(
        _("good news"), max_length=10, choices=BETTER_NAMES, blank=True, default="", db_default=""
    )
    # The first other kind this slug was recorded under; its numbers are counted anyway.
    second_kind = models.CharField(_("also recorded as"), max_length=MAX_KIND_LENGTH, blank=True, editable=False)
    # What its definition in code said last, by field: a field that differs from it was changed by a person. Null, also
    # for processes that still run the version before.
    defined = models.JSONField(null=True, editable=False)

    objects = NaturalKeyManager.from_queryset(MetricQuerySet)()  # type: ignore[misc]  # it has more methods

    class Meta:
        verbose_name = _("metric")
        verbose_name_plural = _("metrics")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **options: Any) -> None:
        """Save the metric; without a slug, make a free one from the name, as `create_metric` does.

        Raises ValueError if no slug can be made from the name.
        """
        if not self.slug:
            alias = options.get("using") or router.db_for_write(Metric, instance=self)
            self.slug = _free_slug(self.name, Metric.objects.using(alias))
        super().save(*args, **options)

    def summary(
        self, period: str, day: date | None = None, labels: Labels = None, *, where: Labels = None
    ) -> Summary | None:
        """Return the summary of the period that contains `day` (default: today), pending items included.

        It covers all label sets, only `labels`, or those that have the labels of `where`, whatever others they have;
        what is beyond the label cap is not among these. None if nothing was recorded. For the period "hour", `day` is
        a datetime in that hour. Raises ValueError for an unknown period, and if both `labels` and `where` are given.
        """
        return queries.summary(self._chosen(labels, where), Period(period), day, labels)

    def total(self, period: str, day: date | None = None, labels: Labels = None, *, where: Labels = None) -> Decimal:
        """Return the exact sum over the period that contains `day`, in the metric's unit; 0 if nothing was recorded.

        See `summary()` for the arguments.
        """
        summary = self.summary(period, day, labels, where=where)
        return Decimal(summary.total) if summary else Decimal(0)

    def percentile(
        self, period: str, percent: int | Decimal, day: date | None = None, labels: Labels = None, *,
        where: Labels = None,
    ) -> Number | None:  # fmt: skip
        """Return the number that `percent` per cent of those recorded in a period do not exceed, within 1.1 %.

        Only timers and distributions have percentiles. None if nothing was recorded, or some of it before there were
        histograms. See `summary()` for the other arguments.
        """
        sources = self._chosen(labels, where)
        return percentiles.of_period(sources, Period(period), day, labels, [percent])[percent]

    def series(
        self, period: str, start: date, end: date, labels: Labels = None, *, where: Labels = None
    ) -> list[queries.Point]:
        """Return one point for every period that touches the dates from `start` to `end`, gaps filled with zeros.

        Both dates are included. A point starts at a date, or at an aware datetime if the period is "hour". Raises
        ValueError for an unknown period. See `summary()` for the other arguments.
        """
        return queries.series(self._chosen(labels, where), Period(period), start, end, labels)

    def split(
        self, label: str, period: str, start: date, end: date, *, where: Labels = None
    ) -> splitting.SplitSeries[queries.Point]:
        """Return the points of `series()` for each value of a label: `groups`, `overflow` and `whole`."""
        return splitting.split_series(self, Period(period), start, end, label, where, queries.point_of)

    def to_dataframe(
        self, period: str, start: date, end: date, labels: Labels = None, *, where: Labels = None
    ) -> "pandas.DataFrame":
        """Return the points of `series()` as rows of a pandas DataFrame, which has the extra `pandas`.

        The index `start` holds dates, or times in the metrics time zone if the period is "hour". The columns are the
        fields of a point, and `value`, its headline number: a counter's total, a gauge's last value, a timer's mean.
        `count` is an integer, and all other numbers are floats; NaN where nothing was recorded. Raises ImportError
        without pandas.
        """
        return dataframe(self.kind, Period(period), self.series(period, start, end, labels, where=where))

    def _chosen(self, labels: Labels, where: Labels) -> queries.QuerySources:
        return splitting.chosen(queries.QuerySources.of([self]), labels, where)


class Dashboard(Metric):
    """The entry of the dashboard in the admin's list of models."""

    class Meta:
        proxy = True
        default_permissions = ()  # the permission to view metrics is enough
        verbose_name = verbose_name_plural = _("dashboard")


class QuarantinedItem(models.Model):
    """An item that could not be added to a total, with the reason."""

    payload = models.TextField(_("payload"))
    reason = models.TextField(_("reason"))
    quarantined_at = models.DateTimeField(_("quarantined at"), auto_now_add=True)

    class Meta:
        verbose_name = _("quarantined item")
        verbose_name_plural = _("quarantined items")

    def __str__(self) -> str:
        return self.reason


class AggregationRun(models.Model):
    """The figures of the latest aggregation; one row."""

    finished_at = models.DateTimeField(_("finished at"))
    seconds = models.FloatField(_("seconds"))
    items = models.BigIntegerField(_("items"))
    quarantined = models.BigIntegerField(_("quarantined"))

    class Meta:
        verbose_name = _("aggregation run")
        verbose_name_plural = _("aggregation runs")

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}"


class ImportedFile(NaturalKeyModel):
    """An imported file; the row prevents a second import.

    While its lines are counted in several transactions, `counted_until` is the last line that is counted so far.
    """

    NATURAL_KEY = ("digest",)

    digest = models.CharField(_("SHA-256"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=200)
    lines = models.BigIntegerField(_("lines"))
    imported_at = models.DateTimeField(_("imported at"))
    counted_until = models.BigIntegerField(_("incomplete, counted until line"), null=True)

    class Meta:
        verbose_name = _("imported file")
        verbose_name_plural = _("imported files")

    def __str__(self) -> str:
        return str(self.name)
