"""Trends: every number equals what a simple oracle computes from the raw events."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.comparisons import Comparison
from app_metrics.models import Item, Metric
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record
from app_metrics.trending import trending_for_metric, trends
from tests.support.scope import examples, full_length
from tests.support.summaries import measured, summary_of
from tests.support.threads import while_another

pytestmark = pytest.mark.every_database

BERLIN = ZoneInfo("Europe/Berlin")
# Zones whose clocks change by half an hour, around midnight or by a whole day, and one with a quarter-hour offset.
ZONES = [
    "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "America/New_York", "Pacific/Apia",
    "America/Havana",
]  # fmt: skip
KINDS = ("counter", "gauge", "timer")
LABEL_SETS = [{}, {"plan": "pro"}, {"plan": "free"}]
NO_TREND = (None, None, None, None, "n/a")


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone)


def found(name="x", kind="counter"):
    return create_metric(name, name, kind)


def trends_of(name="x", day=None, labels=None, kind="counter"):
    return trends([found(name, kind)], day, labels)[name]


def figures(comparison):
    return comparison.current, comparison.base, comparison.change, comparison.relative, comparison.verdict


# The oracle uses raw events and plain dates, and nothing of app_metrics.


def local_hour(second, zone):
    """Return the local date of a Unix time, and how many full hours of that date have passed."""
    day = datetime.fromtimestamp(second, zone).date()
    offsets = {datetime.combine(day + timedelta(days=n), time(12), zone).utcoffset() for n in (-2, -1, 0, 1)}
    midnights = [datetime.combine(day, time(), UTC) - offset for offset in offsets]
    first = min(each for each in midnights if each.astimezone(zone).date() == day)
    return day, int(second - first.timestamp()) // 3600


def dates_of(period, day, week_start):
    """Return the first and last date of the period that contains a date."""
    if period == "day":
        return day, day
    if period == "month":
        return date(day.year, day.month, 1), date(day.year, day.month, monthrange(day.year, day.month)[1])
    if period == "year":
        return date(day.year, 1, 1), date(day.year, 12, 31)
    while day.strftime("%A").lower() != week_start:
        day -= timedelta(days=1)
    return day, day + timedelta(days=6)


def compared_with(period, first, week_start):
    """Return the first date of each period that this one is compared with."""
    others = {"before": dates_of(period, first - timedelta(days=1), week_start)[0]}
    if period == "day":
        others |= {"week_before": first - timedelta(days=7), "year_before": first - timedelta(days=364)}
    if period == "week":
        starts = [first - timedelta(weeks=weeks) for weeks in range(45, 60)]
        year, number = iso_week(first)
        others["year_before"] = next((each for each in starts if iso_week(each) == (year - 1, number)), None)
    if period == "month":
        others["year_before"] = date(first.year - 1, first.month, 1)
    return others


def iso_week(first):
    monday = next(each for each in (first, first + timedelta(days=1)) if each.weekday() == 0)
    return tuple(map(int, monday.strftime("%G %V").split()))


class Oracle:
    """What trends must show for events, which are tuples of second, number and index of a label set."""

    def __init__(self, events, zone, week_start, now, day):
        self.events = [(*local_hour(event[0], zone), *event) for event in events]
        self.week_start = week_start
        today, hour = local_hour(now, zone)
        self.is_now = day in (None, today)
        self.today = today if day is None else day
        # The first date that is not over, and how many of its hours are over.
        self.until = (today, hour) if self.is_now else (self.today + timedelta(days=1), 0)

    def part(self, period, first, base):
        """The events of the period from `base`, up to the time that has passed in the period from `first`."""
        if base is None:
            return []
        last = dates_of(period, base, self.week_start)[1]
        within = [event for event in self.events if base <= event[0] <= last]
        if self.until[0] > dates_of(period, first, self.week_start)[1]:
            return within
        if period == "year":
            end, hours = self.until
            return [each for each in within if (each[0].month, each[0].day, each[1]) < (end.month, end.day, hours)]
        passed = ((self.until[0] - first).days, self.until[1])
        return [each for each in within if ((each[0] - base).days, each[1]) < passed]

    def within(self, first, last):
        return [event for event in self.events if first <= event[0] <= last]

    def trend(self, kind, period, closed):
        first, last = dates_of(period, self.today, self.week_start)
        if closed:
            first, last = dates_of(period, first - timedelta(days=1), self.week_start)

        def part(base):
            if not closed:
                return self.part(period, first, base)
            return self.within(*dates_of(period, base, self.week_start)) if base else []

        everything = self.within(first, last) if closed or self.is_now else part(first)
        comparisons = {
            name: (base, *compare(value(kind, part(first)), value(kind, part(base)), base))
            for name, base in compared_with(period, first, self.week_start).items()
        }
        return first, summarised(everything), comparisons

    def classic(self, kind):
        yesterday = self.today - timedelta(days=1)
        last_month = date(yesterday.year, yesterday.month, 1) - timedelta(days=1)
        month_before = last_month.replace(day=min(yesterday.day, last_month.day))

        def so_far(period, name):
            first, last = dates_of(period, self.today, self.week_start)
            if name == period:
                return self.within(first, last) if self.is_now else self.part(period, first, first)
            if name == "previous_month_week":
                return self.part(period, first, first - timedelta(days=28))
            others = compared_with(period, first, self.week_start)
            return self.part(period, first, others["before" if name == f"previous_{period}" else "year_before"])

        events = {
            "current_day": so_far("day", "day"),
            "yesterday": {
                "yesterday": self.within(yesterday, yesterday),
                "previous_week": self.within(*[yesterday - timedelta(days=7)] * 2),
                "previous_month": self.within(month_before, month_before),
            },
            **{
                period: {name: so_far(period, name) for name in [period, *names]}
                for period, names in {
                    "week": ["previous_week", "previous_month_week", "previous_year_week"],
                    "month": ["previous_month", "previous_month_year"],
                    "year": ["previous_year"],
                }.items()
            },
        }
        return {
            group: {name: value(kind, each) or 0 for name, each in held.items()}
            if isinstance(held, dict)
            else value(kind, held) or 0
            for group, held in events.items()
        }


def summarised(events):
    """Return count, sum, smallest, largest and latest number of events; None if there are none."""
    if not events:
        return None
    found = [number for *_, number, _ in events]
    return len(found), sum(found), min(found), max(found), max(events, key=lambda event: event[2])[3]


def value(kind, events):
    """Return the value of events: their sum, the latest number, or the mean to nine decimal places."""
    if not events:
        return 0 if kind == "counter" else None
    total, latest = sum(event[3] for event in events), max(events, key=lambda event: event[2])[3]
    mean = Decimal(round(Fraction(total) / len(events) * 10**9)).scaleb(-9)
    return {"counter": total, "gauge": latest, "timer": mean}[kind]


def compare(current, base, start):
    """Return current and base, absolute and relative change, and the verdict."""
    base = None if start is None else base
    change = None if current is None or base is None else current - base
    relative = Fraction(change) / abs(Fraction(base)) if base and change is not None else None
    if start is None or current is None or (base == 0 and current == 0):
        verdict = "n/a"
    elif not base:
        verdict = "new"
    else:
        verdict = "up" if current > base else "down" if current < base else "same"
    return current, base, change, relative, verdict


def told(trend):
    """Convert a trend to the oracle's format."""
    comparisons = {name: (each.start, *figures(each)) for name, each in trend.comparisons.items()}
    return trend.start, trend.summary and trend.summary[:5], comparisons


