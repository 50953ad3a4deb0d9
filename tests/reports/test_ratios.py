"""Ratios in metric sets and in their reports."""

import re
from datetime import date, datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.plain_text import TEXT_WIDTH, width
from app_metrics.models import Metric, MetricSet
from app_metrics.ratios import Quotient
from app_metrics.reports.content import build_report
from app_metrics.reports.declared_sets import compile_sets, declare, ratios_of_set
from app_metrics.reports.rendering import MAX_HTML_BYTES, MOST_RATIOS, render

# A Tuesday, so that the latest closed day is a Monday.
NOON = datetime(2026, 11, 24, 12, tzinfo=ZoneInfo("Europe/Berlin"))
MONDAY = date(2026, 11, 23)
RATIOS = {"conversion": {"of": "checkouts", "to": "visits", "as": "percent"}}
SETS = {"Shop": {"metrics": ["checkouts", "visits"], "ratios": ["conversion"]}}


@pytest.fixture
def shop(database, settings):
    settings.APP_METRICS_RATIOS = RATIOS
    settings.APP_METRICS_SETS = SETS
    with freeze_time(NOON):
        with collect():
            for days in range(60):
                metric("visits", 1000, at=NOON - timedelta(days=days))
                metric("checkouts", 25 if days == 1 else 20, at=NOON - timedelta(days=days))
        aggregate()
        declare()
        yield MetricSet.objects.get()


def plain(text):
    return text.replace("\u00a0", " ")


def text_of(html):
    return " ".join(unescape(re.sub("<[^>]+>", " ", html.partition("<body")[2])).replace("\u00a0", " ").split())


def test_a_report_has_the_ratios_of_its_set_with_their_changes(shop):
    [line] = build_report(shop, "day").ratios
    assert line.quotient == Quotient(25, 1000, 100)
    changes = {name: (change.start, change.change) for name, change in line.comparisons.items()}
    assert changes == {
        "before": (MONDAY - timedelta(days=1), 0.5),
        "week_before": (MONDAY - timedelta(days=7), 0.5),
        "year_before": (date(2025, 11, 24), None),
    }
    assert [point.value for point in line.picture] == [2] * 13 + [2.5]


def test_the_week_divides_the_sums_of_its_days(shop):
    [line] = build_report(shop, "week", MONDAY - timedelta(days=7)).ratios
    assert line.quotient == Quotient(140, 7000, 100)


def test_the_text_has_the_ratio_among_the_columns_and_its_two_numbers_below(shop):
    text = plain(render(build_report(shop, "day")).text)
    assert re.search(r"^conversion +2\.5 % +\+0\.5 points +\+0\.5 points +new", text, re.MULTILINE), text
    assert "\n    25 ÷ 1,000\n" in text
    assert max(map(width, text.splitlines())) <= TEXT_WIDTH


def test_the_html_has_the_ratio_its_two_numbers_and_whether_a_change_is_better(shop):
    html = render(build_report(shop, "day")).html
    assert "conversion 2.5 % 25 ÷ 1,000 day before +0.5 points (better) week before +0.5 points (better)" in text_of(
        html
    )
    assert re.search(r'class="change up"[^>]*>\+0.5\xa0?\s?points', html)


def test_a_ratio_of_a_metric_that_was_not_counted_before_is_new_as_the_metric_is(shop, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "new", "to": "visits", "as": "percent"}}
    metric("new", at=NOON - timedelta(days=1))
    aggregate()
    text = plain(render(build_report(shop, "day")).text)
    assert re.search(r"^conversion +0\.1 % +new +new +new", text, re.MULTILINE), text
    assert "day before new" in text_of(render(build_report(shop, "day")).html)


def test_a_week_in_which_counting_began_is_no_base_of_a_ratio(shop, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "new", "to": "visits", "as": "percent"}}
    for days in (1, 9):
        metric("new", at=NOON - timedelta(days=days))
    aggregate()
    verdicts = {name: each.verdict for name, each in build_report(shop, "week").ratios[0].comparisons.items()}
    assert verdicts == {"before": "n/a", "year_before": "new"}


def test_a_ratio_of_days_that_were_counted_only_partly_before_has_no_change(shop, settings):
    def change(days):
        of = {"slug": "checkouts", "days": days}
        settings.APP_METRICS_RATIOS = {"conversion": {"of": of, "to": "visits", "as": "percent"}}
        return build_report(shop, "day").ratios[0].comparisons["before"]

    assert change(1).base is not None
    assert (change(366).current is None, change(366).base) == (False, None)


