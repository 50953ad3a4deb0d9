"""What a chart shows: named ranges, dates, and the periods before them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from django.test import override_settings
from django.utils import translation
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics.conf import time_zone
from app_metrics.core.periods import (
    DAY,
    FIRST_YEAR,
    HOUR,
    LAST_YEAR,
    MONTH,
    PERIODS,
    WEEK,
    YEAR,
    hour_start,
    hours_in,
)
from app_metrics.dashboard import date_range as selections
from app_metrics.dashboard.date_range import DEFAULT_RANGE, MOST_POINTS, RANGES, Selection, ranged
from tests.support.scope import examples

MONDAY = date(2026, 11, 23)
LEAP_DAY = date(2028, 2, 29)
DAYS_OF = {HOUR: 1, DAY: 1, WEEK: 7, MONTH: 31, YEAR: 366}
everywhere = hypothesis_settings(max_examples=examples(300))
dates = st.dates(date(FIRST_YEAR + 1, 1, 1), date(LAST_YEAR, 12, 31))
recent = st.dates(date(2000, 1, 1), date(2040, 12, 31))
# Samoa skipped this date when it crossed the date line.
NO_DATES = {date(2011, 12, 30)}


def next_date(day):
    """Return the next date that has hours in the configured time zone."""
    day += timedelta(1)
    return day if hours_in(day, time_zone()) else next_date(day)


def shape(selection):
    return selection.period, selection.first, selection.last


@pytest.mark.parametrize(
    ("name", "shown", "points"),
    [
        ("2d", (HOUR, date(2026, 11, 22)), 48),
        ("7d", (HOUR, date(2026, 11, 17)), 168),
        ("28d", (DAY, date(2026, 10, 27)), 28),
        ("91d", (DAY, date(2026, 8, 25)), 91),
        ("52w", (WEEK, date(2025, 12, 1)), 52),
        ("24m", (MONTH, date(2024, 12, 1)), 24),
        ("5y", (YEAR, date(2022, 1, 1)), 5),
    ],
)
def test_a_named_range_ends_today_and_has_as_many_periods_as_its_name_says(name, shown, points):
    selection = ranged(name, MONDAY)
    assert shape(selection) == (*shown, MONDAY)
    assert len(selection.starts()) == points
    assert selection.split == ""


def test_every_named_range_is_tried_and_one_of_them_is_the_default():
    assert list(RANGES) == ["2d", "7d", "28d", "91d", "52w", "24m", "5y"]
    assert DEFAULT_RANGE == "28d"


@pytest.mark.parametrize(
    ("name", "today", "first"),
    [
        ("5y", LEAP_DAY, date(2024, 1, 1)),
        ("24m", LEAP_DAY, date(2026, 3, 1)),
        ("28d", LEAP_DAY, date(2028, 2, 2)),
        ("52w", LEAP_DAY, date(2027, 3, 8)),
        ("2d", date(2027, 1, 1), date(2026, 12, 31)),
        ("24m", date(2027, 1, 1), date(2025, 2, 1)),
        ("5y", date(2026, 12, 31), date(2022, 1, 1)),
        # 3 January 2027 is the Sunday of week 53.
        ("52w", date(2027, 1, 3), date(2026, 1, 5)),
    ],
)
def test_a_range_starts_right_at_the_edges_of_years(name, today, first):
    assert ranged(name, today).first == first


def test_a_range_of_weeks_begins_on_the_day_on_which_weeks_begin(settings):
    settings.APP_METRICS_WEEK_START = "sunday"
    sunday = date(2026, 11, 22)
    assert ranged("52w", sunday).starts()[-1] == (sunday, 0)
    assert ranged("52w", MONDAY).first == date(2025, 11, 30)
    assert ranged("52w", sunday - timedelta(1)).first == date(2025, 11, 23)
    assert Selection(WEEK, MONDAY, MONDAY).previous() == [(date(2026, 11, 15), 0)]


def test_a_range_takes_another_step_and_a_label():
    selection = ranged("28d", MONDAY, WEEK, "plan")
    assert (selection.period, selection.split) == (WEEK, "plan")
    assert [start for start, _ in selection.starts()] == [date(2026, 10, 26) + timedelta(weeks=n) for n in range(5)]


def previous_title(selection):
    with translation.override("en"):
        return selection.previous_title(selection.previous())


@pytest.mark.parametrize(
    ("name", "period", "title"),
    [
        ("2d", HOUR, "Previous 2 days"),
        ("7d", DAY, "Previous 7 days"),
        ("28d", DAY, "Previous 4 weeks"),
        ("91d", DAY, "Previous 13 weeks"),
        ("52w", WEEK, "Previous 52 weeks"),
        ("24m", MONTH, "Previous 24 months"),
        ("5y", YEAR, "Previous 5 years"),
        # Four weeks touch five calendar weeks.
        ("28d", WEEK, "Previous: 21 September – 25 October 2026"),
    ],
)
def test_the_range_before_has_the_name_of_the_range_if_it_is_as_long(name, period, title):
    assert previous_title(ranged(name, MONDAY, period)) == title


def test_the_range_before_chosen_dates_is_named_by_its_dates():
    assert previous_title(Selection(DAY, MONDAY, MONDAY)) == "Previous: 22 November 2026"
    assert previous_title(Selection(MONTH, date(2026, 2, 3), MONDAY)) == "Previous: 1 April 2025 – 31 January 2026"
    assert Selection(DAY, MONDAY, MONDAY).previous_title([]) == "Previous"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((DAY, MONDAY, MONDAY - timedelta(1)), "after the last"),
        ((DAY, date(FIRST_YEAR, 12, 31), date(FIRST_YEAR + 1, 1, 3)), "years 1001 to 9998"),
        ((DAY, date(LAST_YEAR, 12, 30), date(LAST_YEAR + 1, 1, 1)), "years 1001 to 9998"),
        ((DAY, date.min, date.min), "years 1001 to 9998"),
        ((DAY, date.max, date.max), "years 1001 to 9998"),
        ((DAY, MONDAY, MONDAY + timedelta(MOST_POINTS)), "at most 400 points"),
        ((HOUR, MONDAY, MONDAY + timedelta(16)), "at most 400 points"),
    ],
)
def test_a_range_that_cannot_be_shown_is_refused_with_the_reason(arguments, said):
    with pytest.raises(ValueError, match=said):
        Selection(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        (DAY, MONDAY, MONDAY),
        (DAY, date(FIRST_YEAR + 1, 1, 1), date(FIRST_YEAR + 1, 1, 1)),
        (DAY, date(LAST_YEAR, 12, 31), date(LAST_YEAR, 12, 31)),
        (DAY, MONDAY, MONDAY + timedelta(MOST_POINTS - 1)),
        (HOUR, MONDAY, MONDAY + timedelta(15)),
    ],
)
def test_ranges_up_to_each_limit_are_accepted(arguments):
    assert Selection(*arguments).starts()


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("today", [date.min, date(3, 1, 1), date.max])
def test_a_range_at_the_ends_of_the_calendar_is_refused_and_breaks_nothing(name, today):
    with pytest.raises(ValueError, match="years 1001 to 9998"):
        ranged(name, today)


@pytest.mark.parametrize("period", PERIODS)
def test_a_huge_range_is_refused_before_it_is_listed(period, monkeypatch):
    monkeypatch.setattr(selections, "starts_between", lambda *arguments: pytest.fail("it is listed"))
    with pytest.raises(ValueError, match="at most"):
        Selection(period, date(FIRST_YEAR + 1, 1, 1), date(LAST_YEAR, 12, 31))


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("first", [date(FIRST_YEAR + 1, 1, 1), MONDAY, LEAP_DAY, date(2027, 1, 31)])
def test_no_range_has_many_more_points_than_are_allowed_and_none_is_refused_below(period, first):
    accepted = refused = None
    for days in range(MOST_POINTS * DAYS_OF[period] // (24 if period == HOUR else 1) * 2):
        try:
            accepted = Selection(period, first, first + timedelta(days))
        except ValueError:
            refused = first + timedelta(days)
            break
    assert MOST_POINTS * 0.95 <= len(accepted.starts()) <= MOST_POINTS * 1.03
    with pytest.raises(ValueError, match="at most"):
        Selection(period, first, refused + timedelta(DAYS_OF[period] * 10))


@everywhere
@given(st.sampled_from(PERIODS), dates, st.integers(0, MOST_POINTS * 366 * 2))
def test_an_accepted_range_has_a_bounded_number_of_points(period, first, days):
    try:
        selection = Selection(period, first, first + timedelta(days))
    except (ValueError, OverflowError):
        assume(False)
    assert 1 <= len(selection.starts()) <= MOST_POINTS * 1.03
    assert len(selection.previous()) == len(selection.starts())


@everywhere
@given(
    period=st.sampled_from(PERIODS),
    first=recent,
    days=st.integers(0, 300),
    zone=st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"]),
    week_start=st.sampled_from(["monday", "sunday"]),
)
def test_there_are_equally_many_previous_periods_up_to_the_start(period, first, days, zone, week_start):
    with override_settings(APP_METRICS_TIME_ZONE=zone, APP_METRICS_WEEK_START=week_start):
        selection = Selection(period, first, first + timedelta(days // (20 if period == HOUR else 1)))
        assume(period != HOUR or not {selection.first, selection.last} & NO_DATES)
        starts, previous = selection.starts(), selection.previous()
        assert len(previous) == len(starts)
        assert starts[0][0] <= selection.first
        assert starts[-1][0] <= selection.last < period.next(starts[-1][0])
        together = [*previous, *starts]
        for (day, hour), following in pairwise(together):
            if period != HOUR:
                assert hour == 0
                assert (period.next(day), 0) == following
                assert period.start_of(day, {"monday": 1, "sunday": 7}[week_start]) == day
            elif hour + 1 < hours_in(day, time_zone()):
                assert following == (day, hour + 1)
            else:
                assert following == (next_date(day), 0)


@pytest.mark.parametrize(("first", "last", "hours"), [(29, 31, 48), (30, 31, 24), (29, 30, 24), (30, 30, 0)])
def test_a_date_that_never_was_has_no_hours_and_none_before_them(settings, first, last, hours):
    settings.APP_METRICS_TIME_ZONE = "Pacific/Apia"
    selection = Selection(HOUR, date(2011, 12, first), date(2011, 12, last))
    assert len(selection.starts()) == len(selection.previous()) == hours
    assert date(2011, 12, 30) not in {day for day, _ in [*selection.starts(), *selection.previous()]}


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_on_which_clocks_change_has_all_its_hours(day, hours):
    selection = Selection(HOUR, day, day)
    assert selection.starts() == [(day, hour) for hour in range(hours)]
    before = [hour_start(*start, time_zone()).astimezone(UTC) for start in selection.previous()]
    midnight = datetime.combine(day, datetime.min.time(), time_zone()).astimezone(UTC)
    assert before == [midnight - timedelta(hours=hours - number) for number in range(hours)]


def test_a_range_of_hours_has_equally_many_previous_hours_over_a_clock_change():
    after_change = Selection(HOUR, date(2026, 3, 30), date(2026, 3, 31))
    assert len(after_change.previous()) == len(after_change.starts()) == 48
    assert after_change.previous()[0] == (date(2026, 3, 27), 23)
    after_longer_day = Selection(HOUR, date(2026, 10, 26), date(2026, 10, 26))
    assert after_longer_day.previous() == [(date(2026, 10, 25), hour) for hour in range(1, 25)]
