"""Today so far, compared with the same weekday a week before up to the same time."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from app_metrics import collect
from app_metrics.aggregation.run import aggregate
from app_metrics.core.summary import COUNTER, GAUGE, TIMER, headline, merge
from app_metrics.dashboard.overview import overview
from app_metrics.dashboard.so_far import FULL, RUNNING, SECONDS, Cut, compare_so_far, spans_until, week_before
from app_metrics.models import Metric
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record
from tests.support.summaries import summary_of

BERLIN, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")
# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=BERLIN)
WEEK_AGO = NOW - timedelta(weeks=1)
KINDS = (COUNTER, GAUGE, TIMER)

amounts = st.lists(st.integers(0, 10**6), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("now", "cut"),
    [
        (NOW, Cut(date(2026, 6, 3), 12, 1800)),
        (NOW.replace(minute=0), Cut(date(2026, 6, 3), 12, 0)),
        (NOW.replace(hour=0, minute=2), Cut(date(2026, 6, 3), 0, 120)),
        # A week before, the clock skipped an hour, or repeated one.
        (datetime(2026, 4, 5, 10, 30, tzinfo=BERLIN), Cut(date(2026, 3, 29), 9, 1800)),
        (datetime(2026, 11, 1, 10, 30, tzinfo=BERLIN), Cut(date(2026, 10, 25), 11, 1800)),
        # At a time that did not exist then, or occurred twice.
        (datetime(2026, 4, 5, 2, 30, tzinfo=BERLIN), Cut(date(2026, 3, 29), 2, 1800)),
        (datetime(2026, 11, 1, 2, 30, tzinfo=BERLIN), Cut(date(2026, 10, 25), 2, 1800)),
        # Today, it skips or repeats one.
        (datetime(2026, 3, 29, 10, 30, tzinfo=BERLIN), Cut(date(2026, 3, 22), 10, 1800)),
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN), Cut(date(2026, 10, 18), 2, 1800)),
        (datetime(2026, 10, 25, 23, 30, tzinfo=BERLIN), Cut(date(2026, 10, 18), 23, 1800)),
        # A week before, the clock went back by half an hour.
        (datetime(2026, 4, 12, 10, 15, tzinfo=LORD_HOWE), Cut(date(2026, 4, 5), 10, 2700)),
        (datetime(2026, 4, 12, 23, 45, tzinfo=LORD_HOWE), Cut(date(2026, 4, 5), 24, 900, 1800)),
    ],
)
def test_a_day_is_cut_at_the_same_time_of_the_clock(now, cut, settings):
    settings.APP_METRICS_TIME_ZONE = str(now.tzinfo)
    with freeze_time(now):
        assert week_before() == cut


def compared(kind, today, full, running, seconds=1800, hours=12):
    found = {("x", FULL): full, ("x", RUNNING): running, ("x", "earlier"): summary_of(1)}
    cut = Cut(date(2026, 6, 3), hours, seconds)
    found = {name: each for name, each in found.items() if each}
    return compare_so_far(Metric(slug="x", kind=kind), cut, today, found)


@given(amounts, amounts, st.integers(0, SECONDS - 1))
def test_the_running_hour_of_a_counter_counts_in_proportion(before, then, seconds):
    full = sum(before) + 2 * sum(then)
    base = compared(COUNTER, summary_of(7), summary_of(full), summary_of(*then), seconds).base
    assert base == full + round(Decimal(sum(then)) * seconds / SECONDS)
    assert full <= base <= full + sum(then)


def test_a_shorter_hour_counts_in_proportion_to_its_length():
    found = {("x", FULL): summary_of(100), ("x", RUNNING): summary_of(20), ("x", "earlier"): summary_of(1)}
    assert compare_so_far(Metric(slug="x"), Cut(date(2026, 4, 5), 24, 900, 1800), None, found).base == 110


def test_amounts_with_decimals_keep_them():
    assert compared(COUNTER, None, summary_of(3), summary_of(Decimal("1.5"))).base == Decimal("3.75")


@pytest.mark.parametrize(("full", "verdict"), [(None, "n/a"), (19, "n/a"), (20, "down"), (-20, "up")])
def test_nothing_is_compared_as_long_as_the_estimated_hour_of_a_counter_weighs_much(full, verdict):
    known = None if full is None else summary_of(full)
    assert compared(COUNTER, summary_of(7), known, summary_of(10)).verdict == verdict


@given(st.sampled_from([GAUGE, TIMER]), st.one_of(st.none(), amounts), amounts, st.integers(0, SECONDS - 1))
def test_gauges_and_timers_are_compared_with_what_was_recorded_until_the_end_of_the_hour(kind, before, then, seconds):
    full = summary_of(*before, at=1) if before else None
    running = summary_of(*then, at=2)
    base = compared(kind, summary_of(7), full, running, seconds).base
    assert base == headline(kind, merge(full, running) if full else running)


@given(st.sampled_from(KINDS), amounts, amounts)
def test_the_number_that_is_compared_is_all_that_was_recorded_today(kind, today, before):
    said = compared(kind, summary_of(*today), summary_of(*before), None)
    assert said.current == headline(kind, summary_of(*today))


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_first_hour_of_a_day_nothing_is_compared(kind):
    said = compared(kind, summary_of(900), None, summary_of(900), hours=0)
    assert (said.verdict, said.relative) == ("n/a", None)


def test_the_time_before_consists_of_whole_weeks_and_days():
    first_of_week, last_of_week = date(2026, 6, 1), date(2026, 6, 7)
    for day, pieces in ((first_of_week, 4), (last_of_week, 10)):
        assert len(spans_until(Cut(day, 1, 0))["earlier"]) == pieces


def recorded(kind, *events):
    with collect():
        for number, moment in events:
            record("x", kind, number, None, moment)
    aggregate()


def row(kind):
    return overview([create_metric("x", "x", kind)])[0]


@pytest.fixture
def now(database):
    with freeze_time(NOW):
        yield


@pytest.mark.every_database
@pytest.mark.parametrize(("kind", "base"), [(COUNTER, 240), (GAUGE, 80), (TIMER, 140)])
def test_today_is_compared_with_the_same_part_of_the_day(kind, base, now):
    recorded(
        kind,
        (1000, WEEK_AGO - timedelta(days=7)),
        (200, WEEK_AGO.replace(hour=8)),
        (80, WEEK_AGO.replace(minute=50)),
        (500, WEEK_AGO.replace(hour=13, minute=0)),
    )
    record("x", kind, 30, None, NOW)
    found = row(kind)
    assert (found.today, found.comparison.current, found.comparison.base) == (30, 30, base)


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_in_which_counting_began_is_not_compared(kind, now):
    recorded(kind, (5, WEEK_AGO.replace(hour=11)), (9, NOW.replace(hour=9)))
    assert row(kind).comparison.verdict == "n/a"
    recorded(kind, (5, WEEK_AGO - timedelta(days=1)))
    assert row(kind).comparison.verdict == "up"


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_that_began_later_than_that_is_new(kind, now):
    recorded(kind, (5, WEEK_AGO.replace(hour=15)), (9, NOW.replace(hour=9)))
    assert row(kind).comparison.verdict == "new"


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_whose_hours_were_pruned_is_not_compared(kind, now, settings):
    recorded(kind, (5, WEEK_AGO - timedelta(days=1)), (8, WEEK_AGO.replace(hour=8)), (9, NOW.replace(hour=9)))
    assert row(kind).comparison.verdict == "up"
    settings.APP_METRICS_RETENTION = {"hour": 6}
    call_command("metrics_prune")
    assert row(kind).comparison.verdict == "n/a"


@pytest.mark.parametrize(("kind", "relative"), [(COUNTER, -1), (GAUGE, None), (TIMER, None)])
def test_a_day_without_events_is_a_fall_of_a_counter_alone(kind, relative, now):
    recorded(kind, (1, WEEK_AGO - timedelta(days=1)), (5, WEEK_AGO.replace(hour=8)))
    assert row(kind).comparison.relative == relative
