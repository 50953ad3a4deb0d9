"""Read-only views for other tools: a JSON API, and the totals for Prometheus."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse

from ..core.calendar import locate, start_of, starts_at, today
from ..core.numbers import Number, plain
from ..core.periods import DAY, HOUR, PERIODS, Period, Piece
from ..core.serialization import inert_json
from ..core.setting_rules import suggest
from ..core.summary import KINDS, MEASURED, NUMBER, SHOWN, SKETCHED, UNIQUE, Summary, merge_all
from ..core.validation import check_slug
from ..models import Annotation, Metric, MetricSet
from ..models.fields import unicode_text
from ..models.pending import is_complete
from ..models.percentiles import MeasuredPoint, Percentiles, percentiles_of
from ..models.primary import beside
from ..models.queries import Point, QuerySources, fold, point_headline, point_of
from ..models.splitting import SplitSeries
from .access import View, require_read_access
from .openapi import description
from .paging import Answer, page_of, page_of_series, range_of
from .parameters import LABEL, WHERE, Mistake, Parameters
from .parts import SPLIT, listed, load_of, parts_of, series_of
from .prometheus import Unavailable, latest


def answered(data: Answer, status: int = 200) -> HttpResponse:
    return HttpResponse(inert_json(data), content_type="application/json", status=status)


def respond_json(status: int, message: str) -> HttpResponse:
    return answered({"error": message}, status)


def respond_text(status: int, message: str) -> HttpResponse:
    return HttpResponse(f"{message}\n", content_type="text/plain; charset=utf-8", status=status)


def json_view(answer: Callable[..., Answer]) -> View:
    """Make a view of a function that returns data or raises Mistake."""

    @require_read_access(respond_json)
    @wraps(answer)
    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return answered(answer(request, *args, **kwargs))
        except Mistake as mistake:
            return respond_json(mistake.status, str(mistake))

    return view


@json_view
def list_metrics(request: HttpRequest, **kwargs: Any) -> Answer:
    """List metrics by slug; `search`, `kind` and `set` filter them."""
    parameters = Parameters(request, "search", "kind", "set", "page", "per_page")
    Metric.objects.discover()
    metrics = _chosen(parameters)
    count = metrics.count()
    page = page_of(request, parameters, count)
    results = [
        {
            **_described(metric),
            "series": request.build_absolute_uri(f"{metric.slug}/series/"),
            "totals": request.build_absolute_uri(f"{metric.slug}/totals/"),
        }
        for metric in metrics.order_by("slug")[page.first : page.end]
    ]
    return {"count": count, **page.links, "results": results}


@json_view
def show_series(request: HttpRequest, slug: str, **kwargs: Any) -> Answer:
    """Show a metric period by period; `label.NAME` selects one label set, `where.NAME` filters, `split` groups them."""
    parameters = Parameters(request, "period", "start", "end", "page", "per_page", SPLIT, prefixes=(LABEL, WHERE))
    period, labels = Period(parameters.choice("period", PERIODS, DAY)), parameters.labels()
    start, end = range_of(parameters, period)
    first = start_of(period, start)
    parts = parts_of(parameters)
    metric, complete = _metric(slug), is_complete()
    parts.check(metric)
    is_split = parts.split is not None
    load = load_of([slug], labels, is_apart=is_split or metric.kind in SKETCHED)
    page = page_of_series(request, parameters, period, start, end, load, is_split=is_split)
    start_of_page, last = (period.shift(first, number) for number in (page.first, page.end - 1))
    series = series_of(metric, period, start_of_page, last, labels, parts)
    points = series.mapped(partial(_listed, metric.kind))
    annotations = beside(metric, Annotation.objects).within(start_of_page, period.last_day(last)).latest_of([metric])
    return {
        **_described(metric),
        "period": period,
        "labels": labels,
        **parts._asdict(),
        "start": start.isoformat(),
        "end": end.isoformat(),
        "complete": complete and is_complete(),
        **page.links,
        "results": points.whole,
        "groups": _groups(points) if is_split else None,
        "overflow": points.overflow or None,
        "annotations": [each.as_data(period) for each in annotations],
    }


@json_view
def show_totals(request: HttpRequest, slug: str, **kwargs: Any) -> Answer:
    """Show one period of a metric, as a whole and by label set; `where.NAME` filters them, `split` groups them."""
    parameters = Parameters(request, "period", "date", "page", "per_page", SPLIT, prefixes=(WHERE,))
    piece = _piece(parameters, Period(parameters.choice("period", PERIODS, DAY)))
    parts = parts_of(parameters)
    metric, complete = _metric(slug), is_complete()
    parts.check(metric)
    found = listed(fold(QuerySources.of([metric]), {piece: [piece]}, sketches=metric.kind in MEASURED), parts)
    page = page_of(request, parameters, len(found.results))
    return {
        **_described(metric),
        "period": piece[0],
        **parts._asdict(),
        "start": starts_at(*piece).isoformat(),
        "summary": _summed(metric.kind, merge_all(found.whole)),
        "overflow": found.overflow and _summed(metric.kind, found.overflow),
        "count": len(found.results),
        "complete": complete and is_complete(),
        **page.links,
        "results": [
            {"labels": labels, **_summed(metric.kind, summary)}
            for labels, summary in found.results[page.first : page.end]
        ],
    }


@json_view
def show_description(request: HttpRequest, **kwargs: Any) -> Answer:
    """Describe this API in OpenAPI."""
    Parameters(request)
    return description(request.build_absolute_uri("./"))


@require_read_access(respond_text)
def prometheus(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Show all-time totals to Prometheus."""
    complete = is_complete()
    try:
        content, content_type = latest(request.headers.get("Accept", ""))
    except Unavailable:
        message = (
            'prometheus_client is not installed: run `pip install prometheus_client`, or add the extra "prometheus".'
        )
        return respond_text(501, message)
    if not (complete and is_complete()):
        # Incomplete totals may be lower. Prometheus takes a counter that falls for one that restarted at 0, and would
        # then count all of its next value as new.
        message = "Some pending batches could not be read, so totals would be incomplete; the log says why."
        return respond_text(503, message)
    return HttpResponse(content, content_type=content_type)


