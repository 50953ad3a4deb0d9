"""Ratios in the JSON API, and as gauges for Prometheus."""

from datetime import datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time
from prometheus_client.parser import text_string_to_metric_families

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.api import parts
from app_metrics.api.prometheus import latest
from app_metrics.models import Total

pytestmark = pytest.mark.urls("tests.support.api_urls")

NOON = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Berlin"))
LIST, SERIES = "/stats/api/ratios/", "/stats/api/ratios/conversion/series/"
RATIOS = {
    "error_rate": {"of": {"slug": "requests", "labels": {"status": "5xx"}}, "to": "requests"},
    "conversion": {"of": "checkouts", "to": "visits", "as": "percent"},
}
DESCRIBED = {
    "slug": "conversion",
    "of": {"slug": "checkouts", "labels": {}, "field": "total", "days": None},
    "to": {"slug": "visits", "labels": {}, "field": "total", "days": None},
    "as": "percent",
    "unit": "%",
}


@pytest.fixture
def site(database, settings):
    settings.APP_METRICS_API_TOKENS = [sha256(b"secret").hexdigest()]
    settings.APP_METRICS_RATIOS = RATIOS
    with freeze_time(NOON):
        for slug, number, days in (("checkouts", 1, 0), ("visits", 40, 0), ("visits", 10, 1)):
            metric(slug, number, at=NOON - timedelta(days=days))
        yield database


@pytest.fixture
def get(client):
    def read(address, status=200, **parameters):
        response = client.get(address, parameters, headers={"authorization": "Bearer secret"})
        assert response.status_code == status, response.content
        return response.json()

    return read


def test_the_list_says_what_each_ratio_divides(site, get):
    answer = get(LIST)
    assert (answer["count"], answer["next"]) == (2, None)
    conversion, error_rate = answer["results"]
    assert conversion == {**DESCRIBED, "series": f"http://testserver{SERIES}"}
    assert error_rate["of"] == {"slug": "requests", "labels": {"status": "5xx"}, "field": "total", "days": None}
    assert (error_rate["as"], error_rate["unit"]) == ("number", "")
    assert [each["slug"] for each in get(LIST, page=2, per_page=1)["results"]] == ["error_rate"]


def test_a_series_has_numerator_denominator_and_value_of_each_period(site, get):
    answer = get(SERIES, start="2026-11-21", end="2026-11-23")
    results = answer.pop("results")
    assert answer == {
        **DESCRIBED, "period": "day", "start": "2026-11-21", "end": "2026-11-23", "complete": True, "next": None,
        "previous": None,
    }  # fmt: skip
    assert results == [
        {"start": "2026-11-21", "numerator": "0", "denominator": "0", "value": None},
        {"start": "2026-11-22", "numerator": "0", "denominator": "10", "value": "0"},
        {"start": "2026-11-23", "numerator": "1", "denominator": "40", "value": "2.5"},
    ]
    [month] = get(SERIES, period="month", start="2026-11-01", end="2026-11-30")["results"]
    assert month["value"] == "2"


def test_a_series_has_pages(site, get):
    answer = get(SERIES, start="2020-01-01", end="2026-11-23", page=3)
    assert (len(answer["results"]), answer["next"]) == (519, None)
    assert len(get(SERIES, period="hour", start="2026-11-23", end="2026-11-23")["results"]) == 24


@pytest.mark.parametrize(
    ("address", "parameters", "status", "error"),
    [
        (SERIES.replace("conversion", "convertion"), {}, 404, "There is no ratio 'convertion'."),
        (SERIES, {"label.plan": "pro"}, 400, "There is no parameter 'label.plan'."),
        (SERIES, {"period": "decade"}, 400, "`period` is 'decade'."),
        (LIST, {"search": "a"}, 400, "There is no parameter 'search'."),
    ],
)
def test_a_mistake_gets_an_error(site, get, address, parameters, status, error):
    assert get(address, status, **parameters)["error"].startswith(error)


def test_others_may_not_read_and_do_not_learn_which_ratios_exist(site, client):
    answers = [client.get(each) for each in (LIST, SERIES, SERIES.replace("conversion", "missing"))]
    assert [each.status_code for each in answers] == [403] * 3
    assert len({each.content for each in answers}) == 1


def samples():
    families = list(text_string_to_metric_families(latest("")[0].decode()))
    return families, {
        (each.name, each.labels.get("period")): each.value for family in families for each in family.samples
    }


def test_prometheus_gets_a_gauge_between_0_and_1_for_each_current_period(site):
    families, found = samples()
    [family] = [each for each in families if each.name == "conversion_ratio"]
    assert (family.type, family.documentation) == (
        "gauge", "conversion: checkouts divided by visits, in the current period"
    )  # fmt: skip
    assert [found["conversion_ratio", period] for period in ("day", "week", "month", "year")] == [
        0.025, 0.025, 0.02, 0.02,
    ]  # fmt: skip


def test_a_ratio_without_a_denominator_has_no_sample(site):
    assert not any(name.startswith("error_rate") for name, _ in samples()[1])


def test_a_ratio_whose_name_a_metric_takes_in_prometheus_gets_a_number(site):
    metric("conversion-ratio")
    aggregate()
    metric("conversion_ratio")
    found = samples()[1]
    assert found["conversion_ratio_total", None] == found["conversion_ratio_2_total", None] == 1
    assert found["conversion_ratio_3", "day"] == 0.025


def test_a_scrape_needs_no_more_queries_for_many_ratios(site, settings):
    def queries(declared):
        settings.APP_METRICS_RATIOS = declared
        with CaptureQueriesContext(connections[site]) as captured:
            latest("")
        return len(captured)

    latest("")
    many = {f"ratio_{number}": {"of": "checkouts", "to": f"metric_{number}"} for number in range(20)}
    assert queries(many) == queries({"conversion": RATIOS["conversion"]}) == queries({}) + 1


def test_numbers_of_days_are_described_and_those_of_hours_are_null(site, settings, get):
    to = {"slug": "visits", "days": 2}
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts", "to": to, "as": "percent"}}
    answer = get(SERIES, start="2026-11-22", end="2026-11-23")
    assert (answer["of"]["days"], answer["to"]["days"]) == (None, 2)
    assert answer["results"] == [
        {"start": "2026-11-22", "numerator": "0", "denominator": "10", "value": "0"},
        {"start": "2026-11-23", "numerator": "1", "denominator": "50", "value": "2"},
    ]
    hour = get(SERIES, period="hour", start="2026-11-23", end="2026-11-23")["results"][12]
    assert (hour["numerator"], hour["denominator"], hour["value"]) == ("1", None, None)


def test_prometheus_gets_the_days_up_to_today(site, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts", "to": {"slug": "visits", "days": 2}}}
    text = latest("")[0].decode()
    assert 'conversion_ratio{period="day"} 0.02' in text
    assert "conversion: checkouts divided by visits (2 days), in the current period" in text


def test_a_page_of_a_ratio_of_many_label_sets_has_fewer_points(site, get, monkeypatch):
    monkeypatch.setattr(parts, "MOST_APART", 20)
    for number in range(10):
        metric("requests", labels={"status": "500", "path": str(number)})
    aggregate()
    label_sets = Total.objects.filter(metric__slug="requests", period="year").values("labels").distinct().count()
    answer = get(SERIES.replace("conversion", "error_rate"))
    assert len(answer["results"]) == 20 // label_sets
    assert f"per_page={20 // label_sets}" in answer["next"]
