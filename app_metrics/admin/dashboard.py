from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from unicodedata import combining, normalize

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from ..core.serialization import inert_json
from ..core.summary import UNIQUE
from ..dashboard.chart_files import chart_data, write_chart
from ..dashboard.charts import Chart, build_chart
from ..dashboard.configuration import changed_settings, effective, packages
from ..dashboard.date_range import RANGES
from ..dashboard.distribution import spread_of
from ..dashboard.driver import stopped_for
from ..dashboard.forms import OverviewForm, SelectionForm
from ..dashboard.health import examine
from ..dashboard.heat_map import build_heat_map
from ..dashboard.metric_facts import facts_of, facts_of_ratio
from ..dashboard.overview import Picture, Row, busiest, overview, pictures, stickiness, yesterdays_p95
from ..dashboard.projection import with_projection
from ..dashboard.ratio_charts import build_ratio_chart
from ..dashboard.ratio_rows import ratio_rows
from ..dashboard.so_far import week_before
from ..dashboard.svg import draw
from ..dashboard.unused import DEFAULT_SPAN, SPANS, find_unused
from ..models import Annotation, Dashboard, Metric, MetricSet
from ..models.fields import unicode_text
from ..models.metrics import VIEW_PERMISSION
from ..models.pending import is_complete
from ..ratios.changes import metrics_of
from ..ratios.declared import Ratio, ratios
from ..reports.declared_sets import ratios_of_set
from .base import ReadOnlyAdmin

PER_PAGE = 100


class ObjectList(NamedTuple):
    """A list of objects in the admin, and whether the menu shows it."""

    title: str
    url: str
    is_on_menu: bool


def _without_accents(title: str) -> str:
    """Return a title as it is sorted, so that "É" stands beside "E"."""
    return "".join(each for each in normalize("NFKD", title.casefold()) if not combining(each))


