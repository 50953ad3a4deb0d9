"""The calendar: every moment falls into exactly one hour, day, week, month and year."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app_metrics.core.periods import (
    DAY,
    HOUR,
    MONTH,
    PERIODS,
    WEEK,
    WHOLE_DAYS,
    YEAR,
    Period,
    bucket,
    elapsed_pieces,
    hour_start,
    hours_in,
    local_date,
    midnight,
    same_part,
)

# Zones whose clocks change at midnight, across midnight, by half an hour, by a whole day, or never.
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Havana",
        "America/Sao_Paulo",
        "America/Nuuk",
        "Antarctica/Casey",
    )
]
zones = st.sampled_from(ZONES)
week_starts = st.sampled_from([1, 7])
dates = st.dates(date(1920, 1, 1), date(2090, 12, 31))
seconds = st.integers(
    int(datetime(1920, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2090, 1, 1, tzinfo=UTC).timestamp())
)
# Unusual clock changes.
ODD = [
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("America/St_Johns", datetime(2010, 11, 7, 2, 31, tzinfo=UTC)),
    ("America/Havana", datetime(2024, 11, 3, 5, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("America/Nuuk", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Antarctica/Casey", datetime(2010, 3, 4, 15, tzinfo=UTC)),
]


def berlin(*moment, fold=0):
    zone = ZoneInfo("Europe/Berlin")
    return bucket(int(datetime(*moment, tzinfo=zone, fold=fold).timestamp()), zone)


def test_a_late_evening_belongs_to_its_local_day():
    zone = ZoneInfo("America/New_York")
    moment = datetime(2026, 5, 31, 22, tzinfo=zone)
    assert moment.astimezone(UTC).month == 6
    day, hour = bucket(int(moment.timestamp()), zone)
    assert (day, hour) == (date(2026, 5, 31), 22)
    assert [period.start_of(day) for period in PERIODS] == [
        date(2026, 5, 31), date(2026, 5, 31), date(2026, 5, 25), date(2026, 5, 1), date(2026, 1, 1),
    ]  # fmt: skip


def test_the_hour_that_clocks_show_twice_is_two_hours():
    assert berlin(2026, 10, 25, 2, 30, fold=0) == (date(2026, 10, 25), 2)
    assert berlin(2026, 10, 25, 2, 30, fold=1) == (date(2026, 10, 25), 3)
    assert berlin(2026, 10, 25, 23, 59) == (date(2026, 10, 25), 24)


def test_the_hour_that_clocks_skip_is_no_hour():
    assert berlin(2026, 3, 29, 1, 59) == (date(2026, 3, 29), 1)
    assert berlin(2026, 3, 29, 3, 0) == (date(2026, 3, 29), 2)
    assert berlin(2026, 3, 29, 23, 59) == (date(2026, 3, 29), 22)


def test_a_date_that_began_before_its_midnight_begins_with_its_first_hour():
    zone = ZoneInfo("America/Toronto")  # clocks went from 23:30 on 30 March to 00:30 on 31 March
    assert bucket(int(datetime(1919, 3, 31, 0, 45, tzinfo=zone).timestamp()), zone) == (date(1919, 3, 31), 0)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 6, 1), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 25),  # half an hour more
        ("Australia/Lord_Howe", date(2026, 10, 4), 24),  # half an hour less
        ("America/Havana", date(2024, 11, 2), 24),  # the next day shows midnight twice
        ("America/Havana", date(2024, 11, 3), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight is skipped
        ("America/Nuuk", date(2026, 3, 28), 23),  # the last hour is skipped
        ("America/St_Johns", date(2010, 11, 6), 25),  # clocks go back to this day one minute into 7 November
        ("Pacific/Apia", date(2011, 12, 29), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),  # Samoa skipped this date
    ],
)
def test_a_day_has_as_many_hours_as_its_clocks_show(zone, day, hours):
    assert hours_in(day, ZoneInfo(zone)) == hours


@given(seconds, zones)
def test_a_moment_falls_into_an_hour_of_its_local_date(second, zone):
    day, hour = bucket(second, zone)
    assert day == datetime.fromtimestamp(second, zone).date()
    assert 0 <= hour < hours_in(day, zone)
    begin = hour_start(day, hour, zone).timestamp()
    assert begin <= second < begin + 3600


@pytest.mark.parametrize(("name", "change"), ODD)
def test_every_minute_around_an_odd_change_of_clocks_falls_into_an_hour_of_its_date(name, change):
    zone = ZoneInfo(name)
    for minute in range(-2 * 1440, 2 * 1440):
        second = int(change.timestamp()) + 60 * minute
        day, hour = bucket(second, zone)
        assert day == datetime.fromtimestamp(second, zone).date()
        assert 0 <= hour < hours_in(day, zone)


@given(dates, zones)
def test_a_date_begins_at_its_midnight_and_not_before(day, zone):
    start = midnight(day, zone)
    if hours_in(day, zone):
        assert start.astimezone(zone).date() == day
    assert (start - timedelta(seconds=1)).astimezone(zone).date() < day


@given(dates, week_starts, st.sampled_from(PERIODS))
def test_a_date_is_in_exactly_one_period_of_each_length(day, week, period):
    start = period.start_of(day, week)
    assert start <= day < period.next(start)
    assert period.start_of(start, week) == start
    assert period.start_of(period.next(start), week) == period.next(start)


@given(dates, week_starts)
def test_a_week_has_seven_days_and_begins_on_its_weekday(day, week):
    start = WEEK.start_of(day, week)
    assert start.isoweekday() == week
    assert (WEEK.next(start) - start).days == 7


@pytest.mark.parametrize("day", [date(2026, 12, 28), date(2026, 12, 31), date(2027, 1, 1), date(2027, 1, 3)])
def test_week_53_holds_the_end_of_one_year_and_the_beginning_of_the_next(day):
    assert day.isocalendar()[:2] == (2026, 53)
    assert WEEK.start_of(day) == date(2026, 12, 28)
    assert YEAR.start_of(day) == date(day.year, 1, 1)


def test_a_week_may_begin_on_sunday():
    assert WEEK.start_of(date(2026, 11, 21), 7) == date(2026, 11, 15)
    assert WEEK.start_of(date(2026, 11, 22), 7) == date(2026, 11, 22)


@pytest.mark.parametrize(
    ("period", "start", "following"),
    [
        (DAY, date(2028, 2, 29), date(2028, 3, 1)),
        (MONTH, date(2026, 12, 1), date(2027, 1, 1)),
        (MONTH, date(2027, 1, 1), date(2027, 2, 1)),
        (YEAR, date(2028, 1, 1), date(2029, 1, 1)),
    ],
)
def test_after_a_period_comes_the_next(period, start, following):
    assert period.next(start) == following


@given(dates, st.integers(-1, 800), week_starts, st.sampled_from([DAY, WEEK, MONTH, YEAR]))
def test_the_starts_between_two_dates_cover_them_without_a_gap(first, days, week, period):
    last = first + timedelta(days=days)
    starts = list(period.starts_between(first, last, week))
    assert [period.next(start) for start in starts[:-1]] == starts[1:]
    if days >= 0:
        assert (starts[0], starts[-1]) == (period.start_of(first, week), period.start_of(last, week))


@given(st.lists(seconds, min_size=1), zones, week_starts)
@example([int(change.timestamp()) + 1800 * step for _, change in ODD for step in range(-50, 50)], ZONES[3], 7)
def test_hours_days_months_and_years_hold_the_same_sum(moments, zone, week):
    days = Counter(bucket(second, zone)[0] for second in moments)
    held = {period: Counter() for period in PERIODS}
    for second in moments:
        day, hour = bucket(second, zone)
        for period in PERIODS:
            held[period][period.start_of(day, week), hour if period == HOUR else 0] += 1
    assert {sum(counts.values()) for counts in held.values()} == {len(moments)}
    for period in PERIODS[1:]:
        for (start, _), count in held[period].items():
            assert count == sum(n for day, n in days.items() if start <= day < period.next(start))


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (date(2026, 5, 31), date(2026, 5, 31)),
        (datetime(2026, 5, 31, 22, tzinfo=UTC), date(2026, 6, 1)),
        (datetime(2026, 5, 31, 22), date(2026, 5, 31)),  # noqa: DTZ001
    ],
)
def test_local_date_converts_an_aware_datetime_and_keeps_a_naive_one(moment, day):
    found = local_date(moment, ZoneInfo("Europe/Berlin"))
    assert (found, type(found)) == (day, date)


longer = st.sampled_from(WHOLE_DAYS)


@given(dates, week_starts, longer)
def test_the_next_of_the_previous_period_is_the_period_itself(day, week, period):
    start = period.start_of(day, week)
    before = period.previous(start)
    assert period.next(before) == start
    assert period.start_of(before, week) == before


@given(dates, week_starts, longer, st.integers(-500, 500))
def test_steps_counts_the_periods_between_two_starts(day, week, period, number):
    start = period.start_of(day, week)
    shifted = period.shift(start, number)
    assert period.steps(start, shifted) == number
    assert period.shift(shifted, -number) == start
    assert period.start_of(shifted, week) == shifted


@given(dates, week_starts, longer, st.integers(1, 60))
def test_the_latest_periods_follow_each_other_up_to_this_one(day, week, period, number):
    start = period.start_of(day, week)
    latest = period.latest(start, number)
    assert (len(latest), latest[-1]) == (number, start)
    assert [period.next(each) for each in latest[:-1]] == latest[1:]
    assert period.last_day(start) == period.next(start) - timedelta(days=1)


@pytest.mark.parametrize(
    ("period", "start", "before"),
    [
        (DAY, date(2028, 3, 1), date(2028, 2, 29)),
        (WEEK, date(2027, 1, 4), date(2026, 12, 28)),
        (WEEK, date(2027, 1, 3), date(2026, 12, 27)),  # a week that begins on Sunday
        (MONTH, date(2026, 3, 1), date(2026, 2, 1)),
        (MONTH, date(2027, 1, 1), date(2026, 12, 1)),
        (YEAR, date(2028, 1, 1), date(2027, 1, 1)),
    ],
)
def test_previous_returns_the_start_of_the_period_before(period, start, before):
    assert period.previous(start) == before


@given(dates)
def test_a_day_a_year_earlier_is_the_same_weekday(day):
    earlier = DAY.year_earlier(day)
    assert earlier.weekday() == day.weekday()
    assert (day - earlier).days == 364


@given(dates, st.sampled_from([MONTH, YEAR]))
def test_a_month_or_year_a_year_earlier_has_the_same_name(day, period):
    start = period.start_of(day)
    assert period.year_earlier(start) == date(start.year - 1, start.month, 1)


@given(dates, week_starts)
@example(date(2026, 12, 28), 1)
@example(date(2027, 1, 2), 7)
@example(date(2021, 1, 3), 7)
def test_the_week_a_year_earlier_has_the_same_iso_number_if_it_exists(day, week):
    start = WEEK.start_of(day, week)
    monday = timedelta(days=0 if week == 1 else 1)
    year, number, _ = (start + monday).isocalendar()
    earlier = WEEK.year_earlier(start)
    if earlier is None:
        assert number == 53
        assert date(year - 1, 12, 28).isocalendar().week == 52  # 28 December is always in the last week
    else:
        assert (earlier + monday).isocalendar()[:] == (year - 1, number, 1)
        assert earlier.isoweekday() == week


@pytest.mark.parametrize(
    ("start", "earlier"),
    [
        (date(2026, 3, 30), date(2025, 3, 31)),  # week 14, 52 weeks earlier
        (date(2027, 1, 4), date(2025, 12, 29)),  # week 1, 53 weeks earlier
        (date(2026, 12, 28), None),  # 2025 has no week 53
        (date(2026, 3, 29), date(2025, 3, 30)),
        (date(2026, 12, 27), None),
        (date(2027, 1, 3), date(2025, 12, 28)),
    ],
)
def test_a_week_is_found_in_the_year_before_by_its_iso_number(start, earlier):
    assert WEEK.year_earlier(start) == earlier


def dates_and_hours(pieces):
    """Split pieces into whole dates and hours."""
    whole, hours = [], []
    for period, start, hour in pieces:
        if period == HOUR:
            hours.append((start, hour))
        else:
            assert hour == 0
            end = period.next(start)
            whole += [start + timedelta(days=n) for n in range((end - start).days)]
    return whole, hours


@given(dates, st.integers(0, 800), st.integers(0, 25))
def test_pieces_cover_every_date_and_hour_once(start, days, hours):
    end = start + timedelta(days=days)
    pieces = elapsed_pieces(start, end, hours)
    assert dates_and_hours(pieces) == (
        [start + timedelta(days=n) for n in range(days)],
        [(end, hour) for hour in range(hours)],
    )
    # Only the first and last months are split into days.
    assert len([period for period, *_ in pieces if period == DAY]) <= 60


def test_whole_months_are_one_piece():
    assert elapsed_pieces(date(2028, 1, 30), date(2028, 4, 2), 2) == [
        (DAY, date(2028, 1, 30), 0), (DAY, date(2028, 1, 31), 0), (MONTH, date(2028, 2, 1), 0),
        (MONTH, date(2028, 3, 1), 0), (DAY, date(2028, 4, 1), 0), (HOUR, date(2028, 4, 2), 0),
        (HOUR, date(2028, 4, 2), 1),
    ]  # fmt: skip
    assert elapsed_pieces(date(2028, 2, 1), date(2028, 3, 1), 0) == [(MONTH, date(2028, 2, 1), 0)]
    assert elapsed_pieces(date(2028, 2, 1), date(2028, 2, 1), 0) == []


@given(dates, st.integers(0, 366), st.integers(0, 24), longer, week_starts, st.integers(1, 60))
def test_the_same_part_lies_within_the_other_period(day, offset, hours, period, week, back):
    start = period.start_of(day, week)
    end = min(start + timedelta(days=offset), period.next(start) - timedelta(days=1))
    assert same_part(period, start, end, hours, start) == (end, hours)
    base = start
    for _ in range(back):
        base = period.previous(base)
    until, base_hours = same_part(period, start, end, hours, base)
    limit = period.next(base)
    assert base <= until <= limit
    if until == limit:
        assert base_hours == 0
        assert limit - base <= end - start  # the shorter period is taken whole
    elif not period.months or start.month != base.month:
        assert (until - base, base_hours) == (end - start, hours)
    elif (end.month, end.day) == (2, 29) and (until.month, until.day) != (2, 29):
        assert (until.month, until.day, base_hours) == (3, 1, 0)
    else:
        assert (until.month, until.day, base_hours) == (end.month, end.day, hours)


@pytest.mark.parametrize(
    ("period", "start", "end", "base", "part"),
    [
        (MONTH, date(2026, 3, 1), date(2026, 3, 31), date(2026, 2, 1), (date(2026, 3, 1), 0)),
        (MONTH, date(2026, 3, 1), date(2026, 3, 29), date(2026, 2, 1), (date(2026, 3, 1), 0)),
        (MONTH, date(2026, 3, 1), date(2026, 3, 28), date(2026, 2, 1), (date(2026, 2, 28), 9)),
        (MONTH, date(2028, 2, 1), date(2028, 2, 29), date(2027, 2, 1), (date(2027, 3, 1), 0)),
        (MONTH, date(2026, 2, 1), date(2026, 2, 28), date(2026, 1, 1), (date(2026, 1, 28), 9)),
        (YEAR, date(2028, 1, 1), date(2028, 2, 29), date(2027, 1, 1), (date(2027, 3, 1), 0)),
        (YEAR, date(2029, 1, 1), date(2029, 3, 1), date(2028, 1, 1), (date(2028, 3, 1), 9)),
        (YEAR, date(2026, 1, 1), date(2026, 12, 31), date(2025, 1, 1), (date(2025, 12, 31), 9)),
        (WEEK, date(2026, 3, 30), date(2026, 3, 31), date(2025, 3, 31), (date(2025, 4, 1), 9)),
        (DAY, date(2026, 3, 31), date(2026, 3, 31), date(2025, 4, 1), (date(2025, 4, 1), 9)),
    ],
)
def test_same_part_returns_where_the_elapsed_part_of_another_period_ends(period, start, end, base, part):
    assert same_part(period, start, end, 9, base) == part


def test_a_period_is_the_text_that_stands_for_it():
    assert list(Period) == ["hour", "day", "week", "month", "year"]
    assert (Period("day"), {"day": 1}[DAY], f"{DAY!r} {DAY}") == (DAY, 1, "'day' day")


@pytest.mark.parametrize("period", ["fortnight", "", None, "Day"])
def test_an_unknown_period_is_refused(period):
    with pytest.raises(ValueError, match="is not a period; choose one of hour, day, week, month, year"):
        Period(period)
