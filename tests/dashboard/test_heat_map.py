"""The numbers of a metric by weekday and hour of the clock, compared with the recorded events."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY, HOUR, WEEK
from app_metrics.dashboard import metric_facts
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.heat_map import HeatMap, Place, build_heat_map
from app_metrics.dashboard.heat_map_svg import draw_heat_map
from app_metrics.dashboard.metric_facts import facts_of
from app_metrics.models import Metric, Total
from app_metrics.models.aggregates import are_exact
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_OF_TIME = timedelta(hours=1)


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone)


def heat_of(slug, first, last, period=DAY):
    orders = Metric.objects.get(slug=slug)
    return build_heat_map(orders, Selection(period, first, last), facts_of(orders))


def hours_between(first, end, zone):
    """Yield the instants at which the hours of the clock begin, as a person who watches it would list them."""
    moment = datetime.combine(first, datetime.min.time(), zone).astimezone(UTC)
    while moment < end:
        yield moment.astimezone(zone)
        moment += HOUR_OF_TIME


@pytest.mark.every_database
def test_a_filtered_map_counts_what_has_these_labels(database):
    with freeze_time(at(2026, 6, 20, 12)):
        for day, number, labels in [(1, 1, {}), (10, 5, {"plan": "pro", "id": "1"}), (11, 7, {"plan": "free"})]:
            metric("orders", number, labels=labels, at=at(2026, 6, day, 9))
        orders = Metric.objects.get(slug="orders")
        selection = Selection(DAY, date(2026, 6, 8), date(2026, 6, 14), where={"plan": "pro"})
        numbers = build_heat_map(orders, selection, facts_of(orders)).numbers
    assert {place: number for place, number in numbers.items() if number} == {(3, 9): 5}


# The current moment; the range is the 14 days up to it.
CASES = {
    "a day of 23 hours": ("Europe/Berlin", (2026, 4, 3, 12, 20)),
    "a day of 25 hours": ("Europe/Berlin", (2026, 11, 2, 12, 20)),
    "a day that begins at one o'clock": ("Africa/Cairo", (2026, 5, 1, 12, 20)),
    "today has 25 hours": ("Europe/Berlin", (2026, 10, 25, 12, 20)),
}


@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_number_follows_from_the_events(case, kind, database, settings):
    name, now = case
    settings.APP_METRICS_TIME_ZONE, zone = name, ZoneInfo(name)
    now = at(*now, zone=zone)
    first, chance = now.date() - timedelta(days=13), Random(name + kind)
    create_metric("Orders", "orders", kind)
    occurred, numbers = defaultdict(int), defaultdict(list)
    with freeze_time(now), collect():
        record("orders", kind, 1000, at=at(2026, 1, 1, zone=zone))
        for start in hours_between(first, now, zone):
            place, is_over = Place(start.isoweekday(), start.hour), start + HOUR_OF_TIME <= now
            occurred[place] += is_over
            for _ in range(chance.randrange(3)):
                number = chance.randrange(1, 9)
                record("orders", kind, number, at=min(now, start + timedelta(minutes=chance.randrange(60))))
                if is_over:
                    numbers[place].append(number)
    expected = {
        place: Decimal(sum(numbers[place])) / (occurred[place] if kind == "counter" else len(numbers[place]))
        for place in occurred
        if occurred[place] and (numbers[place] or kind == "counter")
    }
    with freeze_time(now):
        aggregate()
        heat = heat_of("orders", first, now.date())
    assert heat.numbers.keys() == expected.keys()
    for place, number in heat.numbers.items():
        assert abs(number - expected[place]) < Decimal("1e-8"), place


@pytest.fixture
def orders(database):
    """A counter with one event at noon of each day since 1 May 2026, and one more on Mondays."""
    create_metric("Orders", "orders")
    with freeze_time(at(2026, 6, 10, 18)):
        with collect():
            for number in range(41):
                moment = at(2026, 5, 1, 12) + timedelta(days=number)
                metric("orders", 2 if moment.isoweekday() == 1 else 1, at=moment)
        aggregate()
        yield Metric.objects.get(slug="orders")


@pytest.mark.every_database
def test_a_mean_is_taken_over_the_hours_that_occurred(orders):
    heat = heat_of("orders", date(2026, 5, 20), date(2026, 6, 10))
    assert len(heat.numbers) == 7 * 24
    assert {place: number for place, number in heat.numbers.items() if number} == {
        Place(weekday, 12): 2 if weekday == 1 else 1 for weekday in range(1, 8)
    }
    assert heat.highest == Place(1, 12)


def test_it_covers_whole_periods(orders):
    sparse = create_metric("Sparse", "sparse")
    metric("sparse", at=at(2026, 1, 1))
    metric("sparse", 6, at=at(2026, 6, 1, 9))
    aggregate()
    heat = build_heat_map(sparse, Selection(WEEK, date(2026, 6, 5), date(2026, 6, 8)), facts_of(sparse))
    assert heat.numbers[Place(1, 9)] == 3


def test_it_begins_after_the_date_on_which_counting_began(orders):
    heat = heat_of("orders", date(2026, 4, 1), date(2026, 5, 8))
    assert heat.numbers[Place(5, 12)] == 1
    assert heat_of("orders", date(2026, 4, 1), date(2026, 5, 7)) is None


def test_fewer_than_seven_dates_and_more_than_400_have_none(orders):
    assert heat_of("orders", date(2026, 6, 5), date(2026, 6, 10)) is None
    assert heat_of("orders", date(2026, 6, 4), date(2026, 6, 10)) is not None
    metric("orders", at=at(2020, 1, 1))
    aggregate()
    assert heat_of("orders", date(2025, 5, 6), date(2026, 6, 10), WEEK) is None
    assert heat_of("orders", date(2025, 5, 15), date(2026, 6, 10), WEEK) is not None


@pytest.mark.every_database
def test_dates_whose_hours_are_pruned_have_none(orders):
    Total.objects.filter(period=HOUR, start__lt=date(2026, 6, 1)).delete()
    assert heat_of("orders", date(2026, 5, 31), date(2026, 6, 10)) is None
    assert heat_of("orders", date(2026, 6, 1), date(2026, 6, 10)) is not None


def test_a_range_without_numbers_has_none(orders):
    create_metric("Silent", "silent")
    assert heat_of("silent", date(2026, 5, 20), date(2026, 6, 10)) is None
    metric("silent", at=at(2026, 1, 1))
    aggregate()
    assert heat_of("silent", date(2026, 5, 20), date(2026, 6, 10)) is None


def test_it_takes_one_query(orders, database, django_assert_num_queries):
    facts = facts_of(orders)
    with django_assert_num_queries(1, using=database):
        assert build_heat_map(orders, Selection(DAY, date(2026, 5, 20), date(2026, 6, 10)), facts)


@pytest.mark.every_database
def test_label_sets_that_the_database_does_not_add_up_prevent_it_if_they_are_many(orders, monkeypatch):
    monkeypatch.setattr(metric_facts, "MOST_EXTRA_POINTS", 100)
    is_there = heat_of("orders", date(2026, 5, 20), date(2026, 6, 10)) is not None
    assert is_there == are_exact(Total.objects)


def test_the_week_begins_on_the_day_of_the_setting(settings):
    assert HeatMap(Metric(), {}).weekdays == [1, 2, 3, 4, 5, 6, 7]
    settings.APP_METRICS_WEEK_START = "sunday"
    assert HeatMap(Metric(), {}).weekdays == [7, 1, 2, 3, 4, 5, 6]


# The picture


def drawn(numbers, name="Orders", unit="", kind="counter"):
    heat = HeatMap(Metric(name=name, slug="orders", kind=kind, unit=unit), numbers)
    with translation.override("en"):
        return ElementTree.fromstring(draw_heat_map(heat))


def test_a_cell_is_shaded_by_its_number_and_says_it():
    numbers = {Place(1, 0): 0, Place(1, 1): 1, Place(2, 0): 50, Place(7, 23): 100}
    root = drawn(numbers)
    cells = [(each.get("class"), each.find("title").text) for each in root.iter("rect")]
    assert cells == [
        ("level-0", "Monday, midnight: 0"),
        ("level-1", "Monday, 1 a.m.: 1"),
        ("level-3", "Tuesday, midnight: 50"),
        ("level-5", "Sunday, 11 p.m.: 100"),
    ]
    assert root.get("aria-label") == "By weekday and hour; highest: Sunday, 11 p.m.: 100"


@pytest.mark.every_database
def test_very_many_label_sets_prevent_it_on_each_database(orders, monkeypatch):
    """The page would wait for seconds, and again with each of its refreshes."""
    monkeypatch.setattr(metric_facts, "MOST_EXTRA_POINTS", 500)
    monkeypatch.setattr(metric_facts, "MOST_MERGED_POINTS", 500)
    assert heat_of("orders", date(2026, 5, 20), date(2026, 6, 8)) is not None
    assert heat_of("orders", date(2026, 5, 20), date(2026, 6, 9)) is None


def test_the_scale_includes_zero():
    assert [each.get("class") for each in drawn({Place(1, 0): 99, Place(1, 1): 100}, kind="gauge").iter("rect")] == [
        "level-5",
        "level-5",
    ]
    below = drawn({Place(1, 0): -100, Place(1, 1): -1}, kind="gauge")
    assert [each.get("class") for each in below.iter("rect")] == ["level-0", "level-5"]


def test_cells_stand_in_the_row_of_their_weekday_and_the_column_of_their_hour():
    root = drawn({Place(1, 0): 1, Place(1, 23): 1, Place(3, 0): 1})
    (first, last, below) = [(float(each.get("x")), float(each.get("y"))) for each in root.iter("rect")]
    assert first[1] == last[1] < below[1]
    assert first[0] == below[0] < last[0]
    labels = [each.text for each in root.iter("text")]
    assert labels[:3] == ["Monday", "Tuesday", "Wednesday"]
    assert labels[7:] == ["midnight", "3 a.m.", "6 a.m.", "9 a.m.", "noon", "3 p.m.", "6 p.m.", "9 p.m."]


def test_a_hostile_unit_is_text_and_there_is_no_style():
    root = drawn({Place(1, 0): 1}, unit="<script>\"'&\0")
    assert {each.tag for each in root.iter()} == {"svg", "text", "rect", "title"}
    names = {name for each in root.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("style", "id", "href")]
