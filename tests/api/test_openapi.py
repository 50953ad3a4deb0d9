"""The description of the JSON API is valid, complete, and right about every answer."""

import re
from datetime import UTC, datetime
from unittest.mock import MagicMock

import pytest
from django.core.wsgi import get_wsgi_application
from django.urls import resolve
from hypothesis import given
from hypothesis import strategies as st

from app_metrics import distribution, gauge, metric, unique, urls
from app_metrics.adoption.missing_tables import MissingTables
from app_metrics.models.creation import create_annotation, create_metric
from app_metrics.recording.metrics import record
from tests.api.test_views import GOOD, HASH, WRONG

pytestmark = [pytest.mark.urls("tests.support.api_urls"), pytest.mark.django_db]

ADDRESS = "/stats/api/openapi.json"
AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
# An address, and the schema of its answer.
ANSWERS = [
    ("/metrics/", "MetricList"),
    ("/metrics/?per_page=1&page=2&search=e&kind=gauge", "Error"),
    ("/metrics/?per_page=1", "MetricList"),
    ("/metrics/orders/series/", "Series"),
    ("/metrics/orders/series/?period=hour&start=2026-11-23&end=2026-11-23", "Series"),
    ("/metrics/orders/series/?start=2026-11-23&end=2026-11-24&label.plan=pro", "Series"),
    ("/metrics/orders/series/?start=2026-11-23&end=2026-11-24&where.plan=pro&split=plan", "Series"),
    ("/metrics/orders/totals/?date=2026-11-23&where.plan=pro&split=plan", "Totals"),
    ("/metrics/orders/totals/?date=2026-11-23&split=city", "Error"),
    ("/metrics/queue/series/?period=year&start=2000-01-01", "Series"),
    ("/metrics/orders/totals/?date=2026-11-23", "Totals"),
    ("/metrics/orders/totals/?period=hour&date=2026-11-23T09:00", "Totals"),
    ("/metrics/queue/totals/?period=month&date=2000-01-01", "Totals"),
    ("/metrics/export/series/?start=2026-11-22&end=2026-11-23", "Series"),
    ("/metrics/export/totals/?date=2026-11-23", "Totals"),
    ("/metrics/export/totals/?date=2000-01-01", "Totals"),
    ("/metrics/value/series/?start=2026-11-22&end=2026-11-23", "Series"),
    ("/metrics/users/series/", "Series"),
    ("/metrics/users/totals/", "Totals"),
    ("/metrics/missing/totals/", "Error"),
    ("/ratios/", "RatioList"),
    ("/ratios/price/series/?period=hour&start=2026-11-23&end=2026-11-23", "RatioSeries"),
    ("/ratios/share/series/?start=2026-11-23&end=2026-11-24", "RatioSeries"),
    ("/ratios/slowness/series/?start=2026-11-22&end=2026-11-23", "RatioSeries"),
    ("/ratios/stickiness/series/?start=2026-11-22&end=2026-11-23", "RatioSeries"),
    ("/ratios/stickiness/series/?period=hour&start=2026-11-23&end=2026-11-23", "RatioSeries"),
    ("/ratios/missing/series/", "Error"),
    ("/metrics/?kind=clock", "Error"),
]


@pytest.fixture(autouse=True)
def _recorded(settings):
    settings.APP_METRICS_API_TOKENS = [HASH]
    settings.APP_METRICS_RATIOS = {
        "price": {"of": "orders", "to": {"slug": "orders", "field": "count"}, "unit": "EUR"},
        "share": {"of": {"slug": "orders", "labels": {"plan": "pro"}}, "to": "orders", "as": "percent"},
        "stickiness": {
            "of": {"slug": "users", "field": "unique", "days": 1},
            "to": {"slug": "users", "field": "unique", "days": 30},
        },
        "slowness": {"of": {"slug": "export", "field": "p95"}, "to": {"slug": "export", "field": "p50"}},
    }
    create_metric("Orders", unit="EUR", description="What was paid")
    metric("orders", 5, labels={"plan": "pro"}, at=AT)
    metric("orders", -2, at=AT)
    gauge("queue", 1.5)
    record("export", "timer", 0.5, at=AT)
    distribution("value", 20, labels={"plan": "pro"}, at=AT)
    unique("users", 1)
    create_annotation("Release 4.2", AT, "https://example.com/4.2")
    create_annotation("Release 4.3", AT)


