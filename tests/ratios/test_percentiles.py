"""Ratios of percentiles."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections
from django.template import engines
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.formatting import shown
from app_metrics.core.numbers import plain
from app_metrics.core.periods import DAY
from app_metrics.core.summary import percentile
from app_metrics.models import Metric, Total
from app_metrics.models.creation import create_metric
from app_metrics.ratios import Quotient, get_ratio
from app_metrics.ratios.changes import operand_title, shown_division
from app_metrics.ratios.declared import ratios
from app_metrics.ratios.quotients import quotients
from app_metrics.recording.metrics import record
from tests.support.summaries import measured

# A Monday.
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
SLOWNESS = {"of": {"slug": "checkout", "field": "p95"}, "to": {"slug": "checkout", "field": "p50"}}
RATIOS = {
    "slowness": SLOWNESS,
    "of_pro": {"of": {"slug": "checkout", "labels": {"plan": "pro"}, "field": "p90"}, "to": SLOWNESS["to"]},
    "for_each": {"of": {"slug": "checkout", "field": "p99"}, "to": "visits"},
}
FREE, PRO = list(range(1, 15)), list(range(20, 40))


@pytest.fixture
def site(database, settings):
    """Checkouts of two label sets on each of the last two days."""
    settings.APP_METRICS_RATIOS = RATIOS
    with freeze_time(NOW):
        create_metric(name="Checkout", slug="checkout", kind="timer")
        with collect():
            for days in range(2):
                for plan, numbers in (("free", FREE), ("pro", PRO)):
                    for number in numbers:
                        record("checkout", "timer", number * (days + 1), {"plan": plan}, NOW - timedelta(days=days))
        yield database


def expected(percent, *numbers):
    return percentile(measured(*numbers), percent)


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
def test_a_percentile_is_that_of_all_numbers_of_the_period(aggregated, site):
    if aggregated:
        aggregate()
    today = [*FREE, *PRO]
    both = [*today, *(2 * number for number in today)]
    assert get_ratio("slowness").quotient("day") == Quotient(expected(95, *today), expected(50, *today))
    assert get_ratio("slowness").quotient("month") == Quotient(expected(95, *both), expected(50, *both))


@pytest.mark.every_database
def test_labels_select_the_label_sets_whose_numbers_are_meant(site):
    aggregate()
    assert get_ratio("of_pro").quotient("day") == Quotient(expected(90, *PRO), expected(50, *FREE, *PRO))


def test_a_percentile_may_be_divided_by_a_sum(site):
    metric("visits", 13)
    assert get_ratio("for_each").quotient("day") == Quotient(39, 13)
    assert get_ratio("for_each").quotient("day").value == 3


def test_an_unknown_percentile_makes_no_ratio(site):
    aggregate()
    metric("visits", 10)
    Total.objects.update(histogram=None)
    assert get_ratio("slowness").quotient("day") == Quotient(None, None)
    assert get_ratio("slowness").quotient("day").value is None
    assert get_ratio("for_each").quotient("day") == Quotient(None, 10)
    assert get_ratio("for_each").quotient("day").value is None
    aggregate()
    Total.objects.all().delete()
    assert get_ratio("slowness").quotient("day") == Quotient(None, None)


def test_ratios_of_percentiles_need_one_query_and_others_read_no_histogram(site, settings):
    settings.APP_METRICS_RATIOS = {"slowness": SLOWNESS, "for_each": {"of": "checkout", "to": "visits"}}
    aggregate()
    for name, reads in (("slowness", True), ("for_each", False)):
        with CaptureQueriesContext(connections[site]) as queries:
            get_ratio(name).quotient("month")
        assert [("histogram" in query["sql"]) for query in queries] == [reads]


def test_a_ratio_of_percentiles_does_not_make_other_ratios_read_histograms(site, settings):
    settings.APP_METRICS_RATIOS = {"slowness": SLOWNESS, "conversion": {"of": "checkouts", "to": "visits"}}
    aggregate()
    with CaptureQueriesContext(connections[site]) as queries:
        quotients(list(ratios().values()), {"today": [(DAY, NOW.date(), 0)]})
    assert [("histogram" in query["sql"], "visits" in query["sql"]) for query in queries] == [
        (False, True),
        (True, False),
    ]


def test_an_operand_is_named_with_its_percentile_and_shown_in_the_unit_of_its_metric(site):
    metrics = {"checkout": Metric.objects.get()}
    ratio = get_ratio("of_pro")
    assert operand_title(ratio.of, metrics) == "Checkout (plan=pro, p90)"
    assert shown_division(ratio, Quotient(Decimal("0.25"), 2), metrics) == "250 ms ÷ 2 s".replace(
        " ", "\u00a0"
    ).replace("\u00a0÷\u00a0", " ÷ ")
    assert shown_division(ratio, Quotient(None, 2), metrics).startswith("– ÷ 2")


@pytest.mark.urls("tests.support.api_urls")
def test_every_reader_shows_a_known_and_an_unknown_percentile(site, client, capsys):
    aggregate()
    Total.objects.filter(start__lt=NOW.date()).update(histogram=None)
    of, to = (expected(percent, *FREE, *PRO) for percent in (95, 50))
    value = Quotient(of, to).value
    metric("visits", 10)
    template = engines["django"].from_string("{% load app_metrics %}{% metric_ratio name period=period %}")
    assert template.render({"name": "slowness", "period": "day"}) == shown(value)
    assert template.render({"name": "slowness", "period": "month"}) == "n/a"
    assert template.render({"name": "for_each", "period": "month"}) == "n/a"
    call_command("metrics_show", "slowness", "--last", "2")
    yesterday, today = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("2026-"))
    assert yesterday == ["2026-11-22", "n/a", "–", "–"]
    assert today == ["2026-11-23", shown(value), *shown(of, "timer").split(), *shown(to, "timer").split()]
    client.force_login(User.objects.create_superuser("ada"))
    days = {"start": "2026-11-22", "end": "2026-11-23"}
    answer = json.loads(client.get("/stats/api/ratios/slowness/series/", days).content)
    assert [list(each.values())[1:] for each in answer["results"]] == [
        [None, None, None], [plain(of), plain(to), plain(value)]
    ]  # fmt: skip


def test_the_page_of_a_ratio_has_the_percentiles_of_the_whole_range(site, client):
    client.force_login(User.objects.create_superuser("ada"))
    address = reverse("admin:app_metrics_dashboard_ratio", args=["slowness"])
    chart = client.get(address, {"range": "7d"}).context["chart"]
    both = [*FREE, *PRO, *(2 * number for number in (*FREE, *PRO))]
    assert chart.total == Quotient(expected(95, *both), expected(50, *both))
    assert chart.change.now == Quotient(
        *(expected(percent, *(2 * each for each in (*FREE, *PRO))) for percent in (95, 50))
    )
    aggregate()
    Total.objects.update(histogram=None)
    page = client.get(address, {"range": "7d"})
    assert page.context["chart"].total == Quotient(None, None)
    assert client.get(reverse("admin:app_metrics_dashboard_changelist")).status_code == 200


def test_a_percentile_of_a_metric_that_a_rule_counts_is_a_mistake(settings):
    settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": "logins"}
    settings.APP_METRICS_RATIOS = {"slow_logins": {"of": {"slug": "logins", "field": "p95"}, "to": "visits"}}
    [found] = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E031"]
    assert found.msg == "APP_METRICS_RATIOS['slow_logins'] reads p95 of the counter 'logins'."
    assert found.hint.startswith("Only timers and distributions have percentiles")


def test_a_percentile_of_a_metric_that_was_recorded_as_another_kind_is_a_mistake(database, settings):
    settings.APP_METRICS_RATIOS = RATIOS
    create_metric(name="Checkout", slug="checkout", kind="gauge")
    metric("visits")
    checks = [each for each in run_checks(databases=[database]) if each.id == "app_metrics.E031"]
    assert {each.msg for each in checks} == {
        "APP_METRICS_RATIOS['slowness'] reads p50 of the gauge 'checkout'.",
        "APP_METRICS_RATIOS['slowness'] reads p95 of the gauge 'checkout'.",
        "APP_METRICS_RATIOS['of_pro'] reads p90 of the gauge 'checkout'.",
        "APP_METRICS_RATIOS['of_pro'] reads p50 of the gauge 'checkout'.",
        "APP_METRICS_RATIOS['for_each'] reads p99 of the gauge 'checkout'.",
    }
    Metric.objects.update(kind="timer")
    assert [each for each in run_checks(databases=[database]) if each.id == "app_metrics.E031"] == []
