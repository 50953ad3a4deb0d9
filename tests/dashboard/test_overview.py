"""The numbers of the dashboard's overview, compared with the metrics' own readings."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from random import Random
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY, HOUR, MONTH, WEEK
from app_metrics.core.summary import headline, merge_all
from app_metrics.dashboard.overview import CARDS, PICTURED_DAYS, busiest, overview, pictures, yesterdays_p95
from app_metrics.models.creation import create_metric
from app_metrics.models.queries import point_headline
from app_metrics.recording.metrics import record

BERLIN = ZoneInfo("Europe/Berlin")
KINDS = {"orders": "counter", "queue": "gauge", "export": "timer", "idle": "counter", "silent": "gauge"}
MOMENTS = {
    "afternoon": datetime(2026, 6, 18, 15, 20, tzinfo=BERLIN),
    "midnight": datetime(2026, 6, 1, 0, 0, tzinfo=BERLIN),
    "new year": datetime(2027, 1, 1, 9, 0, tzinfo=BERLIN),
    "clocks were changed": datetime(2026, 3, 29, 20, 59, tzinfo=BERLIN),
}


@pytest.fixture(params=MOMENTS.values(), ids=MOMENTS)
def history(database, request):
    """Metrics of every kind, some of them recorded over 40 days and partly aggregated."""
    now, chance = request.param, Random(7)
    with freeze_time(now):
        metrics = [create_metric(slug.title(), slug, kind) for slug, kind in KINDS.items()]
        for part in range(3):
            with collect():
                for slug in ("orders", "queue", "export"):
                    for number in range(80):
                        # All moments differ, so that the last value is unambiguous.
                        minutes = chance.choice([chance.randrange(1500), chance.randrange(57600)])
                        moment = now - timedelta(minutes=minutes, microseconds=80 * part + number)
                        labels = chance.choice([None, {"plan": "pro"}, {"plan": "free"}])
                        record(slug, KINDS[slug], chance.randrange(1, 1000), labels, moment)
            if part < 2:
                aggregate()
        yield metrics, now


@pytest.mark.every_database
def test_every_number_of_the_overview_equals_the_reading_of_its_metric(history):
    metrics, now = history
    yesterday = now.date() - timedelta(1)
    for row in overview(metrics):
        says = {period: headline(row.metric.kind, row.metric.summary(period)) for period in (DAY, WEEK, MONTH)}
        assert (row.today, row.week, row.month) == (says[DAY], says[WEEK], says[MONTH])
        assert row.yesterday == headline(row.metric.kind, row.metric.summary(DAY, yesterday))


def test_the_p95_of_yesterday_is_the_reading_of_each_timer(history, database, django_assert_num_queries):
    metrics, now = history
    with django_assert_num_queries(1, using=database):
        found = yesterdays_p95(metrics)
    (export,) = [each for each in metrics if each.slug == "export"]
    expected = export.percentile(DAY, 95, now.date() - timedelta(1))
    assert found == ({"export": expected} if expected else {})


def test_without_timers_and_distributions_no_histogram_is_read(history, database, django_assert_num_queries):
    metrics, _ = history
    with django_assert_num_queries(0, using=database):
        assert yesterdays_p95(each for each in metrics if each.kind in ("counter", "gauge")) == {}


def test_the_change_compares_today_with_the_same_weekday_up_to_the_same_time(history):
    metrics, now = history
    week_ago = now - timedelta(weeks=1)
    midnight = datetime.combine(week_ago.date(), datetime.min.time(), BERLIN).timestamp()
    full, seconds = divmod(int(week_ago.timestamp() - midnight), 3600)
    for row in overview(metrics):
        moments = (datetime.fromtimestamp(midnight + hour * 3600, BERLIN) for hour in range(full + 1))
        *hours, running = (row.metric.summary(HOUR, moment) for moment in moments)
        before = merge_all(each for each in hours if each)
        is_known = full > 0
        if running and row.metric.kind == "counter":
            is_known = before is not None and 2 * running.total <= before.total
            running = running._replace(total=round(Fraction(running.total) * seconds / 3600))
        then = headline(row.metric.kind, merge_all(each for each in (before, running) if each))
        assert row.comparison.current == row.today
        assert (row.comparison.start, row.comparison.base) == ((week_ago.date(), then) if is_known else (None, None))


def test_a_picture_shows_the_latest_days_that_are_over(history):
    metrics, now = history
    drawn = pictures(metrics)
    assert list(drawn) == list(KINDS)
    for each in metrics:
        series = each.series(DAY, now.date() - timedelta(PICTURED_DAYS), now.date() - timedelta(1))
        assert drawn[each.slug] == [point_headline(each.kind, point) for point in series]
        assert len(drawn[each.slug]) == PICTURED_DAYS == 30


@freeze_time(datetime(2026, 6, 17, 12, tzinfo=BERLIN))
def test_the_busiest_metrics_were_recorded_most_often_in_this_week_and_the_one_before(database):
    metrics = [create_metric(slug.title(), slug) for slug in ("idle", "rare", "formerly", "often")]
    for slug, day, times in (("rare", 17, 1), ("often", 8, 2), ("often", 17, 2), ("formerly", 7, 9)):
        with collect():
            for _ in range(times):
                metric(slug, 1000 if slug == "rare" else 1, at=datetime(2026, 6, day, 9, tzinfo=BERLIN))
        aggregate()
    metric("often")
    assert [each.slug for each in busiest(metrics)] == ["often", "rare", "idle", "formerly"]
    assert [each.slug for each in busiest(metrics, 1)] == ["often"]


def test_there_are_cards_for_eight_metrics_at_most(database):
    metrics = [create_metric(f"m{number}") for number in range(CARDS + 1)]
    assert busiest(metrics) == metrics[:8]


def test_rows_keep_the_order_of_the_metrics(database):
    metrics = [create_metric(slug.title(), slug, kind) for slug, kind in KINDS.items()]
    assert [row.metric for row in overview(reversed(metrics))] == metrics[::-1]
    assert list(pictures(reversed(metrics))) == list(KINDS)[::-1]


def test_without_metrics_there_are_no_rows(database):
    assert overview([]) == busiest([]) == []
    assert pictures([]) == {}


def test_metrics_without_events_show_zero_or_unknown(database):
    row, other = overview([create_metric("Orders", "orders"), create_metric("Queue", "queue", "gauge")])
    assert (row.today, row.yesterday, row.week, row.month) == (0, 0, 0, 0)
    assert (other.today, other.yesterday, other.week, other.month) == (None, None, None, None)
    assert row.comparison.verdict == other.comparison.verdict == "n/a"


@pytest.mark.parametrize("number", [1, 30])
@pytest.mark.parametrize("read", [overview, pictures, busiest])
@pytest.mark.every_database
def test_one_query_serves_any_number_of_metrics(number, read, database, django_assert_num_queries):
    metrics = [create_metric(f"m{each}") for each in range(number)]
    for each in metrics:
        metric(each.slug)
    aggregate()
    with django_assert_num_queries(1, using=database):
        read(metrics)


@freeze_time(datetime(2026, 6, 17, 12, tzinfo=BERLIN))
def test_the_overview_follows_the_first_day_of_the_week(database, settings):
    orders = create_metric("Orders", "orders")
    for day, number in [(13, 1), (14, 10), (15, 100)]:
        metric("orders", number, at=datetime(2026, 6, day, 9, tzinfo=BERLIN))
    assert overview([orders])[0].week == 100
    settings.APP_METRICS_WEEK_START = "sunday"
    assert overview([orders])[0].week == 110
    assert date(2026, 6, 14).isoweekday() == 7