@pytest.fixture
def described(client):
    return client.get(ADDRESS, headers=GOOD).json()


@pytest.fixture
def conforms(described):
    """A function that checks data against a schema of the description."""
    jsonschema = pytest.importorskip("jsonschema", reason="openapi-spec-validator is not installed")

    def check(data, name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        kind = jsonschema.Draft202012Validator
        kind(schema, format_checker=kind.FORMAT_CHECKER).validate(data)

    return check


def test_the_description_is_valid(described):
    validator = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator is not installed")
    validator.validate(described)


def test_the_percentiles_of_timers_and_distributions_are_described(client, described):
    described = described["components"]["schemas"]
    for slug, fields in (("export", True), ("value", True), ("orders", False)):
        series = client.get(f"/stats/api/metrics/{slug}/series/?start=2026-11-23&end=2026-11-23", headers=GOOD).json()
        totals = client.get(f"/stats/api/metrics/{slug}/totals/?date=2026-11-23", headers=GOOD).json()
        for found, schema in (
            (series["results"][0], "Point"), (totals["summary"], "Numbers"), (totals["results"][0], "LabelSet")
        ):  # fmt: skip
            assert ("percentiles" in found) is fields
            assert "percentiles" in described[schema]["properties"]
            if fields:
                assert list(found["percentiles"]) == described["Percentiles"]["required"]


@pytest.mark.parametrize(("address", "schema"), ANSWERS)
def test_an_answer_is_as_described(address, schema, client, conforms):
    conforms(client.get(f"/stats/api{address}", headers=GOOD).json(), schema)


def test_a_refusal_is_as_described(client, described, conforms):
    for address in described["paths"]:
        path = "/stats/api" + address.replace("{slug}", "orders")
        conforms(client.get(path, headers=WRONG).json(), "Error")
        conforms(client.post(path, headers=GOOD).json(), "Error")


def test_the_answer_before_migrate_is_as_described(client, conforms, monkeypatch):
    monkeypatch.setattr("app_metrics.api.access.curing", MagicMock(side_effect=MissingTables("Run manage.py migrate.")))
    answer = client.get("/stats/api/metrics/", headers=GOOD)
    assert answer.status_code == 503
    conforms(answer.json(), "Error")


def test_every_view_of_the_api_is_described(described):
    views = {resolve("/stats/api" + path.replace("{slug}", "orders")).url_name for path in described["paths"]}
    assert views == {each.name for each in urls.urlpatterns if each.name.startswith("api-")} - {"api-openapi"}


def test_the_views_take_the_described_parameters_and_no_other(client, described):
    for path, methods in described["paths"].items():
        answer = client.get("/stats/api" + path.replace("{slug}", "orders"), {"?": ""}, headers=GOOD).json()
        known = set(re.search(r"Choose one of (.+)\.$", answer["error"])[1].split(", "))
        named = {each["name"] for each in methods["get"]["parameters"] if each["in"] == "query"}
        names = {"labels": "label.NAME", "where": "where.NAME"}
        assert {names.get(each, each) for each in named} == known


def test_the_server_is_where_the_site_has_the_api(client):
    answer = client.get(ADDRESS, headers={**GOOD, "host": "example.com"}, secure=True).json()
    assert answer["servers"] == [{"url": "https://example.com/stats/api/"}]


def test_the_description_needs_the_same_access_as_the_numbers(client):
    assert client.get(ADDRESS, headers=WRONG).status_code == 403
    assert client.get(ADDRESS, {"version": "1"}, headers=GOOD).status_code == 400


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)  # each request closes its connection
@pytest.mark.parametrize("number", range(5))
def test_any_request_gets_a_described_answer(number, settings):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    settings.ALLOWED_HOSTS = ["*"]
    token = {"Authorization": GOOD["authorization"]}  # as schemathesis spells it, to ask without it, too
    schema = schemathesis.openapi.from_wsgi(ADDRESS, get_wsgi_application(), headers=token)
    operation = list(schema.get_all_operations())[number].ok()

    @given(case=operation.as_strategy(), is_known=st.booleans())
    def ask(case, is_known):
        if is_known and case.path_parameters:
            case.path_parameters["slug"] = "price" if "ratios" in case.path else "orders"
        # What is well-formed may still be refused, such as an end before the start.
        case.call_and_validate(headers=token, excluded_checks=[schemathesis.checks.positive_data_acceptance])

    ask()
