"""The time spans that trends compare, and the totals they consist of."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import override_settings
from freezegun import freeze_time
from hypothesis import example, given
from hypothesis import strategies as st

from app_metrics.core.calendar import Moment, latest_closed, moment_of
from app_metrics.core.comparisons import (
    BEFORE,
    WEEK_BEFORE,
    YEAR_BEFORE,
    closed,
    comparable_starts,
    running,
    week_of,
)
from app_metrics.core.periods import DAY, HOUR, MONTH, WEEK, WHOLE_DAYS, YEAR

dates = st.dates(date(1970, 1, 1), date(2100, 12, 31))
moments = st.one_of(
    st.builds(lambda day, hours: Moment(day, day, hours), dates, st.integers(0, 24)),
    dates.map(lambda day: Moment(day, day + timedelta(days=1), 0)),
)
week_starts = st.sampled_from(["monday", "sunday"])


def held(pieces):
    """Return the dates and hours that pieces cover."""
    found = []
    for period, start, hour in pieces:
        days = (period.next(start) - start).days
        found += [(start, hour)] if period == HOUR else [(start + timedelta(days=n), None) for n in range(days)]
    return found


@freeze_time("2026-10-25 22:30:00")  # 23:30 in Berlin, where this day has 25 hours
def test_a_moment_is_now_or_the_end_of_a_date():
    now = Moment(date(2026, 10, 25), date(2026, 10, 25), 24)
    assert moment_of(None) == moment_of(date(2026, 10, 25)) == now
    assert now.is_now
    for day in (date(2026, 10, 24), date(2026, 10, 26)):
        assert moment_of(day) == Moment(day, day + timedelta(days=1), 0)
        assert not moment_of(day).is_now


@freeze_time("2026-10-25 23:30:00")
def test_a_moment_is_taken_in_the_metrics_time_zone(settings):
    assert moment_of(None) == Moment(date(2026, 10, 26), date(2026, 10, 26), 0)
    settings.APP_METRICS_TIME_ZONE = "America/St_Johns"
    assert moment_of(None) == Moment(date(2026, 10, 25), date(2026, 10, 25), 21)
    assert moment_of(datetime(2026, 10, 26, 1, tzinfo=UTC)) == moment_of(None)


@pytest.mark.parametrize(
    ("period", "names"),
    [
        (DAY, [BEFORE, WEEK_BEFORE, YEAR_BEFORE]),
        (WEEK, [BEFORE, YEAR_BEFORE]),
        (MONTH, [BEFORE, YEAR_BEFORE]),
        (YEAR, [BEFORE]),
    ],
)
def test_each_period_has_its_earlier_periods_to_compare_with(period, names):
    assert [*comparable_starts(period, date(2024, 1, 1))] == names


def test_a_day_is_compared_with_the_same_weekdays():
    assert comparable_starts(DAY, date(2026, 3, 31)) == {
        BEFORE: date(2026, 3, 30), WEEK_BEFORE: date(2026, 3, 24), YEAR_BEFORE: date(2025, 4, 1),
    }  # fmt: skip


@given(dates, st.sampled_from(WHOLE_DAYS), week_starts)
def test_the_latest_closed_period_ends_at_the_start_of_the_running_one(day, period, week):
    with override_settings(APP_METRICS_WEEK_START=week):
        start = latest_closed(period, day)
        assert period.next(start) == running(period, Moment(day, day, 0)).start
        assert start < period.next(start) <= day < period.next(period.next(start))


@given(dates, st.sampled_from(WHOLE_DAYS))
@example(date(2026, 12, 28), WEEK)
def test_a_closed_period_and_all_it_is_compared_with_is_one_total_each(day, period):
    start = period.start_of(day)
    plan = closed(period, start)
    assert plan.whole == plan.compared == [(period, start, 0)]
    assert plan.bases == {
        name: (base, [(period, base, 0)] if base else []) for name, base in comparable_starts(period, start).items()
    }


@given(moments, st.sampled_from(WHOLE_DAYS), week_starts)
def test_the_elapsed_part_ends_at_the_given_moment(moment, period, week):
    with override_settings(APP_METRICS_WEEK_START=week):
        plan = running(period, moment)
    days = (moment.end - plan.start).days
    assert held(plan.compared) == [
        *((plan.start + timedelta(days=n), None) for n in range(days)),
        *((moment.end, hour) for hour in range(moment.hours)),
    ]
    assert plan.whole == ([(period, plan.start, 0)] if moment.is_now else plan.compared)


@given(moments, st.sampled_from(WHOLE_DAYS), week_starts)
@example(Moment(date(2027, 1, 1), date(2027, 1, 1), 9), WEEK, "monday")
def test_a_comparison_stays_within_its_period(moment, period, week):
    with override_settings(APP_METRICS_WEEK_START=week):
        plan = running(period, moment)
    is_over = period.next(plan.start) <= moment.end
    for base, pieces in plan.bases.values():
        if base is None:
            assert pieces == []
        elif is_over:
            assert pieces == [(period, base, 0)]
        else:
            assert len({*held(pieces)}) == len(held(pieces))
            assert all(base <= day < period.next(base) for day, _ in held(pieces))
            # A year that is compared may be one leap day longer.
            assert len(held(pieces)) <= len(held(plan.compared)) + (period == YEAR)


@given(moments, week_starts)
def test_trends_need_a_bounded_number_of_totals(moment, week):
    with override_settings(APP_METRICS_WEEK_START=week):
        for period in WHOLE_DAYS:
            for _, pieces in running(period, moment).bases.values():
                assert len(pieces) <= 11 + 30 + 24


@given(moments, week_starts)
def test_an_earlier_week_has_passed_as_far_as_this_one(moment, week):
    with override_settings(APP_METRICS_WEEK_START=week):
        start, before = running(WEEK, moment).start, running(WEEK, moment).bases[BEFORE][1]
        assert week_of(moment, 1) == before
        assert held(week_of(moment, 4)) == [(day - timedelta(weeks=3), hour) for day, hour in held(before)]
        assert week_of(moment, 0) == running(WEEK, moment).compared
    assert all(start - timedelta(weeks=1) <= day < start for day, _ in held(before))


@pytest.mark.parametrize("period", WHOLE_DAYS)
def test_at_the_first_moment_of_a_year_nothing_has_passed_yet(period):
    monday = date(2029, 1, 1)
    plan = running(period, Moment(monday, monday, 0))
    assert plan.start == monday
    assert plan.compared == []
    assert {name: pieces for name, (_, pieces) in plan.bases.items()} == {name: [] for name in plan.bases}


def test_a_period_that_a_date_ends_is_compared_whole():
    moment = Moment(date(2026, 2, 28), date(2026, 3, 1), 0)
    assert running(MONTH, moment).compared == [(MONTH, date(2026, 2, 1), 0)]
    assert running(MONTH, moment).bases[BEFORE] == (date(2026, 1, 1), [(MONTH, date(2026, 1, 1), 0)])


def test_an_unfinished_shorter_month_is_compared_with_as_many_days_of_the_longer_one():
    plan = running(MONTH, Moment(date(2026, 2, 28), date(2026, 2, 28), 9))
    assert plan.bases[BEFORE][1] == [
        *((DAY, date(2026, 1, n), 0) for n in range(1, 28)),
        *((HOUR, date(2026, 1, 28), hour) for hour in range(9)),
    ]
