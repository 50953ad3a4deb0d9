"""The dashboard's charts of a metric, compared with the recorded events."""

from collections import defaultdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from freezegun import freeze_time

from app_metrics import collect, distribution, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.calendar import starts_at
from app_metrics.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK, YEAR
from app_metrics.core.summary import MEASURED, percentile
from app_metrics.dashboard.charts import (
    BESIDE,
    COUNT,
    MAXIMUM,
    MINIMUM,
    NOW,
    OTHER,
    OVERFLOW,
    PERCENTILE,
    PREVIOUS,
    VALUE,
    build_chart,
)
from app_metrics.dashboard.date_range import Selection
from app_metrics.models import Item, Total
from app_metrics.models.creation import create_metric
from app_metrics.models.splitting import MOST_VALUES
from app_metrics.recording.metrics import record
from tests.support.summaries import measured

BERLIN = ZoneInfo("Europe/Berlin")
PLANS = ["free", "pro", "other", "Other", "(none)", "=1+1", "ÄÖ", "x y", "<b>", "10", "9", "team"]


class Event(NamedTuple):
    number: Decimal
    at: datetime
    labels: dict


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone)


def bounds(period, start, zone):
    """Return the first instant of a period and the first one after it, as timestamps."""
    day, hour = start
    first = datetime.combine(day, time.min, zone).timestamp()
    end = datetime.combine(period.next(day), time.min, zone).timestamp()
    if period != HOUR:
        return first, end
    return first + hour * 3600, min(first + (hour + 1) * 3600, end)


def held(events, period, starts, zone):
    """Yield the events of each period."""
    for start in starts:
        first, end = bounds(period, start, zone)
        yield [event for event in events if first <= event.at.timestamp() < end]


def headline(kind, events):
    if not events:
        return 0 if kind == "counter" else None
    if kind == "gauge":
        return max(events, key=lambda event: event.at).number
    total = sum(event.number for event in events)
    return total if kind == "counter" else (total / len(events)).quantize(Decimal("1e-9"))


def expected_columns(kind, now, then):
    columns = {NOW: [headline(kind, events) for events in now]}
    if kind != "counter":
        columns[MINIMUM] = [min((event.number for event in events), default=None) for events in now]
        columns[MAXIMUM] = [max((event.number for event in events), default=None) for events in now]
    if kind in MEASURED:
        for percent in (50, 95, 99):
            columns[f"p{percent}"] = [percentile_of(events, percent) for events in now]
    columns[COUNT] = [len(events) or None for events in now]
    columns[PREVIOUS] = [headline(kind, events) for events in then]
    return columns


def percentile_of(events, percent):
    return percentile(measured(*(event.number for event in events)), percent) if events else None


def named(column):
    """Return the key of a percentile's column, or else the role of a column."""
    return column.key if column.role == PERCENTILE else column.role


def expected_split(kind, now):
    by_value = defaultdict(lambda: [[] for _ in now])
    for number, events in enumerate(now):
        for event in events:
            by_value[event.labels.get("plan")][number].append(event)

    def weight(value):
        events = [event for each in by_value[value] for event in each]
        return -(sum(event.number for event in events) if kind == "counter" else len(events)), value is None, value

    ranked = sorted(by_value, key=weight)
    parts = [(VALUE, value or "", value or "(none)", by_value[value]) for value in ranked[:MOST_VALUES]]
    rest = [
        [event for value in ranked[MOST_VALUES:] for event in by_value[value][number]] for number, _ in enumerate(now)
    ]
    columns = []
    for role, key, title, events in [*parts, *([(OTHER, "(other)", "(other)", rest)] if any(rest) else [])]:
        columns.append((role, key, [headline(kind, each) for each in events]))
        if kind in MEASURED:
            columns.append((BESIDE, f"{title} p95", [percentile_of(each, 95) for each in events]))
    return columns


