"""The 95th percentile of timers and distributions in reports."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Metric, Total
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.recording.metrics import record
from app_metrics.reports.content import build_report
from app_metrics.reports.rendering import render
from tests.support.sample_reports import line, report, summary
from tests.support.summaries import measured

# A Tuesday, so that the latest closed day is a Monday.
NOON = datetime(2026, 11, 24, 12, tzinfo=ZoneInfo("Europe/Berlin"))
MONDAY, SUNDAY = NOON - timedelta(days=1), NOON - timedelta(days=2)
FAST, SLOW = measured(*[Decimal("0.1")] * 9, Decimal("0.4")), measured(*[Decimal("0.1")] * 9, Decimal("0.5"))


@pytest.fixture
def checkout(database):
    """A set with a timer, of which each label set has one slow number on Sunday and one on Monday."""
    checkout = create_metric(name="Checkout", slug="checkout", kind="timer")
    with freeze_time(NOON):
        with collect():
            for at, slowest in ((SUNDAY, "0.5"), (MONDAY, "0.4")):
                for plan, seconds in (("pro", slowest), ("free", "0.3")):
                    for each in [*[Decimal("0.1")] * 9, Decimal(seconds)]:
                        record("checkout", "timer", each, {"plan": plan}, at)
        yield create_metric_set("Shop", [checkout], ["team@example.com"])


def blank(text):
    return text.replace("\u00a0", " ")


def text_of(html):
    return " ".join(blank(unescape(re.sub("<[^>]+>", " ", html.partition("<body")[2]))).split())


def percentiles(shop, period="day"):
    """Return the 95th percentile in a report with the one before and the verdict."""
    [line] = build_report(shop, period).lines
    found = line.percentile
    return found and (found.current, found.base, found.verdict)


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
def test_a_report_compares_the_percentile_of_all_label_sets_with_the_period_before(aggregated, checkout):
    if aggregated:
        aggregate()
    [line] = build_report(checkout, "day").lines
    assert line.percentile.percent == 95
    assert percentiles(checkout) == (Decimal("0.300522"), Decimal("0.300522"), "same")
    for _ in range(10):
        record("checkout", "timer", 2, None, MONDAY)
    assert percentiles(checkout) == (pytest.approx(Decimal(2), rel=Decimal("0.011")), Decimal("0.300522"), "up")


def test_an_unknown_percentile_of_the_period_before_is_no_base(checkout):
    aggregate()
    Total.objects.filter(start=SUNDAY).update(histogram=None)
    assert percentiles(checkout) == (Decimal("0.300522"), None, "n/a")
    Total.objects.update(histogram=None)
    assert percentiles(checkout) is None


def test_counters_and_gauges_have_none(checkout):
    Metric.objects.update(kind="gauge")
    assert percentiles(checkout) is None
    Metric.objects.update(kind="counter")
    assert percentiles(checkout) is None


def test_a_report_with_percentiles_asks_as_many_queries_as_one_without(checkout, database):
    def queries():
        with CaptureQueriesContext(connections[database]) as captured:
            build_report(checkout, "day")
        return len(captured), sum("histogram" in query["sql"] for query in captured)

    aggregate()
    number, reading = queries()
    assert reading == 1
    for slug in ("signups", "exports"):
        metric(slug, at=MONDAY)
        checkout.metrics.add(create_metric(name=slug, slug=slug))
    aggregate()
    assert queries() == (number, 1)
    Metric.objects.update(kind="counter")
    assert queries() == (number, 0)


def test_the_mail_says_the_percentile_and_whether_its_change_is_good_news():
    mail = render(report(line("Checkout", FAST, (SLOW, None, None), kind="timer", extremes=(None, None))))
    assert "p95: 400 ms, −20 %" in blank(mail.text)
    assert "p95 400 ms −20 % (better)" in text_of(mail.html)
    assert re.search(r'<span class="change up"[^>]*>−20', mail.html)
    mail = render(report(line("Checkout", SLOW, (FAST, None, None), kind="timer", extremes=(None, None))))
    assert "p95: 500 ms, +25 %" in blank(mail.text)
    assert "p95 500 ms +25 % (worse)" in text_of(mail.html)
    assert re.search(r'<span class="change down"[^>]*>\+25', mail.html)


def test_the_mail_follows_what_the_metric_calls_good_news():
    shown = line("Order value", FAST, (SLOW, None, None), kind="distribution", unit="EUR")
    for better, word in (("up", " (worse)"), ("down", " (better)"), ("neither", "")):
        shown.metric.better = better
        assert f"p95 0.40 EUR −20 %{word} Best day" in text_of(render(report(shown)).html).replace(
            "Highest", "Best day"
        )


@pytest.mark.parametrize(
    ("then", "said"),
    [(None, "p95: 400 ms, new"), (summary(3, 10), "p95: 400 ms"), (FAST, "p95: 400 ms, ±0 %")],
    ids=["nothing", "unknown", "the same"],
)
def test_the_mail_says_a_change_only_if_it_is_known(then, said):
    mail = render(report(line("Checkout", FAST, (then, None, None), kind="timer", extremes=(None, None))))
    assert [text.strip() for text in blank(mail.text).splitlines() if "p95" in text] == [said]


@pytest.mark.parametrize(
    "now",
    [measured(Decimal("0.38")), measured(2, 2), summary(3, 10, 1, 2), None],
    ids=["one number", "equal numbers", "unknown", "nothing"],
)
def test_the_mail_has_no_percentile_that_is_unknown_or_says_nothing_new(now):
    assert "p95" not in render(report(line("Checkout", now, (FAST, None, None), kind="timer"))).text
