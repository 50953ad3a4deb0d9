from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from ..core.calendar import moment_of
from ..dashboard.charts import Chart, build_chart
from ..dashboard.configuration import changed_settings, effective, packages
from ..dashboard.date_range import RANGES
from ..dashboard.forms import OverviewForm, SelectionForm
from ..dashboard.health import examine
from ..dashboard.metric_facts import facts_of
from ..dashboard.overview import Row, overview, pictures
from ..dashboard.svg import can_draw, draw
from ..dashboard.unused import DEFAULT_SPAN, SPANS, find_unused
from ..models import Dashboard, Delivery, Metric, MetricSet, Notice, QuarantinedItem
from ..models.pending import is_complete
from ..transfer.csv_export import chart_data, inert_json, write_chart
from .base import ReadOnlyAdmin

PER_PAGE = 100
PERMISSION = "app_metrics.view_metric"


@admin.register(Dashboard)
class DashboardAdmin(ReadOnlyAdmin):
    """Pages to look at: GET only, and nothing is written."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(PERMISSION)

    def get_urls(self) -> Any:
        return [
            path("", self._page(self.changelist_view), name="app_metrics_dashboard_changelist"),
            path("health/", self._page(self.health), name="app_metrics_dashboard_health"),
            path("unused/", self._page(self.unused), name="app_metrics_dashboard_unused"),
            path("metric/<slug:slug>/", self._page(self.metric), name="app_metrics_dashboard_metric"),
        ]

    def _page(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        """Wrap a view that only those may see who may view metrics."""

        def permitted(request: HttpRequest, **arguments: Any) -> HttpResponse:
            # Before anything is looked up: a metric that is missing and one that is forbidden look alike.
            if not self.has_view_permission(request):
                raise PermissionDenied
            return require_safe(view)(request, **arguments)

        return self.admin_site.admin_view(permitted)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show all metrics, or those that were asked for, with today's numbers beside earlier ones."""
        form = OverviewForm(request.GET, MetricSet.objects.order_by("name").values_list("pk", "name"))
        metrics = list(_found(form))
        sort = form.cleaned_data.get("sort") or "name"
        # By name the numbers of one page suffice.
        ordered: Sequence[Any] = metrics if sort == "name" else _sorted(overview(metrics), sort)
        page = Paginator(ordered, PER_PAGE).get_page(request.GET.get("page"))
        rows = overview(page.object_list) if sort == "name" else list(page.object_list)
        drawn = pictures(row.metric for row in rows)
        context = {
            "form": form,
            "rows": [(row, drawn[row.metric.slug]) for row in rows],
            "page": page,
            "sort": sort,
            "moment": moment_of(None),
        }
        return self._response(request, "overview", _("Dashboard"), context)

    def metric(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Show a metric's numbers over a range as a chart and a table, or as a file."""
        metric = get_object_or_404(Metric, slug=slug)
        facts = facts_of(metric)
        form = SelectionForm(request.GET, facts=facts)
        kind = request.GET.get("format")
        if kind in FILES and not form.is_valid():
            errors = [str(error) for errors in form.errors.values() for error in errors]
            return HttpResponseBadRequest("\n".join(errors), content_type="text/plain; charset=utf-8")
        chart = build_chart(metric, form.selection(), facts.since)
        if kind in FILES:
            return FILES[kind](chart)
        context = {
            "metric": metric,
            "facts": facts,
            "form": form.shown(),
            "chart": chart,
            "drawing": draw(chart),
            "can_draw": can_draw(),
            "range": form.named_range(),
            "ranges": [(name, each.title) for name, each in RANGES.items()],
            "period_name": chart.selection.period.display_name,
        }
        return self._response(request, "metric", metric.name, context)

    def health(self, request: HttpRequest) -> HttpResponse:
        """Show how well recording, aggregation and mail go, and what is configured."""
        context = {
            "health": examine(),
            "changed": changed_settings(),
            "effective": effective(),
            "packages": packages(),
            "lists": self._lists(request, QuarantinedItem, Delivery, Notice),
        }
        return self._response(request, "health", _("Health"), context)

    def unused(self, request: HttpRequest) -> HttpResponse:
        """Show the URL names and rules that nothing was recorded for."""
        asked = request.GET.get("days")
        days = next((span for span in SPANS if str(span) == asked), DEFAULT_SPAN)
        return self._response(request, "unused", _("Unused"), {"unused": find_unused(days), "spans": SPANS})

    def _lists(self, request: HttpRequest, *models: type[Model]) -> dict[str, str]:
        """Return the addresses of those lists that whoever asks may look at, by the name of the model."""
        found = ((model._meta.model_name or "", self.admin_site._registry.get(model)) for model in models)
        return {
            name: reverse(f"{self.admin_site.name}:app_metrics_{name}_changelist")
            for name, registered in found
            if registered and registered.has_view_permission(request)
        }

    def _response(
        self, request: HttpRequest, page: str, title: str | Promise, context: dict[str, Any]
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "shown": page, **context}
        # After all was read: what could not be read is missing there.
        context["is_complete"] = is_complete()
        return TemplateResponse(request, f"admin/app_metrics/dashboard/{page}.html", context)


def _found(form: OverviewForm) -> Any:
    """Return the metrics that were asked for; all where the question was a mistake."""
    metrics: Any = Metric.objects.all()
    if not form.is_valid():
        return metrics
    given = form.cleaned_data
    for word in given["q"].split():
        metrics = metrics.filter(Q(name__icontains=word) | Q(slug__icontains=word) | Q(description__icontains=word))
    if given["kind"]:
        metrics = metrics.filter(kind=given["kind"])
    return metrics.filter(sets=given["set"]) if given["set"] else metrics


def _sorted(rows: Sequence[Row], sort: str) -> list[Row]:
    """Return the rows by a number, those without one last."""
    column = sort.removeprefix("-")

    def number(row: Row) -> Any:
        return row.comparison.relative if column == "change" else getattr(row, column, None)

    if column == "name":
        return list(reversed(rows))
    known = [row for row in rows if number(row) is not None]
    known.sort(key=number, reverse=sort.startswith("-"))
    return known + [row for row in rows if number(row) is None]


def _csv(chart: Chart) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    chosen = chart.selection
    name = f"{chart.metric.slug}-{chosen.period}-{chosen.first}-{chosen.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    write_chart(response, chart)
    return response


def _json(chart: Chart) -> HttpResponse:
    return HttpResponse(inert_json(chart_data(chart)), content_type="application/json")


FILES: dict[str | None, Callable[[Chart], HttpResponse]] = {"csv": _csv, "json": _json}