# The time zone, the selection, and the current local time in 2026.
CASES = {
    "hours of a day that has 23": ("Europe/Berlin", Selection(HOUR, date(2026, 3, 28), date(2026, 3, 30)), (3, 30, 5)),
    "hours of a day that has 25": ("Europe/Berlin", Selection(HOUR, date(2026, 10, 24), date(2026, 10, 25)), (11, 3)),
    "hours after a shorter day": ("Europe/Berlin", Selection(HOUR, date(2026, 3, 30), date(2026, 3, 31)), (3, 31, 23)),
    "hours where clocks change by half": (
        "Australia/Lord_Howe",
        Selection(HOUR, date(2026, 4, 4), date(2026, 4, 6)),
        (4, 6, 9),
    ),
    "days": ("America/St_Johns", Selection(DAY, date(2026, 2, 20), date(2026, 3, 19)), (3, 15, 13)),
    "weeks": ("Asia/Kathmandu", Selection(WEEK, date(2025, 12, 17), date(2026, 2, 11)), (2, 11, 1)),
    "months": ("Europe/Berlin", Selection(MONTH, date(2025, 11, 1), date(2026, 9, 30)), (7, 1)),
    "years": ("Pacific/Apia", Selection(YEAR, date(2023, 5, 1), date(2026, 5, 1)), (5, 1, 12)),
    "all that is over": ("Europe/Berlin", Selection(DAY, date(2026, 2, 20), date(2026, 3, 19)), (3, 20)),
}


