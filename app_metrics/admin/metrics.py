from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..aggregation.second_try import count_again
from ..core.calendar import start_of, today
from ..core.comparisons import whole
from ..core.formatting import shown
from ..core.labels import OVERFLOW_LABELS
from ..core.numbers import Number
from ..core.periods import DAY, MONTH, Period
from ..core.summary import SHOWN, headline
from ..models import AggregationRun, Annotation, Backfill, ImportedFile, Item, Metric, QuarantinedItem, Total
from ..models.primary import primary
from ..models.queries import QuerySources, fold_together
from .annotations import annotate_each, annotation_form
from .base import Explained, OffMenu, ReadOnlyAdmin, SearchableAdmin


@admin.register(Metric)
class MetricAdmin(Explained, SearchableAdmin):
    list_display = ("name", "slug", "kind", "unit", "today", "this_month", "is_capped", "second_kind")
    list_filter = ("kind", "sets")
    search_fields = ("name", "slug", "description")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("second_kind",)
    actions = ("annotate",)
    help_texts = {
        "name": _("As people call it; reports and the dashboard show it."),
        "slug": _("As code and rules record it. It cannot be changed later."),
        "kind": _(
            "A counter adds up, a gauge has a latest value, a timer has a mean in seconds, a distribution a mean in "
            "any unit, and a unique count counts each id once in a period."
        ),
        "unit": _("Shown after the numbers, such as “€” or “MB”."),
        "better": _("The change that reports and the dashboard show as good. A rule can say it, too."),
        "description": _("What counts and what does not; the metric’s page shows it."),
    }

    def get_queryset(self, request: HttpRequest) -> Any:
        overflow = Total.objects.filter(metric=OuterRef("pk"), labels=OVERFLOW_LABELS)
        metrics: Any = super().get_queryset(request)
        return metrics.annotate(capped=Exists(overflow))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        Metric.objects.discover()
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the numbers of the metrics on a page at once: those that the dashboard shows."""
        page = super().get_changelist_instance(request)
        numbers = _headlines(page.result_list)
        for metric in page.result_list:
            metric.numbers = numbers[metric.slug]
        return page

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Pending items would create a metric under the old slug again, and so would code that still uses it.
        return (*self.readonly_fields, "slug") if obj else self.readonly_fields

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count the totals that are deleted with metrics instead of listing them: there may be millions.

        Totals need no permission, because only a metric's deletion deletes them. Annotations do, as anywhere else.
        """
        totals = primary(Total.objects).filter(metric__in=objs).count()
        annotations = primary(Annotation.objects).filter(metric__in=objs).count()
        counts = {
            Metric._meta.verbose_name_plural: len(objs),
            Total._meta.verbose_name_plural: totals,
            Annotation._meta.verbose_name_plural: annotations,
        }
        may_delete = not annotations or request.user.has_perm("app_metrics.delete_annotation")
        return [str(metric) for metric in objs], counts, set() if may_delete else {Annotation._meta.verbose_name}, []

    @admin.action(description=_("Annotate the selected metrics"), permissions=["annotate"])
    def annotate(self, request: HttpRequest, metrics: QuerySet[Metric]) -> TemplateResponse | None:
        """Ask what happened, and annotate each of the metrics."""
        form = annotation_form(self.admin_site, request)
        if form.is_valid():
            count = annotate_each(self.admin_site, request, form, metrics)
            text = ngettext("%(count)d metric was annotated.", "%(count)d metrics were annotated.", count)
            self.message_user(request, text % {"count": count})
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Annotate the selected metrics"),
            "opts": self.opts,
            "metrics": metrics,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/app_metrics/metric/annotate.html", context)

    def has_annotate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("app_metrics.add_annotation")

    @admin.display(description=_("today"))
    def today(self, metric: Any) -> str:
        return shown(metric.numbers[DAY], metric.kind)

    @admin.display(description=_("this month"))
    def this_month(self, metric: Any) -> str:
        return shown(metric.numbers[MONTH], metric.kind)

    @admin.display(description=_("too many label sets"), empty_value="")
    def is_capped(self, metric: Any) -> Any:
        return _("yes") if metric.capped else None


def _headlines(metrics: Iterable[Metric]) -> dict[str, dict[Period, Number | None]]:
    """Return the numbers of today and of this month by slug, pending items included; one query."""
    periods = (DAY, MONTH)
    found = fold_together(QuerySources.of(metrics), {each: whole(each, start_of(each, today())) for each in periods})
    return {
        metric.slug: {period: headline(metric.kind, found.get((metric.slug, period))) for period in periods}
        for metric in metrics
    }


@admin.register(Total)
class TotalAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("metric", "labels", "period", "starts_at", *(field.name for field in SHOWN))
    list_filter = ("period", "metric")
    list_select_related = ("metric",)
    search_fields = ("metric__name", "metric__slug", "labels")
    date_hierarchy = "start"
    ordering = ("-start", "-hour")


@admin.register(Item)
class ItemAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("slug", "kind", "labels", "day", "hour", "count", "total")
    list_filter = ("kind",)
    search_fields = ("slug", "labels")
    ordering = ("-pk",)


@admin.register(QuarantinedItem)
class QuarantinedItemAdmin(OffMenu):
    list_display = ("quarantined_at", "reason", "payload")
    search_fields = ("reason", "payload")
    readonly_fields = ("quarantined_at", "reason", "payload")
    actions = ("count_again",)

    @admin.action(description=_("Count the selected items if they can be read now"), permissions=["delete"])
    def count_again(self, request: HttpRequest, quarantined: QuerySet[QuarantinedItem]) -> None:
        returned, failed = count_again(quarantined)
        text = ngettext("%(count)d item is pending again.", "%(count)d items are pending again.", returned)
        self.message_user(request, text % {"count": returned})
        if failed:
            text = ngettext("%(count)d item cannot be read.", "%(count)d items cannot be read.", failed)
            self.message_user(request, text % {"count": failed}, messages.WARNING)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(AggregationRun)
class AggregationRunAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("finished_at", "seconds", "items", "quarantined")


@admin.register(Backfill)
class BackfillAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("metric", "filled_until", "is_finished", "events", "updated_at")
    list_select_related = ("metric",)
    search_fields = ("metric__name", "metric__slug")

    @admin.display(description=_("filled until"), ordering="until_day")
    def filled_until(self, backfill: Backfill) -> Any:
        return backfill.filled_until

    @admin.display(description=_("finished"), boolean=True)
    def is_finished(self, backfill: Backfill) -> bool:
        return backfill.is_finished


@admin.register(ImportedFile)
class ImportedFileAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("name", "lines", "counted_until", "imported_at", "digest")
    search_fields = ("name", "digest")
    ordering = ("-pk",)

    def has_delete_permission(self, request: HttpRequest, obj: ImportedFile | None = None) -> bool:
        # An incomplete import blocks other imports and backfills. If its file is lost, only deleting it ends that.
        is_incomplete = obj is not None and obj.counted_until is not None
        return is_incomplete and admin.ModelAdmin.has_delete_permission(self, request, obj)
