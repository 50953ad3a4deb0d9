"""Ratios are read from the numerator and the denominator of each period."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, gauge, metric, timing
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY, PERIODS, WHOLE_DAYS
from app_metrics.models import Metric
from app_metrics.ratios import Quotient, UnknownRatio, get_ratio
from app_metrics.ratios.declared import ratios
from app_metrics.ratios.quotients import quotients

# A Monday.
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
ERRORS = {"of": {"slug": "requests", "labels": {"status": "5xx"}}, "to": "requests", "as": "percent"}
RATIOS = {
    "conversion": {"of": "checkouts", "to": "visits", "as": "percent"},
    "average_order": {"of": "revenue", "to": "checkouts", "unit": "EUR"},
    "error_rate": ERRORS,
    "mean_load": {"of": "load", "to": {"slug": "load", "field": "count"}},
}


@pytest.fixture
def now():
    with freeze_time(NOW):
        yield NOW


@pytest.fixture
def declared(settings):
    settings.APP_METRICS_RATIOS = RATIOS


@pytest.fixture
def site(database, now, declared):
    return database


def record(slug, number, days=0, **labels):
    metric(slug, number, labels=labels or None, at=NOW - timedelta(days=days))


def counted():
    """Record a quiet day with many checkouts and a busy day with few."""
    with collect():
        for days, checkouts, visits in ((1, 5, 10), (8, 1, 100)):
            record("checkouts", checkouts, days)
            record("visits", visits, days)
            record("revenue", Decimal("12.50") * checkouts, days)


@pytest.mark.every_database
def test_a_ratio_of_a_long_period_divides_its_sums_and_is_no_mean_of_ratios(site):
    counted()
    conversion = get_ratio("conversion")
    assert conversion.quotient("day", NOW.date() - timedelta(days=1)) == Quotient(5, 10, 100)
    for _ in range(2):
        month = conversion.quotient("month")
        assert (month, month.value) == (Quotient(6, 110, 100), Decimal("5.454545455"))
        aggregate()


def test_pending_events_count_beside_totals(site):
    counted()
    aggregate()
    record("checkouts", 1)
    record("visits", 4)
    assert get_ratio("conversion").quotient("day") == Quotient(1, 4, 100)
    assert get_ratio("conversion").quotient("month") == Quotient(7, 114, 100)


def test_a_zero_denominator_has_no_value_and_a_zero_numerator_is_zero(site):
    assert get_ratio("conversion").quotient("day").value is None
    record("checkouts", 1)
    assert get_ratio("conversion").quotient("day") == Quotient(1, 0, 100)
    assert get_ratio("conversion").quotient("day").value is None
    record("visits", 3)
    record("checkouts", -1)
    assert get_ratio("conversion").quotient("day").value == 0


def test_labels_select_every_label_set_that_has_them(site):
    with collect():
        record("requests", 90, status="2xx", page="home")
        record("requests", 6, status="5xx", page="home")
        record("requests", 3, status="5xx", page="cart")
        record("requests", 1)
    for _ in range(2):
        assert get_ratio("error_rate").quotient("day") == Quotient(9, 100, 100)
        aggregate()


def test_fields_are_the_number_of_events_and_their_total(site):
    gauge("load", 2)
    gauge("load", 7)
    assert get_ratio("mean_load").quotient("day").value == Decimal("4.5")


def test_a_timer_is_divided_in_seconds(database, now, settings):
    settings.APP_METRICS_RATIOS = {"per_run": {"of": "imports", "to": {"slug": "imports", "field": "count"}}}
    with timing("imports"):
        pass
    assert get_ratio("per_run").quotient("day").value == Metric.objects.get(slug="imports").summary("day").total


def test_a_series_has_a_point_for_each_period(site):
    counted()
    start, end = date(2026, 11, 13), date(2026, 11, 23)
    points = get_ratio("conversion").series("week", start, end)
    assert [(point.start, point.quotient.value) for point in points] == [
        (date(2026, 11, 9), Decimal(1)),
        (date(2026, 11, 16), Decimal(50)),
        (date(2026, 11, 23), None),
    ]
    assert len(get_ratio("conversion").series("hour", end, end)) == 24


def test_every_period_is_read(site):
    record("checkouts", 1)
    record("visits", 2)
    aggregate()
    for period in PERIODS:
        moment = NOW if period == "hour" else None
        assert get_ratio("conversion").quotient(period, moment).value == 50


def test_the_sums_stay_exact_and_the_value_is_rounded_to_nine_places(site):
    record("revenue", Decimal("999999999999999999.999999999"))
    record("revenue", Decimal("0.000000001"))
    record("checkouts", 3)
    quotient = get_ratio("average_order").quotient("day")
    assert quotient.numerator == 10**18
    assert quotient.value == Decimal("333333333333333333.333333333")


def test_many_ratios_and_periods_need_as_many_queries_as_one(site, settings):
    """Those with labels add two: their metrics are read by label set, and pending labels have a cap."""

    def queries(declared):
        settings.APP_METRICS_RATIOS = declared
        spans = {period: [(period, period.start_of(NOW.date()), 0)] for period in WHOLE_DAYS}
        with CaptureQueriesContext(connections[site]) as captured:
            assert quotients(ratios().values(), spans)
        return len(captured)

    counted()
    record("requests", 1, status="5xx")
    plain = {f"ratio_{number}": {"of": f"metric_{number}", "to": "visits"} for number in range(20)}
    labelled = {
        f"rate_{number}": {"of": {"slug": "requests", "labels": {"status": str(number)}}, "to": "requests"}
        for number in range(20)
    }
    assert queries({"conversion": RATIOS["conversion"]}) == queries(plain) == 1
    assert queries({"error_rate": ERRORS}) == 2
    assert queries({**plain, **labelled}) == 3


def test_the_part_of_a_metric_never_exceeds_its_whole_while_an_aggregation_runs(site, monkeypatch):
    """Both come from one statement."""
    from app_metrics.ratios import quotients as module

    record("requests", 1, status="5xx")
    read = module.fold
    monkeypatch.setattr(module, "fold", lambda *given, **named: (aggregate(), read(*given, **named))[1])
    assert get_ratio("error_rate").quotient("day") == Quotient(1, 1, 100)


def test_a_ratio_that_is_not_declared_is_named_with_what_is_similar(declared):
    with pytest.raises(UnknownRatio, match=r"There is no ratio 'convertion'\. Did you mean 'conversion'\?"):
        get_ratio("convertion")


@pytest.mark.parametrize("name", [None, 1, ["conversion"]])
def test_what_is_no_name_is_unknown_as_well(settings, name):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts", "to": "visits"}}
    with pytest.raises(UnknownRatio, match=f"The name of a ratio is a str, not {re.escape(repr(name))}"):
        get_ratio(name)


def test_a_ratio_with_a_mistake_says_what_to_do(settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts"}}
    with pytest.raises(ImproperlyConfigured, match=r"APP_METRICS_RATIOS\['conversion'\] lacks 'to'. Write it like"):
        get_ratio("conversion")


def test_a_day_that_an_hour_needs_is_asked_for(site):
    with pytest.raises(ValueError, match="An hour needs a datetime"):
        get_ratio("conversion").quotient("hour", date(2026, 11, 23))
    with pytest.raises(ValueError, match="not a period"):
        get_ratio("conversion").quotient("decade")
    assert get_ratio("conversion").quotient(DAY) == Quotient(0, 0, 100)