def rounded(trend):
    start, summary, comparisons = trend
    return (
        start,
        summary,
        {
            name: tuple(
                round(Fraction(each), 15) if n == 4 and each is not None else each for n, each in enumerate(said)
            )
            for name, said in comparisons.items()
        },
    )


# Generated situations: moments with odd calendars or clocks, and events on both sides of each boundary.


def odd_dates(year, zone):
    """Return a year's dates with known problems, and those on which its clocks change."""
    noons = [datetime(year, 1, 1, 12, tzinfo=zone) + timedelta(days=n) for n in range(365)]
    changes = [
        noon.date() for noon, other in zip(noons[1:], noons, strict=False) if noon.utcoffset() != other.utcoffset()
    ]
    known = [(1, 1), (1, 2), (1, 4), (2, 28), (3, 1), (3, 30), (3, 31), (5, 31), (7, 30), (12, 28), (12, 30), (12, 31)]
    leap = [date(year, 2, 29)] if monthrange(year, 2)[1] == 29 else []
    return [date(year, *each) for each in known] + leap * 3 + changes * 2


@st.composite
def situations(draw, zone):
    """Draw a moment, a reference date or none, and events around the periods that are then compared."""
    zone = ZoneInfo(zone)
    year = draw(st.one_of(st.integers(1970, 2100), st.sampled_from([1972, 2000, 2011, 2012, 2021, 2026, 2027, 2028])))
    day = draw(st.one_of(st.dates(date(year, 1, 1), date(year, 12, 31)), st.sampled_from(odd_dates(year, zone))))
    now = datetime.combine(
        day, draw(st.one_of(st.times(), st.sampled_from([time(0), time(10, 30), time(23, 59)]))), zone
    )
    looked_from = draw(st.one_of(st.none(), st.just(day), st.integers(-800, 60).map(lambda n: day + timedelta(days=n))))
    today = looked_from or day
    boundaries = {today, today - timedelta(days=7), today - timedelta(days=28), today - timedelta(days=364)}
    for period in ("week", "month", "year"):
        first = dates_of(period, today, "monday")[0]
        for base in (first, *compared_with(period, first, "monday").values()):
            if base is not None:
                boundaries |= {base, base + (today - first)}
    boundaries |= {date(year, *each) for year in (today.year, today.year - 1) for each in [(3, 1), (today.month, 1)]}
    days = st.sampled_from(sorted(boundaries)).flatmap(
        lambda each: st.sampled_from([each + timedelta(days=n) for n in (0, 0, 0, -1, 1, -2, 2)])
    )
    beside = st.integers(-3700, 3700).map(
        lambda seconds: (now + timedelta(seconds=seconds)).time().replace(tzinfo=None)
    )
    times = st.one_of(beside, st.sampled_from([time(0), time(0, 59, 59), time(23, 0), time(23, 59, 59)]), st.times())
    moments = st.builds(
        lambda day, clock, fold: datetime.combine(day, clock.replace(fold=fold), zone), days, times, st.integers(0, 1)
    )
    events = st.lists(
        st.tuples(
            moments.map(lambda each: int(each.timestamp())),
            st.one_of(st.integers(-9, 9), st.decimals(-99, 99, places=3)),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=60,
        unique_by=lambda event: event[0],
    )
    return (
        int(now.timestamp()),
        looked_from,
        draw(events),
        draw(st.integers(0, 60)),
        draw(st.sampled_from([None, 0, 1, 2])),
    )


def store(events, aggregated):
    """Record events under each kind, and aggregate the first `aggregated` of them."""
    for part, is_waiting in ((events[:aggregated], False), (events[aggregated:], True)):
        with collect():
            for second, number, labels in part:
                for kind in KINDS:
                    record(kind, kind, number, LABEL_SETS[labels], datetime.fromtimestamp(second, UTC))
        if part and not is_waiting:
            aggregate()


@pytest.mark.django_db
@pytest.mark.parametrize("week_start", ["monday", pytest.param("sunday", marks=pytest.mark.slow)])
@pytest.mark.parametrize("zone", ZONES)
def test_trends_equal_those_computed_from_raw_events(settings, zone, week_start):
    settings.APP_METRICS_TIME_ZONE, settings.APP_METRICS_WEEK_START = zone, week_start
    settings.APP_METRICS_YEARS = (1900, 2200)

    @given(situations(zone))
    @hypothesis_settings(max_examples=500 if full_length else examples(20))
    def check(situation):
        now, day, events, aggregated, chosen = situation
        clock.move_to(datetime.fromtimestamp(now, UTC))
        metrics = [create_metric(kind, kind, kind) for kind in KINDS]
        store(events, aggregated)
        try:
            labels = None if chosen is None else LABEL_SETS[chosen]
            said = trends(metrics, day, labels)
            oracle = Oracle([e for e in events if chosen in (None, e[2])], ZoneInfo(zone), week_start, now, day)
            for kind in KINDS:
                for period in ("day", "week", "month", "year"):
                    for held, closed in ((said[kind].closed, True), (said[kind].so_far, False)):
                        assert rounded(told(held[period])) == rounded(oracle.trend(kind, period, closed))
            oracle = Oracle(events, ZoneInfo(zone), week_start, now, day)
            for each in metrics:
                assert trending_for_metric(each, day) == oracle.classic(each.slug)
        finally:
            Metric.objects.all().delete()
            Item.objects.all().delete()

    with freeze_time() as clock:
        check()


# Many odd dates in one: 31 March, two days after the clocks changed, 10:30 on the second day of week 14.
NOW = "2026-03-31 08:30:00"


def record_the_example():
    """Record powers of two, so that each sum shows which events it holds; half of them are aggregated."""
    moments = [
        at(2026, 3, 31, 9, 59), at(2026, 3, 31, 10, 15), at(2026, 3, 30, 23), at(2026, 3, 24, 9, 59),
        at(2026, 3, 24, 10), at(2026, 3, 23, 12), at(2026, 2, 28, 12), at(2026, 3, 3, 9), at(2026, 3, 3, 11),
        at(2025, 4, 1, 9, 30), at(2025, 4, 1, 10, 30), at(2025, 3, 31, 9), at(2025, 3, 31, 10), at(2025, 1, 1),
        at(2024, 12, 31, 23, 59),
    ]  # fmt: skip
    for parity in (0, 1):
        for number, moment in enumerate(moments):
            if number % 2 == parity:
                metric("x", 2**number, at=moment)
        if not parity:
            aggregate()


CLASSIC_EXAMPLE = {
    "current_day": 1 + 2,
    "yesterday": {"yesterday": 4, "previous_week": 32, "previous_month": 64},
    "week": {
        "week": 1 + 2 + 4,
        "previous_week": 8 + 32,
        "previous_month_week": 128,
        "previous_year_week": 512 + 2048 + 4096,
    },
    "month": {"month": 1 + 2 + 4 + 8 + 16 + 32 + 128 + 256, "previous_month": 64, "previous_month_year": 2048},
    "year": {"year": 511, "previous_year": 2048 + 8192},
}


@freeze_time(NOW)
def test_the_classic_dictionary_holds_these_keys_and_numbers(database):
    record_the_example()
    assert trending_for_metric(found()) == CLASSIC_EXAMPLE
    assert trending_for_metric(found(), date=date(2026, 3, 31)) == CLASSIC_EXAMPLE


@freeze_time(NOW)
def test_trends_give_the_numbers_of_the_classic_example(database):
    record_the_example()
    said = trends_of()
    held = {
        (name, period): (trend.start, trend.summary and trend.summary.total)
        for name, trends in (("closed", said.closed), ("so far", said.so_far))
        for period, trend in trends.items()
    }
    assert held == {
        ("closed", "day"): (date(2026, 3, 30), 4),
        ("closed", "week"): (date(2026, 3, 23), 8 + 16 + 32),
        ("closed", "month"): (date(2026, 2, 1), 64),
        ("closed", "year"): (date(2025, 1, 1), 512 + 1024 + 2048 + 4096 + 8192),
        ("so far", "day"): (date(2026, 3, 31), 3),
        ("so far", "week"): (date(2026, 3, 30), 7),
        ("so far", "month"): (date(2026, 3, 1), 447),
        ("so far", "year"): (date(2026, 1, 1), 511),
    }
    week = said.so_far["week"].comparisons
    assert set(week) == {"before", "year_before"}
    assert figures(week["before"]) == (5, 40, -35, Decimal("-0.875"), "down")
    assert (week["year_before"].start, week["year_before"].base) == (date(2025, 3, 31), 6656)
    day = said.closed["day"].comparisons
    assert {name: (each.start, each.base) for name, each in day.items()} == {
        "before": (date(2026, 3, 29), 0),
        "week_before": (date(2026, 3, 23), 32),
        "year_before": (date(2025, 3, 31), 2048 + 4096),
    }
    assert figures(said.closed["year"].comparisons["before"])[:2] == (15872, 16384)


@pytest.mark.parametrize(
    ("day", "closed", "so_far"),
    [
        # 31 March: February is shorter.
        ("2027-03-31", "2027-03-30 2027-03-22 2027-02-01 2026-01-01", "2027-03-31 2027-03-29 2027-03-01 2027-01-01"),
        ("2028-02-29", "2028-02-28 2028-02-21 2028-01-01 2027-01-01", "2028-02-29 2028-02-28 2028-02-01 2028-01-01"),
        # In week 53, which has no counterpart a year earlier.
        ("2027-01-01", "2026-12-31 2026-12-21 2026-12-01 2026-01-01", "2027-01-01 2026-12-28 2027-01-01 2027-01-01"),
        # In the week after it.
        ("2027-01-04", "2027-01-03 2026-12-28 2026-12-01 2026-01-01", "2027-01-04 2027-01-04 2027-01-01 2027-01-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_now", [False, True])
def test_odd_dates_have_the_right_periods(database, day, closed, so_far, is_now):
    day = date.fromisoformat(day)
    with freeze_time(datetime.combine(day, time(11, 30)) if is_now else "2029-07-07"):
        said = trends_of(day=None if is_now else day)
        trending_for_metric(found(), None if is_now else day)
    assert [each.start for each in said.closed.values()] == [*map(date.fromisoformat, closed.split())]
    assert [each.start for each in said.so_far.values()] == [*map(date.fromisoformat, so_far.split())]


@freeze_time("2027-01-05 12:00:00")
def test_a_week_is_compared_with_the_iso_week_of_the_year_before(database):
    for number, monday in enumerate([date(2025, 12, 22), date(2025, 12, 29), date(2026, 1, 5), date(2026, 12, 28)]):
        metric("x", 10**number, at=datetime.combine(monday, time(9), BERLIN))
    said = trends_of()
    assert said.closed["week"].comparisons["year_before"].start is None  # there is no week 53 of 2025
    assert figures(said.closed["week"].comparisons["year_before"]) == (1000, None, None, None, "n/a")
    running = said.so_far["week"].comparisons["year_before"]  # week 1 of 2027 and of 2026
    assert (running.start, running.base) == (date(2025, 12, 29), 10)
    assert trending_for_metric(found())["week"] == {
        "week": 0, "previous_week": 1000, "previous_month_week": 0, "previous_year_week": 10,
    }  # fmt: skip
    assert trending_for_metric(found(), date(2027, 1, 3))["week"]["previous_year_week"] == 0


@freeze_time("2026-03-04 12:00:00")
def test_a_week_may_begin_on_sunday(database, settings):
    settings.APP_METRICS_WEEK_START = "sunday"
    for number, sunday in enumerate([date(2025, 3, 2), date(2026, 2, 22), date(2026, 3, 1)]):
        metric("x", 10**number, at=datetime.combine(sunday, time(9), BERLIN))
        if number < 2:
            aggregate()
    week = trends_of().so_far["week"]
    assert (week.start, week.summary.total) == (date(2026, 3, 1), 100)
    assert {name: (each.start, each.base) for name, each in week.comparisons.items()} == {
        "before": (date(2026, 2, 22), 10), "year_before": (date(2025, 3, 2), 1),
    }  # fmt: skip


@freeze_time("2026-11-20 12:00:00")
def test_today_counts_todays_pending_items_and_no_older_ones(database):
    metric("x", 1)
    metric("x", 10, at=at(2026, 11, 19, 23, 59))
    metric("x", 100, at=at(2026, 10, 1))
    assert trending_for_metric(found())["current_day"] == 1
    assert trends_of().so_far["day"].summary.total == 1
    aggregate()
    metric("x", 1000, at=at(2026, 11, 20))
    assert trending_for_metric(found())["current_day"] == 1001


@freeze_time("2026-11-20 12:00:00")
def test_trends_can_be_read_for_a_past_date(database):
    metric("x", 2**20)
    record_the_example()
    later = 2**20
    assert trending_for_metric(found(), date(2026, 3, 31)) == {
        **CLASSIC_EXAMPLE,
        # Seen from its end, 31 March is over, so the other days count in full.
        "week": {
            **CLASSIC_EXAMPLE["week"],
            "previous_week": 8 + 16 + 32,
            "previous_month_week": 128 + 256,
            "previous_year_week": 512 + 1024 + 2048 + 4096,
        },
        "month": {**CLASSIC_EXAMPLE["month"], "previous_month_year": 2048 + 4096},
        "year": {"year": 511, "previous_year": 2048 + 4096 + 8192},
    }
    assert trending_for_metric(found())["year"]["year"] == 511 + later
    assert trends_of(day=date(2025, 6, 1)).so_far["year"].summary.total == 512 + 1024 + 2048 + 4096 + 8192


@freeze_time("2026-11-20 12:00:00")
def test_trends_of_a_date_ignore_later_events(database):
    metric("x", 1, at=at(2026, 11, 10, 23, 59))
    metric("x", 10, at=at(2026, 11, 11))
    said = trends_of(day=date(2026, 11, 10)).so_far
    assert [trend.summary.total for trend in said.values()] == [1, 1, 1, 1]


@freeze_time("2026-03-31 08:30:00")
@pytest.mark.parametrize("kind", KINDS)
def test_today_named_by_its_date_is_seen_as_it_is_now(database, kind):
    for moment in (at(2026, 3, 31, 10, 15), at(2026, 3, 24, 10, 15), at(2026, 2, 28, 12), at(2025, 3, 31, 10)):
        record("x", kind, 1, at=moment)
    assert trends_of(day=date(2026, 3, 31), kind=kind) == trends_of(kind=kind)


@freeze_time("2026-03-31 22:30:00")  # 1 April in Berlin
def test_a_datetime_stands_for_its_date_in_the_metrics_time_zone(database):
    metric("x", 1, at=at(2026, 4, 1))
    metric("x", 10, at=at(2026, 3, 31, 23))
    for moment in (datetime.now(UTC), datetime.now(BERLIN), datetime(2026, 4, 1, 0, 30)):  # noqa: DTZ001
        assert trends_of(day=moment) == trends_of(day=date(2026, 4, 1)) == trends_of()
        assert trending_for_metric(found(), moment) == trending_for_metric(found())
    assert trends_of(day=at(2026, 3, 31, 12)) == trends_of(day=date(2026, 3, 31))


@freeze_time("2026-11-20 09:30:00")  # 10:30 in Berlin
def test_an_unfinished_period_is_compared_with_the_same_elapsed_part(database):
    for day in (19, 20):
        metric("x", 1, at=at(2026, 11, day, 0))
        metric("x", 10, at=at(2026, 11, day, 9, 59))
        metric("x", 100, at=at(2026, 11, day, 10))
        metric("x", 1000, at=at(2026, 11, day, 10, 45))
    today = trends_of().so_far["day"]
    assert today.summary.total == 1111  # everything recorded today
    assert figures(today.comparisons["before"]) == (11, 11, 0, 0, "same")  # its ten full hours


@freeze_time("2026-11-20 09:30:00")
def test_on_a_base_of_zero_there_is_no_ratio(database):
    metric("x", 7, at=at(2026, 11, 20, 9))
    said = trends_of()
    assert figures(said.so_far["day"].comparisons["before"]) == (7, 0, 7, None, "new")
    assert figures(said.closed["day"].comparisons["before"]) == (0, 0, 0, None, "n/a")


def summary(*values, at=0):
    return summary_of(*values, at=at) if values else None


@pytest.mark.parametrize(
    ("kind", "now", "then", "expected"),
    [
        ("counter", [3], [2], (3, 2, 1, Decimal("0.5"), "up")),
        ("counter", [1], [2], (1, 2, -1, Decimal("-0.5"), "down")),
        ("counter", [2], [1, 1], (2, 2, 0, 0, "same")),
        ("counter", [], [2], (0, 2, -2, -1, "down")),
        ("counter", [2], [], (2, 0, 2, None, "new")),
        ("counter", [-2], [], (-2, 0, -2, None, "new")),
        ("counter", [2], [1, -1], (2, 0, 2, None, "new")),
        ("counter", [], [], (0, 0, 0, None, "n/a")),
        ("counter", [-1], [-2], (-1, -2, 1, Decimal("0.5"), "up")),
        ("counter", [-3], [-2], (-3, -2, -1, Decimal("-0.5"), "down")),
        ("counter", [1], [-2], (1, -2, 3, Decimal("1.5"), "up")),
        ("counter", [-1], [2], (-1, 2, -3, Decimal("-1.5"), "down")),
        ("counter", [Decimal("0.5")], [Decimal("0.25")], (Decimal("0.5"), Decimal("0.25"), Decimal("0.25"), 1, "up")),
        ("gauge", [9, 3], [9, 2], (3, 2, 1, Decimal("0.5"), "up")),
        ("gauge", [0], [2], (0, 2, -2, -1, "down")),
        ("gauge", [2], [5, 0], (2, 0, 2, None, "new")),
        ("gauge", [0], [0], (0, 0, 0, None, "n/a")),
        ("gauge", [0], [], (0, None, None, None, "new")),
        ("gauge", [], [2], (None, 2, None, None, "n/a")),
        ("gauge", [], [], NO_TREND),
        ("timer", [1, 5], [1, 1, 4], (3, 2, 1, Decimal("0.5"), "up")),
        ("timer", [1], [], (1, None, None, None, "new")),
        ("timer", [], [1], (None, 1, None, None, "n/a")),
        ("timer", [], [], NO_TREND),
    ],
)  # fmt: skip
def test_a_comparison_has_the_change_and_a_verdict(kind, now, then, expected):
    assert figures(Comparison(kind, date(2026, 1, 1), summary(*now), summary(*then))) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_earlier_period_there_is_no_comparison(kind):
    assert figures(Comparison(kind, None, summary(3), None)) == (3, None, None, None, "n/a")


def test_changes_are_exact_in_any_decimal_context():
    numbers = [Decimal("0.000000001"), Decimal("12345678901234567890123456789.123456789")]
    small, big = [summary_of(number) for number in numbers]
    with localcontext(prec=3):
        comparison = Comparison("counter", date(2026, 1, 1), small, big)
        change, relative = comparison.change, comparison.relative
        slight = Comparison("counter", date(2026, 1, 1), summary(12347), summary(12345)).relative
    assert change == Decimal("-12345678901234567890123456789.123456788")
    assert relative == -1
    assert slight == Decimal("0.0001620089104900769542324827866")


@freeze_time("2026-11-20 12:00:00")
def test_a_gauge_shows_its_last_value_and_its_range(database):
    gauge("x", 5, at=at(2026, 11, 19, 9))
    gauge("x", 2, at=at(2026, 11, 19, 23))
    aggregate()
    gauge("x", 8, at=at(2026, 11, 19, 12))
    gauge("x", 4, at=at(2026, 11, 18, 12))
    closed = trends_of(kind="gauge").closed["day"]
    assert (closed.summary.minimum, closed.summary.maximum, closed.summary.last) == (2, 8, 2)
    assert figures(closed.comparisons["before"]) == (2, 4, -2, Decimal("-0.5"), "down")
    assert trending_for_metric(found())["yesterday"] == {"yesterday": 2, "previous_week": 0, "previous_month": 0}


@freeze_time("2026-11-20 12:00:00")
def test_a_timer_shows_its_count_its_mean_and_its_range(database):
    for seconds, moment in [(1, at(2026, 11, 19, 9)), (2.5, at(2026, 11, 19, 23)), (7, at(2026, 11, 18, 9))]:
        record("x", "timer", seconds, at=moment)
        aggregate()
    record("x", "timer", 4, at=at(2026, 11, 19, 10))
    closed = trends_of(kind="timer").closed["day"]
    assert (closed.summary.count, closed.summary.minimum, closed.summary.maximum) == (3, 1, 4)
    assert figures(closed.comparisons["before"])[:3] == (Decimal("2.5"), 7, Decimal("-4.5"))
    assert trending_for_metric(found())["yesterday"]["yesterday"] == Decimal("2.5")


@freeze_time("2026-11-20 12:00:00")
def test_labels_choose_one_label_set_and_no_labels_choose_all(database):
    for number, labels in enumerate([None, {"plan": "pro"}, {"plan": "pro", "country": "DE"}]):
        metric("x", 10**number, labels=labels, at=at(2026, 11, 19))
        aggregate()
        metric("x", 2 * 10**number, labels=labels, at=at(2026, 11, 19))

    def yesterday(labels):
        summary = trends_of(labels=labels).closed["day"].summary
        return summary and summary.total

    assert yesterday(None) == 333
    assert yesterday({}) == 3
    assert yesterday({"plan": "pro"}) == 30
    assert yesterday({"country": "DE", "plan": "pro"}) == 300
    assert yesterday({"plan": "Pro"}) is None


@freeze_time("2026-11-20 12:00:00")
@pytest.mark.parametrize(("kind", "number"), [("counter", 0), ("gauge", None), ("timer", None)])
def test_a_metric_that_recorded_nothing_has_trends_of_nothing(database, kind, number):
    metric("other", 3)
    said = trends_of(kind=kind)
    for trend in [*said.closed.values(), *said.so_far.values()]:
        assert trend.summary is None
        assert {(each.current, each.base, each.verdict) for each in trend.comparisons.values()} == {
            (number, number, "n/a")
        }
    assert set(trending_for_metric(found())["year"].values()) == {0}
    assert trends([]) == {}


@freeze_time("2026-11-20 12:00:00")
def test_each_metric_has_its_own_trends(database):
    metrics = [found("a"), found("b", "timer"), found("A"), found("none")]
    for slug in ("a", "b", "A"):
        metric(slug, ord(slug), at=at(2026, 11, 19))
        aggregate()
        metric(slug, ord(slug), at=at(2026, 11, 19))
    said = trends(metrics)
    assert [*said] == ["a", "b", "A", "none"]
    assert [trends.closed["day"].comparisons["before"].current for trends in said.values()] == [194, 98, 130, 0]
    assert {*trends(each for each in metrics[:1])} == {"a"}


@pytest.mark.parametrize("use_tz", [True, False])
@freeze_time("2026-03-31 22:30:00")
def test_the_metrics_time_zone_says_which_day_it_is_and_use_tz_does_not_matter(database, settings, use_tz):
    settings.USE_TZ = use_tz
    metric("x", 1)
    metric("x", 10, at=at(2026, 3, 31, 23, 59))
    assert trending_for_metric(found())["current_day"] == 1
    assert trends_of().closed["day"].summary.total == 10
    settings.APP_METRICS_TIME_ZONE = "America/New_York"
    assert trends_of().so_far["day"].start == date(2026, 3, 31)


@pytest.mark.parametrize("thing", ["x", None, 3, Metric])
def test_only_a_metric_has_a_classic_dictionary(thing):
    with pytest.raises(TypeError, match="takes a Metric, not "):
        trending_for_metric(thing)


@pytest.mark.parametrize("many", [1, 50])
def test_trends_of_any_number_of_metrics_are_one_query(database, many, django_assert_num_queries):
    for number in range(many):
        with collect():
            metric(f"metric-{number}", number + 1, labels={"k": "v"})
            metric(f"metric-{number}", number + 1, at=at(2020, 1, 1))
        if number % 20 == 0:
            aggregate()
    aggregate()
    for number in range(many):
        metric(f"metric-{number}")
    metrics = list(Metric.objects.all())
    with django_assert_num_queries(1, using=database):
        said = trends(metrics)
    assert {slug: each.so_far["year"].summary.total for slug, each in said.items()} == {
        f"metric-{number}": number + 2 for number in range(many)
    }
    with django_assert_num_queries(1, using=database):
        trending_for_metric(metrics[0])


def test_no_metrics_need_no_query(database, django_assert_num_queries):
    with django_assert_num_queries(0, using=database):
        assert trends([]) == {}


@freeze_time(at(2026, 6, 10, 12, 30))
@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
def test_trends_of_a_percentile_compare_that_of_each_period(database, aggregated, django_assert_num_queries):
    metrics = [found("export", "timer"), found("orders")]
    with collect():
        for slowest, hour in ((30, at(2026, 6, 9, 9)), (20, at(2026, 6, 8, 9)), (40, at(2026, 6, 10, 11))):
            for number in (*[1] * 9, slowest):
                record("export", "timer", number, {"plan": "pro"}, hour)
        metric("orders", 5, at=at(2026, 6, 9, 9))
    if aggregated:
        aggregate()
    with django_assert_num_queries(1, using=database):
        said = trends(metrics, percent=95)
    assert figures(said["export"].closed["day"].comparisons["before"]) == (30, 20, 10, Decimal("0.5"), "up")
    assert figures(said["export"].so_far["day"].comparisons["before"])[:2] == (40, 30)
    assert figures(said["orders"].closed["day"].comparisons["before"]) == NO_TREND
    median = trends(metrics, labels={"plan": "pro"}, percent=50)["export"].closed["day"].comparisons["before"]
    assert figures(median) == (1, 1, 0, 0, "same")


def test_trends_take_no_percentage_beyond_100():
    with pytest.raises(ValueError, match="101 is not a percentage; give a number from 0 to 100"):
        trends([], percent=101)


def test_an_unknown_percentile_is_compared_with_nothing_and_is_no_base():
    known, unknown = measured(*range(1, 11)), summary_of(*range(1, 11))
    day = date(2026, 1, 1)
    assert figures(Comparison("timer", day, known, unknown, 95)) == (10, None, None, None, "n/a")
    assert figures(Comparison("timer", day, unknown, known, 95)) == (None, 10, None, None, "n/a")
    assert figures(Comparison("timer", day, known, None, 95)) == (10, None, None, None, "new")
    assert figures(Comparison("timer", None, known, None, 95)) == (10, None, None, None, "n/a")


def test_trends_beside_an_aggregation_count_everything_once(transactional_database):
    found("x")
    for _ in range(60):
        metric("x")
    seen = set()
    for _ in while_another(partial(aggregate, chunk_size=5)):
        seen |= {trend.summary.total for trend in trends_of().so_far.values()}
    assert seen == {60}
    assert not Item.objects.exists()
