"""An operand with days is read over the days that end with the last one of the period, as stickiness needs it."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics import collect, distribution, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.checks.ratios import check_ratios
from app_metrics.core.calendar import start_of
from app_metrics.core.periods import DAY, HOUR, MONTH, WEEK, WHOLE_DAYS, YEAR
from app_metrics.core.summary import merge_all
from app_metrics.core.uniques import Uniques
from app_metrics.dashboard.overview import stickiness
from app_metrics.models import Metric, Total
from app_metrics.ratios import Quotient, get_ratio
from app_metrics.ratios.changes import metrics_of, operand_title
from app_metrics.ratios.declared import ratios
from app_metrics.ratios.quotients import quotients
from app_metrics.ratios.windows import Windows, last_day
from tests.support.summaries import seen, summary_of

# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
TODAY = NOW.date()
NOON_OF_MAY = datetime(2026, 5, 31, 12, tzinfo=ZoneInfo("Europe/Berlin"))
USERS = {"slug": "users", "field": "unique"}
RATIOS = {
    "stickiness": {"of": {**USERS, "days": 1}, "to": {**USERS, "days": 30}, "as": "percent"},
    "share_of_month": {"of": USERS, "to": {**USERS, "days": 30}, "as": "percent"},
    "pro": {"of": {**USERS, "labels": {"plan": "pro"}, "days": 7}, "to": {**USERS, "days": 7}},
    "orders_of_a_week": {"of": {"slug": "orders", "days": 7}, "to": {"slug": "orders", "field": "count", "days": 7}},
    "slowest": {"of": {"slug": "sizes", "field": "p95", "days": 2}, "to": {"slug": "sizes", "field": "p50", "days": 2}},
}


@pytest.fixture
def noon(database, settings):
    settings.APP_METRICS_RATIOS = RATIOS
    with freeze_time(NOW):
        yield database


def come(users, days=0, **labels):
    with collect():
        for user in users:
            unique("users", user, labels=labels or None, at=NOW - timedelta(days=days))


def visited():
    """Let two users come today, three yesterday, others up to 29 days before yesterday, and one the day before that."""
    come([1, 2]), come([2, 3, 4], 1), come([1, 5], 20), come([6], 30), come([7], 31)


@pytest.mark.every_database
def test_stickiness_divides_the_last_day_by_the_days_that_end_with_it(noon):
    visited()
    for _ in range(2):
        assert get_ratio("stickiness").quotient("day", TODAY - timedelta(days=1)) == Quotient(3, 6, 100)
        assert get_ratio("stickiness").quotient("day") == Quotient(2, 5, 100)
        aggregate()


def test_stickiness_of_yesterday_is_that_of_the_card(noon):
    visited()
    quotient = get_ratio("stickiness").quotient("day", TODAY - timedelta(days=1))
    assert stickiness([Metric.objects.get(slug="users")])["users"] == (quotient.numerator, quotient.denominator)


def test_a_period_that_is_over_ends_with_its_last_day_and_a_running_one_with_today(noon):
    visited()
    of = get_ratio("stickiness").quotient
    assert of("week", TODAY - timedelta(weeks=1)) == of("day", date(2026, 6, 7))
    assert of("month", date(2026, 5, 1)) == of("day", date(2026, 5, 31))
    assert of("year", date(2025, 3, 1)) == of("day", date(2025, 12, 31))
    assert of("week") == of("month") == of("year") == of("day", TODAY)


def test_without_days_the_other_number_is_that_of_the_period(noon):
    visited()
    assert get_ratio("share_of_month").quotient("week") == Quotient(4, 5, 100)
    assert get_ratio("share_of_month").quotient("day") == Quotient(2, 5, 100)


def test_hours_and_days_to_come_have_no_ratio(noon):
    visited()
    for ratio, numerators in ((get_ratio("stickiness"), {None}), (get_ratio("share_of_month"), {0, 2})):
        hours = [point.quotient for point in ratio.series("hour", TODAY, TODAY)]
        assert {each.numerator for each in hours} == numerators
        assert {each.denominator for each in hours} == {each.value for each in hours} == {None}
    assert get_ratio("stickiness").quotient("day", TODAY + timedelta(days=1)) == Quotient(None, None, 100)
    assert get_ratio("stickiness").quotient("year", date(2027, 1, 1)) == Quotient(None, None, 100)


def test_a_day_on_which_nobody_came_is_zero_and_thirty_of_them_have_no_value(noon):
    come([1], 2)
    assert get_ratio("stickiness").quotient("day") == Quotient(0, 1, 100)
    assert get_ratio("stickiness").quotient("day", date(2026, 5, 1)) == Quotient(0, 0, 100)
    assert get_ratio("stickiness").quotient("day", date(2026, 5, 1)).value is None


def test_other_fields_are_added_over_the_days(noon):
    for days in range(9):
        metric("orders", Decimal("0.5") + days, at=NOW - timedelta(days=days))
    assert get_ratio("orders_of_a_week").quotient("day") == Quotient(Decimal("24.5"), 7)
    assert str(get_ratio("orders_of_a_week").quotient("day", date(2026, 6, 3)).numerator) == "16"


def test_a_percentile_is_that_of_the_numbers_of_all_days(noon):
    for days, numbers in ((0, range(1, 51)), (1, range(51, 101)), (2, [10_000])):
        for number in numbers:
            distribution("sizes", number, at=NOW - timedelta(days=days))
    found = get_ratio("slowest").quotient("day")
    assert (float(found.numerator), float(found.denominator)) == (
        pytest.approx(95, rel=0.02),
        pytest.approx(50, rel=0.02),
    )


def test_labels_choose_label_sets_of_each_day(noon):
    come([1, 2], plan="pro"), come([2, 3], 1, plan="pro", country="DE"), come([4, 5], 2, plan="free"), come([6], 7)
    for _ in range(2):
        assert get_ratio("pro").quotient("day") == Quotient(3, 5)
        aggregate()


def test_many_ratios_and_days_need_as_many_queries_as_one(noon, settings):
    visited()
    aggregate()

    def queries(declared):
        settings.APP_METRICS_RATIOS = declared
        spans = {each: [(DAY, TODAY - timedelta(days=each), 0)] for each in range(90)}
        with CaptureQueriesContext(connections[noon]) as captured:
            assert quotients(ratios().values(), spans)
        return len(captured)

    many = {
        f"ratio_{number}": {"of": {"slug": f"metric_{number}", "days": 7}, "to": {**USERS, "days": number}}
        for number in range(1, 20)
    }
    assert queries({"stickiness": RATIOS["stickiness"]}) == queries(many) == 1
    assert queries({**many, "plain": {"of": "orders", "to": "visits"}}) == 2


def test_days_of_very_many_months_are_not_listed_in_the_statement(noon):
    for days in (0, 6, 7, 40):
        metric("orders", 10**days if days < 7 else 5, at=NOON_OF_MAY - timedelta(days=days))
    aggregate()
    with CaptureQueriesContext(connections[noon]) as captured:
        points = get_ratio("orders_of_a_week").series("month", date(1926, 1, 1), date(2026, 5, 31))
    assert points[-1].quotient == Quotient(1_000_001, 2)
    assert len(points) > 1200
    assert max(len(query["sql"]) for query in captured) < 10_000


days = st.integers(0, 99)


@pytest.mark.parametrize("period", [DAY, WEEK, MONTH, YEAR])
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(visits=st.dictionaries(days, st.sets(st.integers(1, 40), min_size=1), max_size=30), pending=st.booleans())
def test_random_visits_give_the_numbers_of_sets(noon, period, visits, pending):
    aggregate()
    Total.objects.all().delete()
    for day, users in visits.items():
        come(users, day)
    if not pending:
        aggregate()
    by_day = {TODAY - timedelta(days=back): users for back, users in visits.items()}

    def users(last, number):
        return len(set().union(*(by_day.get(last - timedelta(days=back), ()) for back in range(number))))

    first = TODAY - timedelta(days=110)
    points = get_ratio("stickiness").series(period, first, TODAY)
    lasts = [min(period.last_day(point.start), TODAY) for point in points]
    assert points[0].start == start_of(period, first)
    assert [point.quotient for point in points] == [Quotient(users(last, 1), users(last, 30), 100) for last in lasts]


@given(st.dictionaries(days, st.integers(1, 9)), st.lists(st.integers(0, 120), min_size=1), st.integers(1, 40))
def test_windows_are_the_merges_of_their_days_in_whatever_order_they_are_asked_for(numbers, asked, width):
    first = date(2026, 1, 1)
    by_day = {
        first + timedelta(days=day): summary_of(1, number, number, at=day * 86_400_000_000)
        for day, number in numbers.items()
    }
    windows = Windows(by_day, width)
    for last in asked:
        inside = [by_day.get(first + timedelta(days=last - back)) for back in reversed(range(width))]
        assert windows.until(first + timedelta(days=last)) == merge_all(each for each in inside if each)


def test_windows_of_many_different_ones_have_the_sketch_of_all_their_days():
    first, chance = date(2026, 1, 1), Random(1)
    hashes = {first + timedelta(days=day): [chance.getrandbits(64) for _ in range(400)] for day in range(20)}
    windows = Windows({day: seen(*each) for day, each in hashes.items()}, 7)
    for last in list(hashes)[6:]:
        inside = [each for back in range(7) for each in hashes[last - timedelta(days=back)]]
        assert windows.until(last).uniques.encode() == Uniques(inside).encode()


def test_a_window_that_moves_on_by_a_day_takes_three_merges_at_most(monkeypatch):
    from app_metrics.core import summary as module

    merges, merge = [], module.merge
    monkeypatch.setattr(module, "merge", lambda *given: (merges.append(1), merge(*given))[1])
    first = date(2026, 1, 1)
    windows = Windows({first + timedelta(days=day): summary_of(1) for day in range(400)}, 30)
    for day in range(30, 400):
        assert windows.until(first + timedelta(days=day)).count == 30
    assert len(merges) <= 3 * 400


def test_a_span_ends_with_its_last_day_or_today(noon):
    assert last_day([]) is None
    assert last_day([(HOUR, TODAY, 3)]) is None
    assert last_day([(DAY, TODAY - timedelta(days=9), 0), (DAY, TODAY - timedelta(days=3), 0)]) == date(2026, 6, 7)
    for period in WHOLE_DAYS:
        assert last_day([(period, start_of(period, TODAY), 0)]) == TODAY
        assert last_day([(period, period.next(start_of(period, TODAY)), 0)]) is None


def test_the_title_of_an_operand_names_its_days(noon):
    ratio = get_ratio("stickiness")
    titles = [operand_title(each, metrics_of([ratio])) for each in (ratio.of, ratio.to)]
    assert titles == ["users (different, 1 day)", "users (different, 30 days)"]


@pytest.mark.parametrize("value", [0, -1, 367, 1.5, True, "30", None])
def test_days_are_a_whole_number_up_to_a_year(settings, value):
    settings.APP_METRICS_RATIOS = {"sticky": {"of": {**USERS, "days": value}, "to": USERS}}
    [found] = check_ratios()
    assert found.id == "app_metrics.E031"
    assert found.msg == f"APP_METRICS_RATIOS['sticky']['of'] has days={value!r}."
    assert found.hint == "Give a whole number from 1 to 366."