def _chosen(parameters: Parameters) -> QuerySet[Metric]:
    metrics: QuerySet[Metric] = Metric.objects.all()
    if search := parameters.text("search"):
        # MariaDB compares slugs exactly, so the search would depend on their case there.
        texts = metrics.alias(text=unicode_text("name"), lowered=Lower("slug"))
        metrics = texts.filter(Q(text__icontains=search) | Q(lowered__contains=search.lower()))
    if kind := parameters.choice("kind", KINDS, ""):
        metrics = metrics.filter(kind=kind)
    if name := parameters.text("set"):
        metrics = metrics.filter(sets=_metric_set(name))
    return metrics


def _metric_set(name: str) -> MetricSet:
    found: MetricSet | None = MetricSet.objects.alias(text=unicode_text("name")).filter(text=name).first()
    if found is None:
        known = list(MetricSet.objects.values_list("name", flat=True))
        hint = suggest(name[:100], known) if known else "There are no metric sets yet."
        raise Mistake(f"There is no metric set {name!r:.100}. {hint}")
    return found


def _metric(slug: str) -> Metric:
    try:
        metric: Metric = Metric.objects.get(slug=check_slug(slug))
    except (Metric.DoesNotExist, ValueError) as error:
        raise Mistake(f"There is no metric {slug!r:.100}.", 404) from error
    return metric


def _described(metric: Metric) -> Answer:
    return {name: getattr(metric, name) for name in ("slug", "name", "kind", "unit", "description")}


def _piece(parameters: Parameters, period: Period) -> Piece:
    """Return the period that contains `date`, by default the current one."""
    return period, *locate(period, parameters.moment("date") if period == HOUR else parameters.day("date"))


def _summed(kind: str, summary: Summary | None) -> Answer:
    return _numbers(kind, point_of(today(), summary), percentiles_of(summary) if kind in MEASURED else {})


def _groups(series: SplitSeries[Answer]) -> list[Answer]:
    return [{"value": value, "results": points} for value, points in series.groups.items()]


def _listed(kind: str, points: Sequence[MeasuredPoint]) -> list[Answer]:
    return [{"start": each.point.start.isoformat(), **_numbers(kind, *each)} for each in points]


def _numbers(kind: str, point: Point, percentiles: Percentiles) -> Answer:
    """Return a point's fields, headline and what its kind adds; decimals as text, which JSON readers do not round."""
    values = ((field, getattr(point, field.name)) for field in SHOWN)
    numbers = {field.name: _text(value) if field.holds == NUMBER else value for field, value in values}
    value = point_headline(kind, point)
    more: Answer = {}
    if percentiles:
        more["percentiles"] = {f"p{percent}": _text(number) for percent, number in percentiles.items()}
    if kind == UNIQUE:
        error = point.uniques.error if point.uniques else 0
        more["standard_error"] = None if value is None else plain(error)
    return {**numbers, "value": _text(value), **more}


def _text(number: Number | None) -> str | None:
    return None if number is None else plain(number)
