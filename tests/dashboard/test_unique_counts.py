"""The dashboard counts everybody once in each span that it shows, and adds no counts that overlap."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from freezegun import freeze_time

from app_metrics import collect, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY
from app_metrics.dashboard import forms
from app_metrics.dashboard.charts import build_chart
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.extremes import extremes_of
from app_metrics.dashboard.heat_map import build_heat_map
from app_metrics.dashboard.metric_facts import facts_of
from app_metrics.dashboard.overview import overview, stickiness
from app_metrics.dashboard.projection import with_projection
from app_metrics.dashboard.svg import draw
from app_metrics.models import Metric, Total
from app_metrics.templatetags.app_metrics_dashboard import facts
from app_metrics.templatetags.app_metrics_splits import overlap_note

BERLIN = ZoneInfo("Europe/Berlin")
# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=BERLIN)


@pytest.fixture
def noon(database):
    with freeze_time(NOW):
        yield


def come(users, day, hour=9, month=6, **labels):
    with collect():
        for user in users:
            unique("users", user, labels=labels or None, at=datetime(2026, month, day, hour, tzinfo=BERLIN))


def users():
    return Metric.objects.get(slug="users")


def chart_of(first, last, period=DAY, **chosen):
    return build_chart(
        users(), Selection(period, date(2026, 6, first), date(2026, 6, last), **chosen), date(2026, 5, 1)
    )


def numbers_of(chart):
    return {column.title: list(column.numbers) for column in chart.columns}


def page(client, name="changelist", **query):
    client.force_login(User.objects.create_superuser("ada"))
    args = ["users"] if name == "metric" else []
    response = client.get(reverse(f"admin:app_metrics_dashboard_{name}", args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_week_and_a_month_are_no_sums_of_days(noon):
    come([1, 2, 3], 2), come([1, 2], 8), come([2, 3, 4], 9), come([4], 10)
    (row,) = overview([users()])
    assert (row.today, row.yesterday, row.week, row.month) == (1, 3, 4, 4)


def test_today_is_compared_by_full_hours_on_both_sides(noon):
    come([9], 20, month=5)
    come([1, 2], 3, hour=8), come([2, 3], 3, hour=11), come([4, 5, 6], 3, hour=12), come([7], 3, hour=15)
    come([1, 2], 10, hour=9), come([2, 3, 4, 5], 10, hour=11), come([6, 7, 8], 10, hour=12)
    aggregate()
    (row,) = overview([users()])
    assert row.today == 8
    assert (row.comparison.current, row.comparison.base) == (5, 3)


def test_the_overview_says_how_unique_counts_are_compared(noon, client):
    come([1], 10)
    assert "Of unique counts, only full hours are compared." in page(client)


def test_stickiness_divides_yesterday_by_the_thirty_days_that_end_with_it(noon):
    come([99], 10, month=5)  # 31 days before today
    come(range(8), 11, month=5), come([0, 8, 9], 9), come([100], 10)
    assert stickiness([users()]) == {"users": (3, 10)}


def test_there_is_no_stickiness_if_yesterdays_unique_count_is_unknown(noon):
    come(range(8), 8), come([0, 8], 9)
    aggregate()
    Total.objects.filter(period=DAY, start=date(2026, 6, 9)).update(uniques=None)
    assert stickiness([users()]) == {}


def test_a_card_shows_today_this_week_this_month_and_stickiness(noon, client):
    come(range(5), 2), come([0, 1, 5], 8), come([0, 1], 9), come([7], 10)
    shown = page(client)
    card = shown[shown.index('id="card-users"') :].split("</li>")[0]
    for text in ("<strong>1</strong>", "Today so far", "This week: 4, this month: 7", "Stickiness: 33.3", "2 ÷ 6"):
        assert text in card, text


def test_a_chart_has_distinct_counts_and_events_but_no_lowest_and_highest(noon):
    come([1, 1, 2], 8), come([2, 3], 9)
    chart = chart_of(8, 9)
    previous = next(column.title for column in chart.columns if column.role == "previous")
    assert numbers_of(chart) == {"Different": [2, 2], "Events": [3, 2], previous: [0, 0]}


def test_a_range_is_one_distinct_count(noon):
    come([1, 1, 2], 8), come([2, 3], 9), come([1, 2], 7), come([3], 6)
    found = {fact.label: (fact.value, fact.note) for fact in facts(chart_of(8, 9), facts_of(users()))}
    assert found["In this range"] == ("3", "5 events")
    assert found["All time"] == ("3", "8 events")
    assert found["Change"][1] == "3, before 3"


def test_an_estimate_is_shown_with_its_error(noon):
    come(range(1500), 8)
    found = {fact.label: fact.value for fact in facts(chart_of(8, 9), facts_of(users()))}
    assert found["In this range"].startswith("about\u00a01,")
    assert found["In this range"].endswith("±\u00a01.6\u00a0%")


def test_values_of_a_label_are_ordered_by_distinct_counts_and_said_to_overlap(noon):
    come([1] * 9 + [2], 8, plan="free"), come([1, 2, 3], 8, plan="pro")
    chart = chart_of(8, 8, split="plan")
    assert list(numbers_of(chart).items()) == [("pro", [3]), ("free", [2])]
    assert overlap_note(chart) == (
        "Whoever came under several values counts under each of them, so the values do not add up."
    )
    assert overlap_note(chart_of(8, 8)) == ""


def test_the_heat_map_has_the_mean_of_the_distinct_counts_of_an_hour(noon):
    come([1], 1, month=5)
    come([1, 1, 2], 1), come([1, 2, 3, 4], 8), come([5], 9, hour=10)
    selection = Selection(DAY, date(2026, 5, 27), date(2026, 6, 9))
    numbers = build_heat_map(users(), selection, facts_of(users())).numbers
    assert {place: number for place, number in numbers.items() if number} == {(1, 9): 3, (2, 10): 0.5}


def test_the_page_says_what_the_heat_map_shows(noon, client):
    come([1], 1, month=5), come([1, 2], 8)
    shown = page(client, "metric", range="30d")
    assert "The mean number of different ones in an hour of this range." in shown


def test_the_days_with_most_and_fewest_are_those_of_distinct_counts(noon):
    come([1] * 9, 7), come([1, 2], 8), come([1, 2, 3], 9)
    highest, lowest = extremes_of(chart_of(7, 9))
    assert (highest.start, highest.number, lowest.start, lowest.number) == (date(2026, 6, 9), 3, date(2026, 6, 7), 1)


def test_a_day_whose_count_is_unknown_is_not_the_one_with_fewest(noon):
    come([1, 2, 3], 2), come([1, 2], 3), come([1], 4)
    aggregate()
    Total.objects.filter(period=DAY, start=date(2026, 6, 4)).update(uniques=b"damaged")
    assert [(day.day, number) for day, number in extremes_of(chart_of(2, 4))] == [(2, 3), (3, 2)]
    Total.objects.filter(period=DAY, start=date(2026, 6, 3)).update(uniques=b"damaged")
    assert extremes_of(chart_of(2, 4)) is None


def test_values_of_a_label_have_no_extremes_because_they_cannot_be_added(noon):
    come([1], 8, plan="free"), come([1, 2], 9, plan="pro")
    assert extremes_of(chart_of(7, 9, split="plan")) is None


def test_nothing_is_projected(noon):
    for month, day in ((5, 1), (5, 6), (5, 13), (5, 20), (5, 27), (6, 3), (6, 10)):  # Wednesdays, but for the first
        come([1, 2], day, 8, month), come([3, 4], day, 11 if (month, day) == (6, 10) else 20, month)
    assert with_projection(chart_of(1, 10), facts_of(users())).projected is None


@pytest.mark.parametrize("query", [{}, {"split": "plan"}, {"where.plan": "pro"}, {"period": "hour"}], ids=str)
def test_every_form_of_the_page_is_shown(query, noon, client):
    for weeks in range(4):
        come(range(3), 9, hour=7 + weeks, plan="pro"), come(range(2), 2, plan="free")
    assert "Different" in page(client, "metric", **query) or query.get("split")


def test_a_part_of_a_day_is_drawn_apart(noon):
    come([1, 2], 8), come([1, 2], 9), come([1], 10)
    assert "running" not in str(draw(chart_of(8, 10)))


def test_hours_of_long_ranges_of_many_label_sets_are_not_read(noon, monkeypatch):
    come([1], 1, month=5), come([1], 8)
    monkeypatch.setattr("app_metrics.dashboard.metric_facts.MOST_HISTOGRAMS", 14 * 24 - 1)
    selection = Selection(DAY, date(2026, 5, 27), date(2026, 6, 9))
    assert build_heat_map(users(), selection, facts_of(users())) is None


def test_the_sketches_of_very_many_label_sets_take_fewer_points(noon, client, monkeypatch):
    monkeypatch.setattr(forms, "MOST_SPLIT_POINTS", 20)
    come([1], 8)
    assert "The chart shows at most 20 points: choose a longer period or fewer days." in page(client, "metric")


def test_the_axis_has_plain_numbers(noon):
    come(range(2500), 8), come(range(10), 7)
    drawn = str(draw(chart_of(7, 9)))
    assert ">2,000<" in drawn
    assert ">about" not in drawn
