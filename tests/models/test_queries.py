"""Read totals and pending items together, each exactly once, in one statement."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core import calendar
from app_metrics.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK, YEAR
from app_metrics.core.summary import SHOWN, Summary
from app_metrics.models import Item, Metric, Total
from app_metrics.models.creation import create_metric
from app_metrics.models.queries import Point, QuerySources, all_time, point_of
from tests.support.summaries import summary_of
from tests.support.threads import while_another

pytestmark = pytest.mark.every_database

BERLIN = ZoneInfo("Europe/Berlin")
# Each has unusual clock changes of its own; the first day of the week is independent of that.
ZONES = [
    ("Europe/Berlin", "monday"),
    ("Pacific/Apia", "sunday"),
    *(
        pytest.param(zone, start, marks=pytest.mark.slow)
        for zone, start in [
            ("Asia/Kathmandu", "monday"),
            ("America/St_Johns", "sunday"),
            ("Australia/Lord_Howe", "monday"),
            ("America/Havana", "sunday"),
        ]
    ),
]
numbers = count()


@pytest.fixture
def downloads(database):
    return create_metric("Downloads")


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone)


def points(series):
    """Return the starts and totals of a series."""
    return [(point.start, point.total) for point in series]


def test_pending_and_aggregated_items_add_up(downloads):
    for number, moment in [(1, at(2026, 5, 31, 22)), (10, at(2026, 6, 1)), (100, at(2026, 6, 1, 23, 59))]:
        metric("downloads", number, at=moment)
    aggregate()
    metric("downloads", 1000, at=at(2026, 6, 30, 12))
    metric("downloads", 10_000, at=at(2026, 12, 31, 23, 59))
    day = date(2026, 6, 1)
    assert {period: downloads.total(period, day) for period in (DAY, WEEK, MONTH, YEAR)} == {
        DAY: 110, WEEK: 110, MONTH: 1110, YEAR: 11_111,
    }  # fmt: skip
    assert downloads.total("month", date(2026, 5, 1)) == 1
    assert downloads.total("hour", at(2026, 5, 31, 22, 59)) == 1
    assert downloads.total("year", date(2027, 1, 1)) == 0


def test_rows_that_hold_the_same_numbers_count_each(downloads):
    for plan in ("free", "pro"):
        metric("downloads", labels={"plan": plan}, at=at(2026, 6, 1))
    assert downloads.total("day", date(2026, 6, 1)) == 2
    aggregate()
    assert downloads.total("day", date(2026, 6, 1)) == 2


def test_items_that_equal_a_total_or_each_other_count_each(downloads):
    moment = at(2026, 6, 1, 9)
    metric("downloads", at=moment)
    aggregate()
    for expected in (2, 3):
        metric("downloads", at=moment)
        assert {period: downloads.total(period, moment) for period in PERIODS} == dict.fromkeys(PERIODS, expected)
        (summary,) = all_time(QuerySources.of([downloads])).values()
        assert (summary.count, type(summary.count), summary.total) == (expected, int, expected)


def test_a_summary_folds_totals_and_items(downloads):
    gauge("downloads", 5, at=at(2026, 6, 1, 10))
    aggregate()
    gauge("downloads", Decimal("-2.5"), at=at(2026, 6, 1, 9))
    gauge("downloads", 3, at=at(2026, 6, 1, 11))
    last_at = int(at(2026, 6, 1, 11).timestamp()) * 1_000_000
    assert downloads.summary("day", date(2026, 6, 1)) == summary_of(5, Decimal("-2.5"), 3, at=last_at)
    assert downloads.summary("day", date(2026, 6, 2)) is None


def test_a_count_is_visible_at_once_before_and_after_aggregations(downloads):
    for expected in range(1, 6):
        metric("downloads")
        assert downloads.total("day") == expected
        if expected % 2:
            aggregate()
        assert downloads.total("day") == expected
        assert downloads.series("day", date(2020, 1, 1), calendar.today())[-1].total == expected


def test_a_reader_beside_an_aggregation_sees_every_count_once(transactional_database):
    found = create_metric("x")
    for _ in range(100):
        metric("x")
    seen = set()
    for _ in while_another(partial(aggregate, chunk_size=5)):
        seen.add((found.total("day"), found.series("month", date(2020, 1, 1), calendar.today())[-1].total))
    assert seen == {(100, 100)}
    assert not Item.objects.exists()


@freeze_time("2026-05-31 22:30:00")
@pytest.mark.parametrize(("zone", "today", "month"), [("UTC", 1, 1), ("Europe/Berlin", 10, 10), (None, 10, 10)])
def test_today_is_the_date_of_the_metrics_time_zone(downloads, settings, zone, today, month):
    settings.APP_METRICS_TIME_ZONE = zone
    metric("downloads", 1, at=datetime.fromisoformat("2026-05-31 12:00"))
    metric("downloads", 10, at=datetime.fromisoformat("2026-06-01 00:15"))
    assert (downloads.total("day"), downloads.total("month")) == (today, month)
    annotated = Metric.objects.with_total("day").with_total("month", name="monthly").get()
    assert (annotated.period_total, annotated.monthly) == (today, month)


@freeze_time("2026-05-31 22:30:00")
def test_the_current_hour_is_read_without_naming_it(downloads):
    metric("downloads", 1, at=at(2026, 6, 1, 0, 1))
    metric("downloads", 10, at=at(2026, 5, 31, 23, 59))
    assert downloads.total("hour") == 1


def test_a_datetime_stands_for_its_local_date_and_a_naive_one_is_local(downloads, settings):
    settings.APP_METRICS_TIME_ZONE = "Pacific/Auckland"
    morning = at(2026, 6, 2, 8, zone=ZoneInfo("Pacific/Auckland"))
    metric("downloads", at=morning)
    aggregate()
    for moment in (morning, morning.astimezone(UTC), morning.replace(tzinfo=None)):
        assert downloads.total("day", moment) == downloads.total("hour", moment) == 1
        assert points(downloads.series("day", moment, moment)) == [(date(2026, 6, 2), 1)]
        assert sum(point.total for point in downloads.series("hour", moment, moment)) == 1
        assert Metric.objects.with_total("day", moment).get().period_total == 1


@pytest.mark.parametrize("read", ["total", "summary", "with_total", "series"])
def test_an_unknown_period_is_refused(downloads, read):
    day = date(2026, 1, 1)
    reader = getattr(Metric.objects if read == "with_total" else downloads, read)
    with pytest.raises(ValueError, match="'fortnight' is not a period"):
        reader("fortnight", *[day] * (2 if read == "series" else 1))


def test_an_hour_is_not_named_by_a_date(downloads):
    with pytest.raises(ValueError, match="An hour needs a datetime"):
        downloads.total("hour", date(2026, 1, 1))
    with pytest.raises(ValueError, match="does not support hours"):
        Metric.objects.with_total("hour")


def test_labels_choose_one_label_set_and_no_labels_choose_all(downloads):
    day = date(2026, 6, 1)
    for labels, number in [(None, 1), ({"plan": "pro"}, 10), ({"plan": "pro", "country": "DE"}, 100)]:
        metric("downloads", number, labels=labels, at=at(2026, 6, 1))
        aggregate()
        metric("downloads", number * 2, labels=labels, at=at(2026, 6, 1))
    assert downloads.total("day", day) == 333
    assert downloads.total("day", day, labels={}) == 3
    assert downloads.total("day", day, labels={"plan": "pro"}) == 30
    assert downloads.total("day", day, labels={"country": "DE", "plan": "pro"}) == 300
    assert downloads.total("day", day, labels={"plan": "Pro"}) == 0
    assert downloads.series("day", day, day, labels={"plan": "pro"})[0].total == 30


def test_a_series_has_a_point_for_every_period_and_zeros_in_the_gaps(downloads):
    metric("downloads", 1, at=at(2026, 2, 27, 12))
    aggregate()
    metric("downloads", 10, at=at(2026, 3, 2, 12))
    metric("downloads", 1000, at=at(2026, 3, 3))
    first, last = date(2026, 2, 26), date(2026, 3, 2)
    days = downloads.series("day", first, last)
    assert [point.start for point in days] == [first + timedelta(days=n) for n in range(5)]
    assert [point.total for point in days] == [0, 1, 0, 0, 10]
    assert days[0] == Point(first, 0, 0, None, None, None)
    assert days[4] == Point(last, 1, 10, 10, 10, 10)


def test_a_point_has_the_shown_fields_of_a_summary_and_empty_ones_of_the_same_types():
    whole = Summary(2, Decimal(3), Decimal(1), Decimal(2), Decimal(2), 0)
    day = date(2026, 3, 2)
    assert Point._fields == ("start", *(field.name for field in SHOWN), "uniques")
    assert point_of(day, whole)._asdict().items() <= {"start": day, **whole._asdict()}.items()
    assert repr(point_of(day, None)[:3]) == repr((day, 0, Decimal(0)))


def test_a_series_of_longer_periods_covers_the_periods_it_touches(downloads):
    metric("downloads", 1, at=at(2026, 2, 1))
    aggregate()
    metric("downloads", 10, at=at(2026, 3, 31, 23))
    dates = date(2026, 2, 15), date(2026, 3, 15)
    assert points(downloads.series("month", *dates)) == [(date(2026, 2, 1), 1), (date(2026, 3, 1), 10)]
    assert points(downloads.series("year", *dates)) == [(date(2026, 1, 1), 11)]
    assert points(downloads.series("week", *dates))[0] == (date(2026, 2, 9), 0)
    assert downloads.series("day", dates[1], dates[0]) == []


@pytest.mark.parametrize(
    ("start", "starts"),
    [
        ("monday", {date(2026, 12, 21): 1, date(2026, 12, 28): 110}),
        ("sunday", {date(2026, 12, 27): 11, date(2027, 1, 3): 100}),
    ],
)
def test_a_week_follows_the_settings_and_may_span_two_years(downloads, settings, start, starts):
    settings.APP_METRICS_WEEK_START = start
    for number, moment in [(1, at(2026, 12, 27)), (10, at(2026, 12, 31)), (100, at(2027, 1, 3, 12))]:
        metric("downloads", number, at=moment)
        if number == 10:
            aggregate()
    assert dict(points(downloads.series("week", date(2026, 12, 27), date(2027, 1, 3)))) == starts
    assert {day: downloads.total("week", day + timedelta(days=6)) for day in starts} == starts
    aggregate()
    assert dict(Total.objects.filter(period="week").values_list("start", "total")) == starts


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
@pytest.mark.parametrize("aggregated", [False, True])
def test_a_series_of_hours_has_as_many_points_as_the_day_has_hours(downloads, day, hours, aggregated):
    midnight = at(day.year, day.month, day.day).astimezone(UTC)
    with collect():
        for hour in range(hours):
            metric("downloads", hour + 1, at=midnight + timedelta(hours=hour, minutes=59))
    if aggregated:
        aggregate()
    series = downloads.series("hour", day, day)
    starts = [(midnight + timedelta(hours=hour)).astimezone(BERLIN) for hour in range(hours)]
    assert points(series) == [(start, hour + 1) for hour, start in enumerate(starts)]
    assert [point.start.utcoffset() for point in series] == [start.utcoffset() for start in starts]
    assert downloads.total("hour", midnight + timedelta(hours=hours - 1)) == hours


@pytest.mark.parametrize(("zone", "week_start"), ZONES)
def test_hours_days_weeks_months_and_years_hold_the_same_sum(database, settings, zone, week_start):
    settings.APP_METRICS_TIME_ZONE, settings.APP_METRICS_WEEK_START = zone, week_start
    # These days cover unusual clock changes in these zones, and the end of a year.
    moments = st.datetimes(datetime(2011, 9, 20), datetime(2012, 1, 15)).map(lambda each: each.replace(tzinfo=UTC))  # noqa: DTZ001

    @given(st.lists(st.tuples(moments, st.integers(-9, 9)), min_size=1, max_size=20), st.booleans())
    @hypothesis_settings(max_examples=3)
    def check(entries, aggregated):
        slug = f"x-{next(numbers)}"
        with collect():
            for moment, number in entries:
                metric(slug, number, at=moment)
        found = create_metric(slug, slug)
        if aggregated:
            aggregate()
            stored = {
                (p, sum(Total.objects.filter(metric=found, period=p).values_list("total", flat=True))) for p in PERIODS
            }
            assert stored == {(period, sum(number for _, number in entries)) for period in PERIODS}
        days = date(2011, 9, 19), date(2012, 1, 16)
        for period in PERIODS:
            series = found.series(period, *days)
            assert sum(point.count for point in series) == len(entries)
            assert sum(point.total for point in series) == sum(number for _, number in entries)

    check()


def test_the_day_that_never_was_has_no_hours(database, settings):
    settings.APP_METRICS_TIME_ZONE = "Pacific/Apia"
    apia = ZoneInfo("Pacific/Apia")
    metric("x", 1, at=at(2011, 12, 29, 23, 59, zone=apia))
    metric("x", 10, at=at(2011, 12, 31, zone=apia))
    aggregate()
    found, days = Metric.objects.get(), (date(2011, 12, 29), date(2011, 12, 31))
    assert points(found.series("day", *days)) == list(
        zip([*days[:1], date(2011, 12, 30), days[1]], [1, 0, 10], strict=True)
    )
    assert len(found.series("hour", *days)) == 48


@pytest.mark.parametrize(
    ("queries", "read"),
    [
        (1, lambda each: each.total(DAY)),
        (1, lambda each: each.total(HOUR)),
        (1, lambda each: each.series(DAY, date(2020, 1, 1), date(2026, 1, 1))),
        (1, lambda each: each.series(HOUR, date(2026, 1, 1), date(2026, 1, 7))),
        (1, lambda each: each.summary(YEAR, labels={})),
        (2, lambda each: each.summary(YEAR, labels={"k": "1"})),  # one finds out which label sets are beyond the cap
    ],
)
def test_readings_take_a_fixed_number_of_queries(downloads, database, queries, read, django_assert_num_queries):
    for number in range(3):
        metric("downloads", labels={"k": str(number)})
        if number == 1:
            aggregate()
    with django_assert_num_queries(queries, using=database):
        read(downloads)


def test_the_totals_of_all_metrics_are_one_query(database, django_assert_num_queries):
    create_metric("Never recorded", "never")
    for number in range(5):
        metric(f"metric-{number}", number, labels={"k": "v"})
        aggregate()
        metric(f"metric-{number}", Decimal("0.5"))
    with django_assert_num_queries(1, using=database):
        found = list(Metric.objects.with_total("week").order_by("-period_total").values_list("slug", "period_total"))
    assert found == [*((f"metric-{number}", number + Decimal("0.5")) for number in (4, 3, 2, 1, 0)), ("never", 0)]
    assert Metric.objects.with_total("week").filter(period_total__gt=4).get().slug == "metric-4"
