"""The description of the JSON API in OpenAPI 3.1, made from the lists that the API itself follows."""

from typing import Any

from ..conf import settings
from ..core.periods import PERIODS
from ..core.summary import COUNT, KINDS, SHOWN
from ..core.validation import MAX_SLUG_LENGTH
from ..models.percentiles import PERCENTS
from ..ratios.declared import FORMS
from ..ratios.operands import FIELDS
from .parameters import DEFAULT_RESULTS, LABEL, MAX_RESULTS, MAX_TEXT, WHERE

Schema = dict[str, Any]

VERSION = "1.0"
TEXT: Schema = {"type": "string"}
COUNT_OF: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {
    "type": "string",
    "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
    "description": "A decimal, exact to nine places.",
}
NO_NUMBER: Schema = {**NUMBER, "type": ["string", "null"], "description": "A decimal; null if nothing was recorded."}
ADDRESS: Schema = {"type": "string", "format": "uri"}
NO_ADDRESS: Schema = {**ADDRESS, "type": ["string", "null"]}
DATE: Schema = {"type": "string", "format": "date"}
TIME: Schema = {"type": "string", "format": "date-time"}
START: Schema = {"anyOf": [DATE, TIME], "description": "A date; for hours a time with its offset."}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
NO_LABELS: Schema = {**LABELS, "type": ["object", "null"]}
NO_RATIO: Schema = {**NO_NUMBER, "description": "A decimal; null if the denominator is zero, or an operand unknown."}
NO_PERCENTILE: Schema = {**NO_NUMBER, "description": "A decimal, within 1.1 % of the exact one; null if it is unknown."}
OPERAND: Schema = {
    **NO_NUMBER,
    "description": "A decimal; null if a percentile or unique count is unknown, or if it has days and is read by hour.",
}
FORM: Schema = {"type": "string", "enum": list(FORMS)}
FIELD: Schema = {"type": "string", "enum": list(FIELDS)}
DAYS: Schema = {
    "type": ["integer", "null"],
    "minimum": 1,
    "description": "How many days are read, which end with the last one of the period; null for the period itself.",
}
KIND: Schema = {"type": "string", "enum": list(KINDS)}
PERIOD: Schema = {"type": "string", "enum": list(PERIODS)}
ERRORS = {
    "400": "A parameter is unknown, given twice, or has a bad value.",
    "403": "Not allowed to read; the same for metrics that exist and others.",
    "404": "There is no such metric or ratio, or no such page.",
    "405": "Neither GET nor HEAD.",
    "503": "The database lacks tables.",
}


