"""The ratios of the settings in the JSON API."""

from typing import Any

from django.http import HttpRequest

from ..core.calendar import start_of
from ..core.numbers import plain
from ..core.periods import DAY, PERIODS, Period
from ..models.pending import is_complete
from ..ratios.declared import NUMBER, PERCENT, Ratio, ratios
from ..ratios.operands import Operand
from ..ratios.quotients import Quotient
from .paging import Answer, Load, page_of, page_of_series, range_of
from .parameters import Mistake, Parameters
from .parts import load_of
from .views import json_view


@json_view
def list_ratios(request: HttpRequest, **kwargs: Any) -> Answer:
    """List ratios by slug."""
    parameters = Parameters(request, "page", "per_page")
    found = [ratio for _, ratio in sorted(ratios().items())]
    page = page_of(request, parameters, len(found))
    results = [
        {**_described(ratio), "series": request.build_absolute_uri(f"{ratio.slug}/series/")}
        for ratio in found[page.first : page.end]
    ]
    return {"count": len(found), **page.links, "results": results}


@json_view
def show_ratio_series(request: HttpRequest, slug: str, **kwargs: Any) -> Answer:
    """Show a ratio period by period, with its numerator and its denominator."""
    parameters = Parameters(request, "period", "start", "end", "page", "per_page")
    period = Period(parameters.choice("period", PERIODS, DAY))
    start, end = range_of(parameters, period)
    first = start_of(period, start)
    ratio, complete = _ratio(slug), is_complete()
    page = page_of_series(request, parameters, period, start, end, _load(ratio))
    points = ratio.series(period, period.shift(first, page.first), period.shift(first, page.end - 1))
    return {
        **_described(ratio),
        "period": period,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "complete": complete and is_complete(),
        **page.links,
        "results": [{"start": point.start.isoformat(), **_numbers(point.quotient)} for point in points],
    }


def _load(ratio: Ratio) -> Load:
    operands = (ratio.of, ratio.to)
    return load_of({each.slug for each in operands}, None, is_apart=any(each.reads_label_sets for each in operands))


def _ratio(slug: str) -> Ratio:
    if slug not in ratios():
        raise Mistake(f"There is no ratio {slug!r:.100}.", 404)
    return ratios()[slug]


def _described(ratio: Ratio) -> Answer:
    return {
        "slug": ratio.slug,
        "of": _operand(ratio.of),
        "to": _operand(ratio.to),
        "as": PERCENT if ratio.is_percent else NUMBER,
        "unit": ratio.unit,
    }


def _operand(operand: Operand) -> Answer:
    labels, days = dict(operand.labels), operand.days or None
    return {"slug": operand.slug, "labels": labels, "field": operand.field, "days": days}


def _numbers(quotient: Quotient) -> Answer:
    numbers = {"numerator": quotient.numerator, "denominator": quotient.denominator, "value": quotient.value}
    return {name: None if number is None else plain(number) for name, number in numbers.items()}
