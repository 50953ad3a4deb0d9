"""Where the running period of a counter is heading."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY, HOUR, MONTH, WEEK, YEAR
from app_metrics.dashboard import metric_facts
from app_metrics.dashboard.charts import build_chart
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.metric_facts import facts_of
from app_metrics.dashboard.projection import FEWEST, with_projection
from app_metrics.models import Total
from app_metrics.models.aggregates import are_exact
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record

BERLIN = ZoneInfo("Europe/Berlin")
# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=BERLIN)
LONG_AGO = NOW - timedelta(weeks=300)


@pytest.fixture
def now(database):
    with freeze_time(NOW):
        yield


@pytest.fixture
def orders(now):
    return create_metric("Orders", "orders")


def recorded(*events):
    """Record pairs of a number and a moment, after an event long ago, and aggregate them."""
    with collect():
        for number, moment in ((1, LONG_AGO), *events):
            metric("orders", number, at=moment)
    aggregate()


def wednesdays(number, morning=10, evening=30):
    """Yield the events of the latest Wednesdays that are over; other days have none."""
    for weeks in range(1, number + 1):
        yield morning, (NOW - timedelta(weeks=weeks)).replace(hour=9)
        yield evening, (NOW - timedelta(weeks=weeks)).replace(hour=20)


def projected(orders, period=DAY, days=1, split="", where=None):
    """Return the projected number of the chart that ends today."""
    facts = facts_of(orders)
    selection = Selection(period, NOW.date() - timedelta(days=days), NOW.date(), split, where=where or {})
    return with_projection(build_chart(orders, selection, facts.since), facts).projected


@pytest.mark.every_database
def test_a_day_goes_on_as_the_same_weekday_did_at_this_hour(orders):
    recorded(*wednesdays(4), (7, NOW.replace(hour=8)))
    assert projected(orders) == 28


@pytest.mark.parametrize("parts", [{"split": "plan"}, {"where": {"plan": "pro"}}], ids=str)
def test_a_part_of_the_label_sets_has_no_projection(parts, orders):
    recorded(*wednesdays(4), (7, NOW.replace(hour=8)))
    assert projected(orders, **parts) is None


def test_other_weekdays_do_not_matter(orders):
    others = [(1000, NOW - timedelta(days=days)) for days in range(1, 50) if days % 7]
    recorded(*wednesdays(4), *others, (7, NOW.replace(hour=8)))
    assert projected(orders) == 28


def test_the_hour_that_runs_is_no_part_of_the_share(orders):
    recorded(*wednesdays(4), (7, NOW.replace(hour=8)))
    metric("orders", 3, at=NOW)
    assert projected(orders) == 28


def test_pending_events_count(orders):
    recorded(*wednesdays(4))
    metric("orders", 7, at=NOW.replace(hour=8))
    assert projected(orders) == 28


def test_few_periods_say_nothing(orders):
    recorded(*wednesdays(FEWEST - 1), (7, NOW.replace(hour=8)))
    assert projected(orders) is None


def test_periods_in_which_counting_began_do_not_count(orders):
    with collect():
        for number, moment in (*wednesdays(FEWEST), (7, NOW.replace(hour=8))):
            metric("orders", number, at=moment)
    aggregate()
    assert projected(orders) is None


def test_days_whose_hours_are_pruned_do_not_count(orders):
    recorded(*wednesdays(FEWEST), (7, NOW.replace(hour=8)))
    Total.objects.filter(period=HOUR, start=NOW.date() - timedelta(weeks=FEWEST)).delete()
    assert projected(orders) is None


def test_weeks_whose_days_are_pruned_in_part_do_not_count(orders):
    start = WEEK.start_of(NOW.date())
    bases = [WEEK.shift(start, -number) for number in range(1, FEWEST + 1)]
    days = [(10, base) for base in bases] + [(30, WEEK.last_day(base)) for base in bases] + [(7, start)]
    recorded(*((number, datetime(day.year, day.month, day.day, 9, tzinfo=BERLIN)) for number, day in days))
    assert projected(orders, WEEK, days=60) == 28
    Total.objects.filter(period=DAY, start=WEEK.last_day(bases[-1])).delete()
    assert projected(orders, WEEK, days=60) is None


def test_a_small_share_says_nothing(orders):
    recorded(*wednesdays(8, morning=1, evening=10), (7, NOW.replace(hour=8)))
    assert projected(orders) is None


def test_a_number_that_is_reached_already_is_not_projected(orders):
    recorded(*wednesdays(8, evening=0), (7, NOW.replace(hour=8)))
    assert projected(orders) is None


def test_nothing_so_far_has_no_projection(orders):
    recorded(*wednesdays(8))
    assert projected(orders) is None


def test_the_number_is_rounded(orders):
    recorded(*wednesdays(4, morning=1000, evening=2001), (12345, NOW.replace(hour=8)))
    assert projected(orders) == 37000
    recorded((Decimal("0.5"), NOW.replace(hour=8)))
    assert projected(orders) == 37000


def test_whole_numbers_stay_whole(orders):
    recorded(*wednesdays(4, morning=3, evening=4), (2, NOW.replace(hour=8)))
    assert projected(orders) == 5


@pytest.mark.parametrize("period", [WEEK, MONTH, YEAR])
@pytest.mark.every_database
def test_longer_periods_go_on_by_their_days(period, orders):
    """Each one has 10 on its first day and 30 on its last; the current day does not count."""
    start = period.start_of(NOW.date())
    days = []
    for number in range(1, 6):
        base = period.shift(start, -number)
        days += [(10, base), (30, period.last_day(base))]
    days += [(7, start), (1, NOW.date())]
    recorded(*((number, datetime(day.year, day.month, day.day, 9, tzinfo=BERLIN)) for number, day in days))
    assert projected(orders, period, days=1000 if period == YEAR else 60) == 28


def test_hours_labels_and_ranges_that_are_over_have_no_projection(orders):
    recorded(*wednesdays(8), (7, NOW.replace(hour=8)))
    assert projected(orders, HOUR) is None
    assert projected(orders, split="plan") is None
    facts = facts_of(orders)
    over = build_chart(orders, Selection(DAY, date(2026, 6, 1), date(2026, 6, 9)), facts.since)
    assert with_projection(over, facts).projected is None


@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_gauges_and_timers_have_no_projection(kind, now):
    load = create_metric("Load", "load", kind)
    with collect():
        record("load", kind, 1, at=LONG_AGO)
        for number, moment in (*wednesdays(8), (7, NOW.replace(hour=8))):
            record("load", kind, number, at=moment)
    aggregate()
    assert projected(load) is None


def test_a_projection_takes_one_query(orders, database, django_assert_num_queries):
    recorded(*wednesdays(8), (7, NOW.replace(hour=8)))
    facts = facts_of(orders)
    chart = build_chart(orders, Selection(DAY, date(2026, 6, 1), NOW.date()), facts.since)
    with django_assert_num_queries(1, using=database):
        assert with_projection(chart, facts).projected == 28


@pytest.mark.every_database
def test_label_sets_that_the_database_does_not_add_up_prevent_it_if_they_are_many(orders, monkeypatch):
    recorded(*wednesdays(8), (7, NOW.replace(hour=8)))
    monkeypatch.setattr(metric_facts, "MOST_EXTRA_POINTS", 100)
    assert projected(orders) == (28 if are_exact(Total.objects) else None)