def test_the_preview_of_a_report_has_the_change_of_a_ratio_while_its_past_is_pending(shop, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "new", "to": "visits", "as": "percent"}}
    for days in range(4):
        metric("new", 10, at=NOON - timedelta(days=days))
    Metric.objects.discover()
    changes = [build_report(shop, "day").ratios[0].comparisons["before"].change]
    aggregate()
    changes.append(build_report(shop, "day").ratios[0].comparisons["before"].change)
    assert changes == [0, 0]


def test_a_ratio_without_a_denominator_says_so(shop, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts", "to": "nothing"}}
    mail = render(build_report(shop, "day"))
    assert re.search(r"^conversion +n/a +n/a +n/a +n/a", mail.text, re.MULTILINE)
    assert "conversion n/a 25 ÷ 0" in text_of(mail.html)


def test_a_set_without_ratios_reports_none_and_asks_nothing_more(shop, settings, database):
    def queries():
        with CaptureQueriesContext(connections[database]) as captured:
            report = build_report(shop, "day")
        return len(captured), report.ratios

    with_one, _ = queries()
    settings.APP_METRICS_RATIOS = {f"ratio_{number}": RATIOS["conversion"] for number in range(20)}
    settings.APP_METRICS_SETS = {"Shop": {**SETS["Shop"], "ratios": list(settings.APP_METRICS_RATIOS)}}
    assert queries()[0] == with_one
    settings.APP_METRICS_SETS = {"Shop": {"metrics": ["visits"]}}
    assert queries() == (with_one - 4, [])


def test_the_page_is_bounded_for_any_number_of_ratios_and_the_text_has_all(shop, settings):
    settings.APP_METRICS_RATIOS = {f"ratio_{number:03}": RATIOS["conversion"] for number in range(200)}
    settings.APP_METRICS_SETS = {"Shop": {**SETS["Shop"], "ratios": list(settings.APP_METRICS_RATIOS)}}
    mail = render(build_report(shop, "day"))
    assert len(mail.html.encode()) <= MAX_HTML_BYTES
    assert f"… and {200 - MOST_RATIOS} more ratios." in text_of(mail.html)
    assert mail.text.count("\nratio_") == 200


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("conversion", "has ratios='conversion', which is not a list", "Give a list of names of APP_METRICS_RATIOS."),
        (["convertion"], "has the unknown ratio 'convertion'", "Did you mean 'conversion'?"),
        ([["conversion"]], "has the unknown ratio ['conversion']", "Did you mean 'conversion'?"),
    ],
)
def test_a_mistake_in_the_ratios_of_a_set_is_reported(settings, value, message, hint):
    settings.APP_METRICS_RATIOS = RATIOS
    settings.APP_METRICS_SETS = {"Shop": {**SETS["Shop"], "ratios": value}}
    [found] = [each for each in run_checks(tags=["app_metrics"]) if each.id == "app_metrics.E017"]
    assert (message in found.msg, found.hint) == (True, hint)
    settings.APP_METRICS_RATIOS = {}
    [mistake] = compile_sets(settings.APP_METRICS_SETS)[1]
    assert mistake.hint in (hint, "Add it to APP_METRICS_RATIOS.")


def test_a_ratio_with_a_mistake_costs_the_set_only_that_ratio(settings):
    settings.APP_METRICS_RATIOS = {**RATIOS, "bad": {"of": "checkouts"}}
    settings.APP_METRICS_SETS = {"Shop": {**SETS["Shop"], "ratios": ["bad", "conversion"]}}
    assert [each.slug for each in ratios_of_set("Shop")] == ["conversion"]
    assert ratios_of_set("Other") == []


def test_a_ratio_that_a_set_names_twice_is_reported_once(settings):
    settings.APP_METRICS_RATIOS = RATIOS
    settings.APP_METRICS_SETS = {"Shop": {**SETS["Shop"], "ratios": ["conversion", "conversion"]}}
    assert [each.slug for each in ratios_of_set("Shop")] == ["conversion"]


@pytest.mark.parametrize("language", ["de", "fr"])
def test_the_mail_is_in_the_language_of_the_site(shop, settings, language):
    settings.LANGUAGE_CODE = language
    text = plain(render(build_report(shop, "day")).text)
    assert {"de": "+0,5 Punkte", "fr": "+0,5 point"}[language] in text