def description(address: str) -> Schema:
    """Return the description of the API at an address."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Metrics", "version": VERSION, "description": "The numbers of a site's metrics, read-only."},
        "servers": [{"url": address}],
        "security": [{"token": []}, {"session": []}],
        "paths": {path: {"get": operation} for path, operation in _operations().items()},
        "components": {"schemas": _schemas(), "securitySchemes": _security(), "responses": _errors()},
    }


def _operations() -> dict[str, Schema]:
    return {
        "/metrics/": _operation(
            "listMetrics",
            "List the metrics by slug.",
            "MetricList",
            _query("search", {**TEXT, "maxLength": MAX_TEXT}, "A part of the name or slug."),
            _query("kind", KIND, "Only metrics of this kind."),
            _query("set", {**TEXT, "maxLength": MAX_TEXT}, "The name of a metric set."),
            *_paging(),
        ),
        "/metrics/{slug}/series/": _operation(
            "showSeries",
            "Show a metric period by period, with a point for each, even if nothing was recorded in it.",
            "Series",
            _slug("metric"),
            *_range(),
            _labels("labels", LABEL, "One label set: its labels. Without any, all label sets together."),
            *_parts(),
        ),
        "/metrics/{slug}/totals/": _operation(
            "showTotals",
            "Show one period of a metric, as a whole and by label set.",
            "Totals",
            _slug("metric"),
            _query("period", {**PERIOD, "default": "day"}, "The period."),
            _query("date", TEXT, "A date in the period, today by default; for hours a time, such as 2026-11-23T09:00."),
            *_parts(),
            *_paging(),
        ),
        "/ratios/": _operation("listRatios", "List the ratios by slug.", "RatioList", *_paging()),
        "/ratios/{slug}/series/": _operation(
            "showRatioSeries",
            "Show a ratio period by period, with its numerator and its denominator.",
            "RatioSeries",
            _slug("ratio"),
            *_range(),
        ),
    }


def _operation(name: str, summary: str, answer: str, *parameters: Schema) -> Schema:
    content = {"application/json": {"schema": _ref("schemas", answer)}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "The numbers.", "content": content},
            **{status: _ref("responses", f"Error{status}") for status in ERRORS},
        },
    }


def _query(name: str, schema: Schema, text: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _slug(of: str) -> Schema:
    schema = {**TEXT, "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MAX_SLUG_LENGTH}
    return {"name": "slug", "in": "path", "required": True, "schema": schema, "description": f"The slug of the {of}."}


def _range() -> list[Schema]:
    return [
        _query("period", {**PERIOD, "default": "day"}, "The period of a point."),
        _query("start", DATE, "The first date; by default a recent one that depends on the period."),
        _query("end", DATE, "The last date, today by default."),
        _page(),
        _query(
            "per_page",
            {"type": "integer", "minimum": 1, "maximum": MAX_RESULTS},
            "Points of a page, for hours its dates. Both its default and its maximum are smaller with many label sets.",
        ),
    ]


def _labels(name: str, prefix: str, text: str) -> Schema:
    """Describe `label.NAME` or the like: parameters with unknown names come from the properties of an object."""
    names = {"pattern": f"^{prefix.replace('.', '[.]')}"}
    text = f"{text} Each is a parameter `{prefix}NAME`."
    return {
        **_query(name, {**LABELS, "propertyNames": names}, text),
        "style": "form",
        "explode": True,
        "example": {f"{prefix}plan": "pro"},
    }


def _parts() -> list[Schema]:
    text = "Labels that a label set must have, whatever others it has. Without any, all label sets."
    return [
        _labels("where", WHERE, text),
        _query(
            "split", {**TEXT, "maxLength": MAX_TEXT}, "The name of a label, by whose values label sets are grouped."
        ),
    ]


def _page() -> Schema:
    return _query("page", {"type": "integer", "minimum": 1, "default": 1}, "The number of the page.")


def _paging() -> list[Schema]:
    size = {"type": "integer", "minimum": 1, "maximum": MAX_RESULTS, "default": DEFAULT_RESULTS}
    return [_page(), _query("per_page", size, "Results of a page.")]


def _schemas() -> dict[str, Schema]:
    metric = {**dict.fromkeys(("slug", "name", "unit", "description"), TEXT), "kind": KIND}
    links = {"next": NO_ADDRESS, "previous": NO_ADDRESS}
    parts = {"where": NO_LABELS, "split": {"type": ["string", "null"]}}
    complete = {"type": "boolean", "description": "Whether all pending numbers could be read."}
    span = {"period": PERIOD, "start": DATE, "end": DATE, "complete": complete, **links}
    ratio = {"slug": TEXT, **dict.fromkeys(("of", "to"), _ref("schemas", "Operand")), "as": FORM, "unit": TEXT}
    return {
        "Error": _object(error=TEXT),
        "Numbers": _with_numbers(),
        "Percentiles": _object(**{f"p{percent}": NO_PERCENTILE for percent in PERCENTS}),
        "MetricList": _object(count=COUNT_OF, **links, results=_list("Metric")),
        "Metric": _object(**metric, series=ADDRESS, totals=ADDRESS),
        "Series": _object(
            **metric,
            **span,
            labels=NO_LABELS,
            **parts,
            results=_list("Point"),
            groups=_or_null(_list("Group")),
            overflow=_or_null(_list("Point")),
            annotations=_list("Annotation"),
        ),
        "Group": _object(value={"type": ["string", "null"]}, results=_list("Point")),
        "Point": _with_numbers(start=START),
        "Annotation": _object(at=TIME, start=START, text=TEXT, url=NO_ADDRESS),
        "Totals": _object(
            **metric,
            period=PERIOD,
            **parts,
            start=START,
            summary=_ref("schemas", "Numbers"),
            overflow=_or_null(_ref("schemas", "Numbers")),
            count=COUNT_OF,
            complete=complete,
            **links,
            results=_list("LabelSet"),
        ),
        "LabelSet": _with_numbers(labels=LABELS),
        "RatioList": _object(count=COUNT_OF, **links, results=_list("Ratio")),
        "Ratio": _object(**ratio, series=ADDRESS),
        "Operand": _object(slug=TEXT, labels=LABELS, field=FIELD, days=DAYS),
        "RatioSeries": _object(**ratio, **span, results=_list("Quotient")),
        "Quotient": _object(start=START, numerator=OPERAND, denominator=OPERAND, value=NO_RATIO),
    }


def _with_numbers(**properties: Schema) -> Schema:
    """Describe an object with the fields of a summary, its headline, and what only some kinds have.

    A total is 0 if nothing was recorded.
    """
    numbers = {field.name: COUNT_OF if field.holds == COUNT else NO_NUMBER for field in SHOWN}
    headline = (
        "The number to show: a counter's total, a gauge's last value, how many different values, otherwise the mean;"
        " a timer's is in seconds."
    )
    error = (
        "Only of unique counts: how far `value` may be from the truth, such as 0.0162; 0 if it is exact, null if it is"
        " unknown."
    )
    described = _object(**properties, **{**numbers, "total": NUMBER, "value": {**NO_NUMBER, "description": headline}})
    described["properties"]["percentiles"] = {
        **_ref("schemas", "Percentiles"),
        "description": "Only of timers and distributions.",
    }
    described["properties"]["standard_error"] = {**NO_NUMBER, "description": error}
    return described


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref("schemas", name)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(part: str, name: str) -> Schema:
    return {"$ref": f"#/components/{part}/{name}"}


def _errors() -> dict[str, Schema]:
    content = {"application/json": {"schema": _ref("schemas", "Error")}}
    return {f"Error{status}": {"description": text, "content": content} for status, text in ERRORS.items()}


def _security() -> dict[str, Schema]:
    session = {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
    return {"token": {"type": "http", "scheme": "bearer"}, "session": session}