def recorded(kind, zone, selection, chance):
    """Record events before, in and after a selection, and aggregate some of them."""
    first = datetime.combine(selection.first, time.min, zone)
    length = int((datetime.combine(selection.last, time.min, zone) - first).total_seconds()) + 86_400
    events, moments = [], set()
    while len(events) < 120:
        moment = first + timedelta(seconds=chance.randrange(-length * 3 // 2, length * 5 // 4, 7))
        if moment.timestamp() in moments:
            continue
        moments.add(moment.timestamp())
        labels = {} if chance.random() < 0.1 else {"plan": chance.choice(PLANS[: chance.randint(1, len(PLANS))])}
        if chance.random() < 0.3:
            labels["country"] = chance.choice(["de", "fr"])
        number = Decimal(chance.randrange(1 if kind == "timer" else -500, 1000)) / 8
        events.append(Event(number, moment, labels))
    for part, is_aggregated in ((events[:70], True), (events[70:], False)):
        with collect():
            for event in part:
                record("orders", kind, event.number, event.labels, event.at)
        if is_aggregated:
            aggregate()
    return events


@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_number_of_a_chart_follows_from_the_events(case, kind, database, settings, django_assert_num_queries):
    name, selection, moment = case
    settings.APP_METRICS_TIME_ZONE, zone = name, ZoneInfo(name)
    orders = create_metric("Orders", "orders", kind)
    with freeze_time(at(2026, *moment, zone=zone)):
        events = recorded(kind, zone, selection, Random(repr(case) + kind))
        with django_assert_num_queries(2, using=database):  # the numbers, and the annotations
            chart = build_chart(orders, selection)
        # One finds out which pending label sets are beyond the cap.
        with django_assert_num_queries(3, using=database):
            split = build_chart(orders, Selection(*shape(selection), "plan"))
    starts, previous = (each[: len(chart.starts)] for each in (selection.starts(), selection.previous()))
    assert chart.starts == [starts_at(selection.period, *start) for start in starts]
    assert chart.previous == [starts_at(selection.period, *start) for start in previous]
    now, then = (list(held(events, selection.period, each, zone)) for each in (starts, previous))
    assert sum(map(len, now)) > 10
    assert sum(map(len, then)) > 10
    assert {named(column): column.numbers for column in chart.columns} == expected_columns(kind, now, then)
    assert [(*column[:2], column.numbers) for column in split.columns] == expected_split(kind, now)
    together = [event for each in now for event in each]
    for each in (chart, split):
        assert each.whole.count == len(together)
        assert each.whole.total == sum(event.number for event in together)
        assert (each.starts, each.previous, each.is_running) == (chart.starts, chart.previous, chart.is_running)
        assert each.comparison == chart.comparison
    over = count_over(selection, chart.starts, date(2026, *(*moment, 1)[:2]))
    assert chart.is_running == (over < len(chart.starts))
    assert chart.comparison.current == headline(kind, [event for each in now[:over] for event in each])
    assert chart.comparison.base == headline(kind, [event for each in then[:over] for event in each])


def shape(selection):
    return selection.period, selection.first, selection.last


def count_over(selection, starts, today):
    """Return how many periods are over; an hour is over when its day is."""
    if selection.period == HOUR:
        return sum(start.date() < today for start in starts)
    return sum(selection.period.next(start) <= today for start in starts)


@pytest.fixture
def orders(database):
    return create_metric("Orders", "orders")


def days(metric, first=1, last=3, split="", where=None):
    return build_chart(metric, Selection(DAY, date(2026, 6, first), date(2026, 6, last), split, where=where or {}))


def numbers(chart):
    return {(column.role, column.key): list(column.numbers) for column in chart.columns}


@freeze_time(at(2026, 6, 2, 9))
def test_periods_that_have_not_begun_are_left_out(orders):
    for day in (1, 2, 3, 4):
        metric("orders", 10**day, at=at(2026, 6, day, 12), labels={"plan": f"day-{day}"})
    for waiting in (True, False):
        chart, split = days(orders), days(orders, split="plan")
        assert chart.starts == split.starts == [date(2026, 6, 1), date(2026, 6, 2)]
        assert chart.previous == [date(2026, 5, 29), date(2026, 5, 30)]
        assert numbers(chart)[NOW, "value"] == [10, 100]
        assert numbers(split) == {(VALUE, "day-2"): [0, 100], (VALUE, "day-1"): [10, 0]}
        assert chart.whole.total == split.whole.total == 110
        assert chart.is_running
        if waiting:
            aggregate()


@freeze_time(at(2026, 6, 2, 9, 30))
def test_the_last_hour_of_a_chart_is_the_current_one(orders):
    selection = Selection(HOUR, date(2026, 6, 1), date(2026, 6, 3))
    chart = build_chart(orders, selection)
    assert [chart.starts[0], chart.starts[-1]] == [at(2026, 6, 1), at(2026, 6, 2, 9)]
    assert [chart.previous[0], chart.previous[-1]] == [at(2026, 5, 29), at(2026, 5, 30, 9)]
    assert len(chart.starts) == len(chart.previous) == 34
    assert chart.is_running


@freeze_time(at(2026, 5, 1))
def test_a_range_that_has_not_begun_is_empty(orders):
    chart = days(orders)
    assert chart.starts == chart.previous == []
    assert all(column.numbers == [] for column in chart.columns)
    assert (chart.is_running, chart.is_empty, chart.whole, chart.comparison) == (False, True, None, None)


@freeze_time(at(2026, 6, 20))
def test_a_range_in_the_past_has_no_running_period(orders):
    metric("orders", 3, at=at(2026, 6, 3))
    metric("orders", 2, at=at(2026, 5, 29))
    chart = days(orders)
    assert not chart.is_running
    assert (chart.comparison.current, chart.comparison.base, chart.comparison.relative) == (3, 2, Decimal("0.5"))
    assert chart.comparison.start == date(2026, 5, 29)


@freeze_time(at(2026, 6, 1, 9))
def test_nothing_is_compared_while_no_period_is_over(orders):
    metric("orders", 3)
    assert days(orders).comparison is None
    assert build_chart(orders, Selection(HOUR, date(2026, 6, 1), date(2026, 6, 1))).comparison is None


@freeze_time(at(2026, 6, 20))
@pytest.mark.every_database
def test_a_chart_distinguishes_no_value_from_zero(database):
    queue = create_metric("Queue", "queue", "gauge")
    assert days(queue).is_empty
    assert days(queue, split="plan").is_empty
    gauge("queue", 0, at=at(2026, 6, 2), labels={"plan": "pro"})
    assert not days(queue).is_empty
    assert not days(queue, split="plan").is_empty
    assert numbers(days(queue))[NOW, "value"] == [None, 0, None]


@freeze_time(at(2026, 6, 20))
def test_a_chart_shows_previous_values_if_its_range_has_none(orders):
    metric("orders", 3, at=at(2026, 5, 30))
    chart = days(orders)
    assert not chart.is_empty
    assert chart.whole is None
    assert numbers(chart)[PREVIOUS, "previous"] == [0, 3, 0]


@freeze_time(at(2026, 6, 20))
@pytest.mark.parametrize("aggregated", [False, True])
@pytest.mark.every_database
def test_the_largest_values_have_columns_and_the_rest_are_added_up(aggregated, orders):
    with collect():
        for number in range(12):
            metric("orders", number + 1, labels={"plan": f"p{number:02}"}, at=at(2026, 6, 1 + number % 3))
    if aggregated:
        aggregate()
    found = numbers(days(orders, split="plan"))
    assert list(found) == [*((VALUE, f"p{number:02}") for number in range(11, 3, -1)), (OTHER, "(other)")]
    assert found[OTHER, "(other)"] == [1 + 4, 2, 3]
    assert found[VALUE, "p11"] == [0, 0, 12]


@freeze_time(at(2026, 6, 20))
def test_as_many_values_as_have_columns_leave_no_rest(orders):
    for number in range(MOST_VALUES):
        metric("orders", 5, labels={"plan": f"p{number}"}, at=at(2026, 6, 1))
    assert [column.title for column in days(orders, split="plan").columns] == [f"p{n}" for n in range(MOST_VALUES)]


@freeze_time(at(2026, 6, 20))
@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_labels_of_gauges_and_timers_are_ranked_by_their_number_of_events(kind, database):
    load = create_metric("Load", "load", kind)
    for number in range(MOST_VALUES + 1):
        for minute in range(number + 1):
            moment = at(2026, 6, 1, 12, minute)
            record("load", kind, 100 - number, {"host": f"h{number}"}, moment)
    columns = days(load, split="host").columns
    means = [column for column in columns if column.role != BESIDE]
    assert [column.key for column in means] == [*(f"h{n}" for n in range(MOST_VALUES, 0, -1)), "(other)"]
    assert means[-1].numbers == [100, None, None]


@freeze_time(at(2026, 6, 20))
@pytest.mark.parametrize("aggregated", [False, True])
def test_the_overflow_series_is_apart_from_the_rest(aggregated, orders, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    with collect():
        for number, plan in enumerate(["free", "pro", "team", "max"]):
            metric("orders", 10**number, labels={"plan": plan}, at=at(2026, 6, 1))
    settings.APP_METRICS_MAX_LABEL_SETS = 10
    if aggregated:
        aggregate()
    # It is the last column, however large: its label values are unknown.
    split, filtered = days(orders, split="plan"), days(orders, where={"plan": "pro"})
    overflow = {(OVERFLOW, "(overflow)"): [1100, 0, 0]}
    assert numbers(split) == {(VALUE, "pro"): [10, 0, 0], (VALUE, "free"): [1, 0, 0], **overflow}
    assert split.whole.total == 1111
    assert numbers(filtered) == {
        (NOW, "value"): [10, 0, 0], (COUNT, "count"): [1, None, None], (PREVIOUS, "previous"): [0, 0, 0], **overflow
    }  # fmt: skip
    assert filtered.whole.total == 10
    # Some of it may not match the filter.
    assert [each.columns[-1].is_drawn for each in (split, filtered)] == [True, False]


@freeze_time(at(2026, 6, 20))
@pytest.mark.every_database
@pytest.mark.parametrize("aggregated", [False, True])
def test_a_filtered_chart_has_what_was_recorded_with_these_labels_among_others(aggregated, orders):
    series = [("de", "pro", 1), ("fr", "pro", 10), ("de", "free", 100), (None, "pro", 1000)]
    for hour, (country, plan, number) in enumerate(series):
        labels = {"plan": plan} | ({"country": country} if country else {})
        for day in (date(2026, 5, 31), date(2026, 6, 2)):
            metric("orders", number * day.day, labels=labels, at=at(day.year, day.month, day.day, hour))
    if aggregated:
        aggregate()
    chart = days(orders, where={"plan": "pro"})
    assert numbers(chart) == {
        (NOW, "value"): [0, 2022, 0], (COUNT, "count"): [None, 3, None], (PREVIOUS, "previous"): [0, 0, 31341],
    }  # fmt: skip
    assert (chart.whole.total, chart.comparison.base) == (2022, 31341)
    assert numbers(days(orders, where={"plan": "pro", "country": "de"}))[NOW, "value"] == [0, 2, 0]
    split = days(orders, split="country", where={"plan": "pro"})
    assert numbers(split) == {(VALUE, ""): [0, 2000, 0], (VALUE, "fr"): [0, 20, 0], (VALUE, "de"): [0, 2, 0]}
    assert (split.whole, split.comparison) == (chart.whole, chart.comparison)


@freeze_time(at(2026, 6, 20))
def test_events_without_the_label_are_a_column_of_their_own(orders):
    metric("orders", 1, at=at(2026, 6, 1))
    metric("orders", 2, labels={"country": "de"}, at=at(2026, 6, 2))
    metric("orders", 4, labels={"plan": ""}, at=at(2026, 6, 3))
    metric("orders", 8, labels={"plan": "(none)"}, at=at(2026, 6, 3))
    chart = days(orders, split="plan")
    assert [(column.key, column.title, column.numbers) for column in chart.columns] == [
        ("(none)", "(none)", [0, 0, 8]),
        ('""', '""', [0, 0, 4]),
        ("", "(none)", [1, 2, 0]),
    ]


@freeze_time(at(2026, 6, 20))
def test_a_value_that_is_called_other_is_not_the_rest(orders):
    for number, plan in enumerate(["other", "Other", *(f"p{n}" for n in range(MOST_VALUES))]):
        metric("orders", 100 - number, labels={"plan": plan}, at=at(2026, 6, 1))
    columns = days(orders, split="plan").columns
    named = [
        (column.role, column.key, column.numbers[0]) for column in columns if column.key.lower().strip("()") == "other"
    ]
    assert named == [(VALUE, "other", 100), (VALUE, "Other", 99), (OTHER, "(other)", 92 + 91)]


@freeze_time(at(2026, 6, 20))
def test_only_the_metrics_own_numbers_are_shown(orders):
    create_metric("Other", "other")
    for slug in ("orders", "other"):
        metric(slug, 5, at=at(2026, 6, 1))
        aggregate()
        metric(slug, 1, at=at(2026, 6, 1))
    assert numbers(days(orders))[NOW, "value"] == [6, 0, 0]


@freeze_time(at(2026, 6, 20))
def test_huge_numbers_stay_exact(orders):
    for number in (10**17 + 1, 10**17 + 3):
        for _ in range(2):
            metric("orders", number + Decimal("0.000000001"), at=at(2026, 6, 1))
        aggregate()
    assert numbers(days(orders))[NOW, "value"][0] == 4 * 10**17 + 8 + Decimal("0.000000004")


@pytest.mark.parametrize("split", ["", "plan"])
@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.every_database
def test_a_chart_of_any_length_takes_two_queries(period, split, orders, database, django_assert_num_queries):
    with freeze_time(at(2026, 6, 20)):
        for number in range(30):
            metric("orders", labels={"plan": str(number)})
        aggregate()
        first = date(2026, 6, 5) if period == HOUR else date(2025, 7, 1)
        with django_assert_num_queries(2, using=database):  # the numbers, and the annotations
            build_chart(orders, Selection(period, first, date(2026, 6, 20), split))


def test_before_counting_began_there_are_no_numbers_and_a_range_in_which_it_began_is_no_base(database):
    orders = create_metric("Orders")
    for day in (4, 5):
        metric("orders", day, at=at(2026, 6, day, 12))
    aggregate()
    selection = Selection(DAY, date(2026, 6, 3), date(2026, 6, 5))
    with freeze_time(at(2026, 6, 10, 12)):
        chart = build_chart(orders, selection, date(2026, 6, 4))
        known = build_chart(orders, selection, date(2026, 5, 31))
    numbers = {column.role: column.numbers for column in chart.columns}
    assert numbers[NOW] == [None, 4, 5]
    assert numbers[PREVIOUS] == [None, None, None]
    assert (chart.comparison.base, chart.comparison.verdict) == (0, "new")
    assert {column.role: column.numbers for column in known.columns}[NOW] == [0, 4, 5]
    assert (known.comparison.base, known.comparison.verdict) == (0, "new")
    with freeze_time(at(2026, 6, 10, 12)):
        later = build_chart(orders, Selection(DAY, date(2026, 6, 5), date(2026, 6, 6)), date(2026, 6, 4))
    assert (later.comparison.base, later.comparison.verdict) == (None, "n/a")


# Percentiles and histograms


@pytest.fixture
def prices(database):
    """A distribution with three numbers of different plans on 1 June 2026, and four on 2 June, one of them pending."""
    found = create_metric("Price", "price", "distribution")
    with freeze_time(at(2026, 6, 20)):
        for day, amounts in ((1, (5, 10, 20)), (2, (1, 2, 3))):
            for place, amount in enumerate(amounts):
                distribution("price", amount, labels={"plan": f"p{place}"}, at=at(2026, 6, day, 12))
        aggregate()
        distribution("price", 400, at=at(2026, 6, 2, 13))
        yield found


def percentiles(chart):
    return {column.key: column.numbers for column in chart.columns if column.role == PERCENTILE}


@pytest.mark.every_database
def test_a_chart_has_percentiles_and_histograms_of_all_label_sets_together(prices):
    chart = days(prices)
    assert percentiles(chart)["p50"] == [pytest.approx(10, rel=0.011), pytest.approx(2, rel=0.011), None]
    assert percentiles(chart)["p95"] == percentiles(chart)["p99"] == [20, 400, None]
    assert [each and each.count for each in chart.histograms] == [3, 4, None]


@pytest.mark.every_database
def test_a_split_chart_has_histograms_but_no_percentiles_of_its_values(prices):
    chart = days(prices, split="plan")
    assert percentiles(chart) == {}
    assert [each and each.count for each in chart.histograms] == [3, 4, None]
    assert percentile(chart.whole, 99) == 400


def test_numbers_from_before_the_upgrade_make_the_percentiles_of_their_period_unknown(prices):
    Total.objects.filter(start=date(2026, 6, 1)).update(histogram=None)
    distribution("price", 7, at=at(2026, 6, 1, 14))
    aggregate()
    chart = days(prices)
    assert percentiles(chart)["p95"] == [None, 400, None]
    assert [each and each.count for each in chart.histograms] == [None, 4, None]
    assert numbers(chart)[COUNT, "count"] == [4, 4, None]


def test_a_chart_without_histograms_does_not_read_them(prices, database):
    with CaptureQueriesContext(connections[database]) as queries:
        chart = build_chart(prices, Selection(DAY, date(2026, 6, 1), date(2026, 6, 3)), with_histograms=False)
    assert not any("histogram" in query["sql"] for query in queries)
    assert percentiles(chart) == dict.fromkeys(("p50", "p95", "p99"), [None] * 3)
    assert chart.histograms == ()
    assert numbers(chart)[COUNT, "count"] == [3, 4, None]


def test_counters_and_gauges_have_no_percentiles(orders, database):
    queue = create_metric("Queue", "queue", "gauge")
    for each in (orders, queue):
        chart = days(each)
        assert percentiles(chart) == {}
        assert chart.histograms == ()


def test_percentiles_are_drawn_instead_of_the_extremes_unless_they_are_unknown(prices):
    assert [column.key for column in days(prices).drawn] == ["value", "p50", "p95", "p99"]
    Total.objects.update(histogram=None)
    Item.objects.all().delete()
    assert [column.key for column in days(prices).drawn] == ["value", "minimum", "maximum"]
