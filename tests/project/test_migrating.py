"""What the tests of the first django-app-metrics 0.9.0 wanted, and the page that says where this package differs."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from freezegun import freeze_time

from app_metrics.core.old_settings import OLD_SETTINGS
from app_metrics.exceptions import TimerError
from app_metrics.models import Metric
from app_metrics.recording.metrics import record
from app_metrics.trending import trending_for_metric
from app_metrics.utils import (
    Timer,
    collection_disabled,
    create_metric,
    create_metric_set,
    gauge,
    get_or_create_metric,
    metric,
    timing,
)
from tests.support import redis_server
from tests.support.paths import ROOT
from tests.support.receiving import StatsdServer

BERLIN = ZoneInfo("Europe/Berlin")
WEDNESDAY = datetime(2026, 11, 25, 12, 30, tzinfo=BERLIN)
TODAY = WEDNESDAY.date()

# The tests of 0.9.0 by class, and whether the same holds here.
KEPT, CHANGED, GONE = "the same", "different", "not supported"
UPSTREAM = {
    "MetricCreationTests": {"test_auto_slug_creation": CHANGED, "test_metric": KEPT, "test_get_or_create_metric": KEPT},
    "MetricAggregationTests": dict.fromkeys(
        ["test_daily_aggregation", "test_weekly_aggregation", "test_monthly_aggregation", "test_yearly_aggregation"],
        KEPT,
    ),
    "DisabledTests": {"test_disabled": KEPT},
    "TrendingTests": {
        "test_trending_for_current_day": KEPT,
        "test_trending_for_yesterday": CHANGED,
        "test_trending_for_week": CHANGED,
        "test_trending_for_month": KEPT,
        "test_trending_for_year": KEPT,
        "test_missing_trending": CHANGED,
    },
    "EmailTests": {"test_email": CHANGED},
    "GaugeTests": {"test_existing_gauge": KEPT, "test_new_gauge": KEPT},
    "TimerTests": {"test_start": KEPT, "test_stop": KEPT, "test_elapsed": KEPT},
    "MixpanelCommandTest1": {"test_mixpanel_noop": GONE},
    "MixpanelCommandTest2": {"test_mixpanel_op": GONE},
    "MixpanelMetricConfigTests": {"test_metric": GONE},
    "MixpanelCreationTests": {"test_metric": GONE},
    "StatsdCreationTests": {"test_metric": KEPT, "test_timing": CHANGED, "test_gauge": KEPT},
    "RedisTests": {"test_metric": KEPT, "test_gauge": KEPT},
}

fixed_clock = pytest.mark.usefixtures("wednesday")


@pytest.fixture
def wednesday():
    with freeze_time(WEDNESDAY):
        yield


def noon(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=BERLIN)


def record_each(numbers):
    """Record a number at noon of each day, and return the trends of the metric."""
    found = create_metric("Test Trending", "test_trend")
    for day, number in numbers.items():
        metric("test_trend", number, at=noon(day))
    call_command("metrics_aggregate", verbosity=0)
    return trending_for_metric(found)


# Metrics


def test_names_without_a_slug_get_different_slugs(database):
    slugs = [Metric.objects.create(name="foo bar").slug for _ in range(2)]
    assert slugs == ["foo-bar", "foo-bar-2"]


@pytest.mark.parametrize("create", [create_metric, get_or_create_metric])
def test_three_calls_are_three_events_of_one(database, create):
    made = create(name="Test Metric Class", slug="test_metric")
    for _ in range(3):
        metric("test_metric")
    assert create(name="Test Metric Class", slug="test_metric") == made
    summary = made.summary("day")
    assert (summary.count, summary.minimum, summary.maximum) == (3, 1, 1)


@pytest.mark.parametrize("period", ["day", "week", "month", "year"])
def test_the_command_adds_up_each_period(database, period):
    first, second = create_metric("Test Aggregation1", "test_agg1"), create_metric("Test Aggregation2", "test_agg2")
    for slug in ["test_agg1"] * 2 + ["test_agg2"] * 3:
        metric(slug)
    call_command("metrics_aggregate", verbosity=0)
    assert [each.totals.get(period=period).total for each in (first, second)] == [2, 3]


def test_nothing_is_recorded_while_collection_is_disabled(database, settings):
    settings.APP_METRICS_DISABLED = True
    made = create_metric("Test Disable", "test_disable")
    metric("test_disable")
    assert made.summary("day") is None
    assert collection_disabled()


# Trends


@fixed_clock
def test_today_holds_what_is_aggregated_and_what_is_not(database):
    found = create_metric("Test Trending1", "test_trend1")
    for _ in range(2):
        metric("test_trend1")
    call_command("metrics_aggregate", verbosity=0)
    for _ in range(2):
        metric("test_trend1")
    assert trending_for_metric(found)["current_day"] == 4


@fixed_clock
def test_yesterday_is_compared_with_a_week_and_a_month_before(database):
    yesterday = TODAY - timedelta(days=1)
    found = record_each({yesterday: 5, yesterday - timedelta(weeks=1): 4, date(2026, 10, 24): 3})
    assert found["yesterday"] == {"yesterday": 5, "previous_week": 4, "previous_month": 3}


@fixed_clock
@pytest.mark.parametrize("year_before", [2, 0])
def test_a_week_is_compared_with_the_one_before_four_before_and_a_year_before(database, year_before):
    monday = TODAY - timedelta(days=2)
    weeks = {monday: 5, monday - timedelta(weeks=1): 4, monday - timedelta(weeks=4): 3}
    found = record_each(weeks | ({date.fromisocalendar(2025, 48, 1): year_before} if year_before else {}))
    assert found["week"] == {
        "week": 5, "previous_week": 4, "previous_month_week": 3, "previous_year_week": year_before,
    }  # fmt: skip


@fixed_clock
def test_a_month_is_compared_with_the_one_before_and_a_year_before(database):
    found = record_each({date(2026, 11, 1): 5, date(2026, 10, 1): 4, date(2025, 11, 1): 3})
    assert found["month"] == {"month": 5, "previous_month": 4, "previous_month_year": 3}


@fixed_clock
def test_a_year_is_compared_with_the_one_before(database):
    found = record_each({date(2026, 1, 1): 5, date(2025, 1, 1): 4})
    assert found["year"] == {"year": 5, "previous_year": 4}


# Mails


def test_each_recipient_gets_a_mail_about_the_day_that_is_over(database):
    with freeze_time(WEDNESDAY):
        users = [User.objects.create_user(name, f"{name}@example.com") for name in ("user1", "user2")]
        metrics = [create_metric("Test Trending1", "test_trend1"), create_metric("Test Trending2", "test_trend2")]
        create_metric_set(name="Fake Report", metrics=metrics, email_recipients=users)
        metric("test_trend1", 3)
        metric("test_trend2", 2)
        call_command("metrics_aggregate", verbosity=0)
        call_command("metrics_send_mail", verbosity=0)
        mail.outbox.clear()  # about the day before
    with freeze_time(WEDNESDAY + timedelta(days=1)):
        call_command("metrics_send_mail", verbosity=0)
    assert sorted(each.to for each in mail.outbox) == [["user1@example.com"], ["user2@example.com"]]
    assert {each.subject for each in mail.outbox} == {"Fake Report: Wednesday, 25 November 2026"}


# Gauges and timers


def test_an_existing_gauge_takes_the_latest_value(database):
    made = create_metric("Testing", kind="gauge")
    for text in ("10.5", "11.1"):
        gauge("testing", text)
        assert made.summary("day").last == Decimal(text)
    call_command("metrics_aggregate", verbosity=0)
    assert Metric.objects.count() == 1


def test_an_unknown_gauge_is_created(database):
    create_metric("Testing", kind="gauge")
    gauge("test_trend1", Decimal("12.373"))
    call_command("metrics_aggregate", verbosity=0)
    made = Metric.objects.get(slug="test_trend1")
    assert (made.kind, made.summary("day").last) == ("gauge", Decimal("12.373"))


def test_a_timer_is_used_in_its_order(monkeypatch):
    monkeypatch.setattr("app_metrics.recording.metrics.perf_counter", iter([12345.0, 12347.2]).__next__)
    timer = Timer()
    for early in (timer.elapsed, timer.stop):
        with pytest.raises(TimerError):
            early()
    timer.start()
    with pytest.raises(TimerError):
        timer.start()
    timer.stop()
    assert timer.elapsed() == pytest.approx(2.2)


# Backends


@pytest.fixture
def statsd(settings):
    server = StatsdServer()
    settings.APP_METRICS_BACKEND = "app_metrics.backends.statsd"
    settings.APP_METRICS_STATSD_URL = server.url
    yield server
    server.socket.close()


def test_statsd_gets_each_count(statsd):
    for slug, number in [("testing", 1), ("testing", 2), ("another", 4)]:
        metric(slug, number)
        assert statsd.lines() == [f"{slug}:{number}|c"]


def test_statsd_gets_timings_in_milliseconds(statsd, monkeypatch):
    monkeypatch.setattr("app_metrics.recording.metrics.perf_counter", iter([0, 0.025]).__next__)
    with timing("testing"):
        pass
    assert statsd.lines() == ["testing:25|ms"]


def test_statsd_gets_the_value_of_a_gauge(statsd):
    for slug, value in [("testing", 10.5), ("testing", Decimal("6.576")), ("another", 1)]:
        gauge(slug, value)
        assert statsd.lines() == [f"{slug}:{value}|g"]


def test_redis_gets_counts_and_gauges(database, settings):
    settings.APP_METRICS_REDIS_URL = redis_server.url()
    settings.APP_METRICS_REDIS_PREFIX = redis_server.new_prefix()
    settings.APP_METRICS_BACKEND = "app_metrics.backends.redis"
    settings.APP_METRICS_TIMEOUT = 60
    foo, testing = create_metric("Foo"), create_metric("Testing", kind="gauge")
    metric("foo")
    gauge("testing", 10.5)
    call_command("metrics_aggregate", verbosity=0)
    assert (foo.total("day"), testing.summary("day").last) == (1, 10.5)


# The page

PAGE = (ROOT / "docs" / "migrating.md").read_text()


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_lists_every_test_of_the_first_package_with_its_verdict():
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| ([\w ]+) \| .*\|$", section("Upstream's tests"), re.MULTILINE)
    listed = {(kind, name): verdict for kind, name, verdict in rows}
    assert listed == {(kind, name): verdict for kind, tests in UPSTREAM.items() for name, verdict in tests.items()}
    assert len(listed) == 29


def test_the_page_lists_every_setting_that_is_gone():
    assert set(re.findall(r"`APP_METRICS_(\w+)`", section("Settings").partition("\n\n| ")[2])) >= set(OLD_SETTINGS)


def test_the_ported_backend_of_the_page_records(monkeypatch, tmp_path, settings):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "write" in block]
    (tmp_path / "ported_backend.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    settings.APP_METRICS_BACKEND = "ported_backend"
    lines = []
    monkeypatch.setattr("ported_backend.send", lambda *line: lines.append(line))
    metric("orders", 2)
    gauge("fuel", "3.5")
    record("export", "timer", 0.5)
    assert lines == [("orders", 2), ("fuel", Decimal("3.5")), ("export", Decimal("0.5"))]