@admin.register(Dashboard)
class DashboardAdmin(ReadOnlyAdmin):
    """Serve the dashboard's pages, which are read-only: they answer GET and HEAD, and write nothing."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(VIEW_PERMISSION)

    def get_urls(self) -> Any:
        return [
            path("", self._page(self.changelist_view), name="app_metrics_dashboard_changelist"),
            path("health/", self._page(self.health), name="app_metrics_dashboard_health"),
            path("unused/", self._page(self.unused), name="app_metrics_dashboard_unused"),
            path("metric/<slug:slug>/", self._page(self.metric), name="app_metrics_dashboard_metric"),
            path("ratio/<slug:slug>/", self._page(self.ratio), name="app_metrics_dashboard_ratio"),
        ]

    def _page(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        """Wrap a view for users who may view metrics."""

        def permitted(request: HttpRequest, **arguments: Any) -> HttpResponse:
            # Before any lookup, so that a missing metric and a forbidden one give the same answer.
            if not self.has_view_permission(request):
                raise PermissionDenied
            return self.answer(require_safe(view), request, **arguments)

        return self.admin_site.admin_view(permitted)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the numbers of all metrics, or of those that match the form."""
        Metric.objects.discover()
        form = OverviewForm(request.GET, MetricSet.objects.order_by("name").values_list("pk", "name"))
        metrics, cut = list(_found(form)), week_before()
        sort = form.cleaned_data.get("sort") or "name"
        # If sorted by name, only the metrics on this page need numbers.
        known = [] if sort == "name" else overview(metrics, cut)
        page = Paginator(_sorted(known, sort) if known else metrics, PER_PAGE).get_page(request.GET.get("page"))
        first = busiest(metrics) if page.number == 1 else []
        shown = {metric.pk: metric for metric in (*page.object_list, *first)}.values()
        pictured = _pictured(known or overview(shown, cut), pictures(shown))
        context = {
            "form": form,
            "ratios": ratio_rows(_ratios(form), cut) if page.number == 1 else [],
            "cards": [pictured[metric.pk] for metric in first],
            "rows": [pictured[metric.pk] for metric in page.object_list],
            "stickiness": stickiness(first),
            "p95s": yesterdays_p95(page.object_list),
            "page": page,
            "sort": sort,
            "cut": cut,
        }
        return self._response(request, "overview", _("Dashboard"), context)

    def metric(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Show a metric's numbers over a range as a chart and a table, or return them as a file."""
        metric = get_object_or_404(Metric, slug=slug)
        facts = facts_of(metric)
        form = SelectionForm(request.GET, facts=facts, reads_label_sets=metric.kind == UNIQUE)
        kind = request.GET.get("format")
        if kind in FILES and not form.is_valid():
            return _refused(form)
        selection = form.selection()
        can_read = facts.can_read_histograms(2 * len(selection.starts()))  # of the range, and of the one before it
        chart = build_chart(metric, selection, facts.since, with_histograms=can_read)
        if kind in FILES:
            return FILES[kind](chart)
        chart = with_projection(chart, facts)
        context = {
            "metric": metric,
            "facts": facts,
            "form": form.shown(),
            "chart": chart,
            "drawing": draw(chart),
            "annotating": self._annotating(request, metric),
            "spread": spread_of(chart),
            "heat_map": build_heat_map(metric, chart.selection, facts),
            "ratios": [ratio for ratio in ratios().values() if slug in (ratio.of.slug, ratio.to.slug)],
            **_choices(form, chart),
        }
        return self._response(request, "metric", metric.name, context)

    def ratio(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Show a ratio over a range as a chart and a table with its two numbers, or return them as a file."""
        if slug not in ratios():
            raise Http404(f"There is no ratio {slug!r}.")
        ratio = ratios()[slug]
        reads_label_sets = ratio.of.reads_label_sets or ratio.to.reads_label_sets
        facts = facts_of_ratio(ratio)
        form = SelectionForm(request.GET, facts=facts, reads_label_sets=reads_label_sets, days=ratio.days)
        kind = request.GET.get("format")
        if kind in FILES and not form.is_valid():
            return _refused(form)
        chart = build_ratio_chart(ratio, form.selection(), metrics_of([ratio]))
        if kind in FILES:
            return FILES[kind](chart)
        context = {"form": form.shown(), "chart": chart, "drawing": draw(chart), **_choices(form, chart)}
        return self._response(request, "ratio", ratio.name, context)

    def health(self, request: HttpRequest) -> HttpResponse:
        """Show the state of recording, aggregation and mails, the configuration, and links to lists off the menu."""
        lists, health = self._lists(request), examine()
        context = {
            "health": health,
            "stopped_for": health.aggregating.stopped_for,
            "changed": changed_settings(),
            "effective": effective(),
            "packages": packages(),
            "lists": lists,
            "off_menu": [each for each in lists.values() if not each.is_on_menu],
        }
        return self._response(request, "health", _("Health"), context)

    def unused(self, request: HttpRequest) -> HttpResponse:
        """Show the URL names and rules that nothing was recorded for in the last days."""
        asked = request.GET.get("days")
        days = next((span for span in SPANS if str(span) == asked), DEFAULT_SPAN)
        return self._response(request, "unused", _("Unused"), {"unused": find_unused(days), "spans": SPANS})

    def _lists(self, request: HttpRequest) -> dict[str, ObjectList]:
        """Return the lists of this app's objects that the user may view, by the name of the model."""
        found = {}
        for model, registered in self.admin_site._registry.items():
            name, title = model._meta.model_name or "", capfirst(str(model._meta.verbose_name_plural))
            if model._meta.app_label == self.opts.app_label and registered.has_view_permission(request):
                url = reverse(f"{self.admin_site.name}:app_metrics_{name}_changelist")
                found[name] = ObjectList(title, url, is_on_menu=bool(registered.get_model_perms(request)))
        return dict(sorted(found.items(), key=lambda item: _without_accents(item[1].title)))

    def _annotating(self, request: HttpRequest, metric: Metric) -> dict[str, str]:
        """Return the addresses at which the user may add an annotation of a metric, and see all annotations."""
        registered, page = self.admin_site._registry.get(Annotation), f"{self.admin_site.name}:app_metrics_annotation"
        found = {}
        if registered and registered.has_add_permission(request):
            found["add"] = f"{reverse(f'{page}_add')}?metric={metric.pk}"
        if registered and registered.has_view_permission(request):
            found["all"] = reverse(f"{page}_changelist")
        return found

    def _response(
        self, request: HttpRequest, page: str, title: str | Promise, context: dict[str, Any]
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "shown": page, **context}
        # Must follow all reads, each of which may find that the backend does not answer.
        context["is_complete"] = is_complete()
        if "stopped_for" not in context:
            context["stopped_for"] = stopped_for()
        return TemplateResponse(request, f"admin/app_metrics/dashboard/{page}.html", context)


def _found(form: OverviewForm) -> Any:
    """Return the metrics that match the form; all of them if it has errors."""
    metrics: Any = Metric.objects.alias(text=unicode_text("name"), more=unicode_text("description"))
    if not form.is_valid():
        return metrics
    given = form.cleaned_data
    for word in given["q"].split():
        metrics = metrics.filter(Q(text__icontains=word) | Q(slug__icontains=word) | Q(more__icontains=word))
    if given["kind"]:
        metrics = metrics.filter(kind=given["kind"])
    return metrics.filter(sets=given["set"]) if given["set"] else metrics


def _ratios(form: OverviewForm) -> list[Ratio]:
    """Return the ratios that match the form; none if it chooses a kind, which ratios lack."""
    if not form.is_valid():
        return list(ratios().values())
    given = form.cleaned_data
    words = given["q"].lower().split()
    found = [ratio for ratio in ratios().values() if all(word in ratio.name.lower() for word in words)]
    if given["set"]:
        named = MetricSet.objects.filter(pk=given["set"]).values_list("name", flat=True)
        found = [ratio for name in named for ratio in ratios_of_set(name) if ratio in found]
    return [] if given["kind"] else found


def _refused(form: SelectionForm) -> HttpResponse:
    errors = [str(error) for errors in form.errors.values() for error in errors]
    return HttpResponseBadRequest("\n".join(errors), content_type="text/plain; charset=utf-8")


def _choices(form: SelectionForm, chart: Chart) -> dict[str, Any]:
    """Return what a page says about the range that is shown, and about the others."""
    return {
        "range": form.named_range(),
        "ranges": [(name, each.title) for name, each in RANGES.items()],
        "period_name": chart.selection.period.display_name,
    }


def _sorted(rows: Sequence[Row], sort: str) -> list[Metric]:
    """Return the metrics of the rows sorted by a column, those without a number last."""
    column = sort.removeprefix("-")

    def number(row: Row) -> Any:
        return row.comparison.relative if column == "change" else getattr(row, column, None)

    if column == "name":
        return [row.metric for row in reversed(rows)]
    known = [row for row in rows if number(row) is not None]
    known.sort(key=number, reverse=sort.startswith("-"))
    return [row.metric for row in (*known, *(row for row in rows if number(row) is None))]


def _pictured(rows: Iterable[Row], drawn: Mapping[str, Picture]) -> dict[int, tuple[Row, Picture]]:
    """Return each row with its picture, if there is one, by the key of the metric."""
    return {row.metric.pk: (row, drawn[row.metric.slug]) for row in rows if row.metric.slug in drawn}


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
