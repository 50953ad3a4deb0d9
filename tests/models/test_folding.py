"""Fold many spans of metrics in one statement, per label set or over all of them."""

from collections import Counter
from datetime import date, datetime, timedelta
from functools import partial
from random import Random
from zoneinfo import ZoneInfo

import pytest

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK, YEAR
from app_metrics.models import Item, pending, queries, rows
from app_metrics.models.creation import create_metric
from app_metrics.models.queries import QuerySources
from tests.support.summaries import summary_of
from tests.support.threads import while_another

pytestmark = pytest.mark.every_database

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def downloads(database):
    return create_metric("Downloads")


def at(*parts):
    return datetime(*parts, tzinfo=BERLIN)


def folded(spans, labels=None, slug="downloads"):
    """Return the summaries of named spans of one metric, by slug, label set and name."""
    return queries.fold(QuerySources.of_slug(slug), spans, labels)


def sums(spans, **options):
    """Return the sums of named spans over all label sets."""
    found = Counter()
    for (_, _, name), summary in folded(spans, **options).items():
        found[name] += summary.total
    return dict(found)


@pytest.mark.parametrize("aggregated", [0, 1, 2, 3])
def test_a_row_belongs_to_every_span_that_holds_it(downloads, aggregated):
    for number, moment in enumerate([at(2026, 3, 1), at(2026, 3, 1, 9, 59), at(2026, 3, 2, 3)]):
        if number == aggregated:
            aggregate()
        metric("downloads", 10**number, at=moment)
    if aggregated == 3:
        aggregate()
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    spans = {
        "year": [(YEAR, date(2026, 1, 1), 0)],
        "month": [(MONTH, first, 0)],
        "the same month": [(MONTH, first, 0)],
        "week": [(WEEK, date(2026, 2, 23), 0)],
        "day": [(DAY, first, 0)],
        "days": [(DAY, second, 0), (DAY, first, 0)],
        "hour": [(HOUR, first, 9)],
        "hours": [(HOUR, first, hour) for hour in range(9)],
        "day and hours": [(DAY, first, 0), *((HOUR, second, hour) for hour in range(3))],
        "day and more hours": [(DAY, first, 0), *((HOUR, second, hour) for hour in range(4))],
        "year before": [(YEAR, date(2025, 1, 1), 0)],
        "nothing": [],
    }
    assert sums(spans) == {
        "year": 111, "month": 111, "the same month": 111, "week": 11, "day": 11, "days": 111, "hour": 10, "hours": 1,
        "day and hours": 11, "day and more hours": 111,
    }  # fmt: skip
    # Folding each span alone gives the same sums.
    assert {name: each for name in spans for each in sums({name: spans[name]}).values()} == sums(spans)


def test_a_fold_separates_metrics_and_label_sets(downloads):
    for slug in ("downloads", "other"):
        for labels, number in [(None, 1), ({"b": "2", "a": "1"}, 10)]:
            metric(slug, number, labels=labels, at=at(2026, 6, 1, 9))
            aggregate()
            metric(slug, number * 2, labels=labels, at=at(2026, 6, 1, 9))
    spans = {"day": [(DAY, date(2026, 6, 1), 0)]}
    found = queries.fold(QuerySources.everything(), spans)
    assert {key: (summary.count, summary.total) for key, summary in found.items()} == {
        (slug, labels, "day"): (2, total)
        for slug in ("downloads", "other")
        for labels, total in [("{}", 3), ('{"a":"1","b":"2"}', 30)]
    }
    assert sums(spans) == {"day": 33}
    assert sums(spans, labels={"a": "1", "b": "2"}) == {"day": 30}
    assert sums(spans, labels={}) == {"day": 3}
    assert sums(spans, labels={"a": "1"}) == {}


def test_a_fold_holds_the_whole_summary(downloads):
    for day, value, hour in [(1, 5, 10), (2, 3, 11), (1, -2, 9)]:
        gauge("downloads", value, at=at(2026, 6, day, hour))
        if day == 1:
            aggregate()
    spans = {"both": [(DAY, date(2026, 6, 1), 0), (DAY, date(2026, 6, 2), 0)], "one": [(DAY, date(2026, 6, 1), 0)]}
    last, earlier = (int(at(2026, 6, *each).timestamp()) * 1_000_000 for each in [(2, 11), (1, 10)])
    assert folded(spans) == {
        ("downloads", "{}", "both"): summary_of(5, -2, 3, at=last),
        ("downloads", "{}", "one"): summary_of(-2, 5, at=earlier),
    }


@pytest.mark.parametrize("aggregated", [False, True])
def test_a_fold_of_weeks_that_begin_on_sunday(downloads, settings, aggregated):
    settings.APP_METRICS_WEEK_START = "sunday"
    for number, day in enumerate([14, 15, 21, 22]):
        metric("downloads", 10**number, at=at(2026, 11, day))
    if aggregated:
        aggregate()
    assert sums({"week": [(WEEK, date(2026, 11, 15), 0)]}) == {"week": 110}


def test_a_fold_is_one_query_or_none_for_empty_spans(downloads, database, django_assert_num_queries):
    spans = {n: [(period, date(2026, 1, 1), 0) for period in PERIODS] for n in range(20)}
    with django_assert_num_queries(1, using=database):
        folded(spans)
    with django_assert_num_queries(0, using=database):
        assert folded({}) == folded({"nothing": []}) == {}


def test_a_fold_reads_the_totals_it_needs_and_no_others(downloads, monkeypatch):
    for day in (1, 2, 3):
        metric("downloads", at=at(2026, 3, day, 9))
    aggregate()
    for day in (1, 2, 3):
        metric("downloads", at=at(2026, 3, day, 10))
    read = []
    monkeypatch.setattr(pending, "fetched", lambda rows: read.extend(rows) or read)
    assert sums({"day": [(DAY, date(2026, 3, 2), 0)]}) == {"day": 2}
    assert len(read) == 2  # one total, one item


def test_items_aggregated_during_a_fold_count_once(transactional_database):
    create_metric("downloads")
    for _ in range(100):
        metric("downloads", at=at(2026, 6, 1, 9))

    june = date(2026, 6, 1)
    spans = {"day": [(DAY, june, 0)], "month": [(MONTH, june, 0)], "hours": [(HOUR, june, n) for n in range(10)]}
    seen = set()
    for _ in while_another(partial(aggregate, chunk_size=5)):
        seen.add(tuple(sums(spans).values()))
    assert seen == {(100, 100, 100)}
    assert not Item.objects.exists()


HOURS = {
    "the first hours": {date(2026, 3, 1): range(9), date(2026, 3, 2): range(9)},
    "other hours of each date": {date(2026, 3, 1): range(9), date(2026, 3, 2): range(7)},
    "not from the first": {date(2026, 3, 1): range(3, 9)},
}


@pytest.mark.parametrize("seed", range(2))
def test_folding_label_sets_together_equals_merging_them(downloads, seed):
    chance = Random(seed)
    for number in range(40):
        labels = chance.choice([None, {"plan": "pro"}, {"plan": "free"}])
        moment = at(2026, 3, chance.randint(1, 3), chance.randrange(24), chance.randrange(60), number)
        gauge(chance.choice(["downloads", "other"]), chance.randint(-999, 999) / 8, labels=labels, at=moment)
        if chance.random() < 0.1:
            aggregate()
    sources, pro = QuerySources.everything(), {"plan": "pro"}
    for name, hours in HOURS.items():
        spans = {("hours", day): [(HOUR, day, hour) for hour in each] for day, each in hours.items()} | {
            "day": [(DAY, date(2026, 3, 1), 0)],
            "both": [(WEEK, date(2026, 2, 23), 0), (DAY, date(2026, 3, 2), 0)],
        }
        apart = queries.across_labels(queries.fold(sources, spans))
        assert len(apart) >= 4
        assert queries.fold_together(sources, spans) == apart, name
        labelled = queries.across_labels(queries.fold(sources, spans, pro))
        assert queries.fold_together(sources, spans, pro) == labelled, name


def test_overlapping_spans_of_hours_are_folded_separately(downloads):
    for hour in range(4):
        metric("downloads", 10**hour, at=at(2026, 3, 1, hour))
    aggregate()
    day = date(2026, 3, 1)
    spans = {"all": [(HOUR, day, hour) for hour in range(4)], "late": [(HOUR, day, 3)]}
    found = queries.fold_together(QuerySources.everything(), spans)
    assert {name: summary.total for (_, name), summary in found.items()} == {"all": 1111, "late": 1000}


@pytest.mark.parametrize("aggregated", range(5))
def test_all_time_summaries_are_per_metric_and_label_set(downloads, aggregated):
    pro = {"plan": "pro"}
    events = [
        ("downloads", None, 1999), ("downloads", pro, 2025), ("other", None, 2026), ("downloads", None, 2026),
    ]  # fmt: skip
    for number, (slug, labels, year) in enumerate(events):
        if number == aggregated:
            aggregate()
        metric(slug, 10**number, labels=labels, at=at(year, 12, 31, 23, 59))
    if aggregated == 4:
        aggregate()
    found = queries.all_time(QuerySources.everything())
    assert {key: (summary.count, summary.total, summary.last) for key, summary in found.items()} == {
        ("downloads", "{}"): (2, 1001, 1000),
        ("downloads", '{"plan":"pro"}'): (1, 10, 10),
        ("other", "{}"): (1, 100, 100),
    }


def test_all_time_is_one_query_and_of_nothing_it_is_empty(downloads, database, django_assert_num_queries):
    with django_assert_num_queries(1, using=database):
        assert queries.all_time(QuerySources.everything()) == {}


MARCH = [date(2026, 3, number) for number in range(1, 32)]
MONTHS = [date(2026, month, 1) for month in range(1, 13)]
SUNDAYS = [date(2026, 3, 1), date(2026, 3, 8), date(2026, 3, 15)]
CLOSED = {
    "one day": (DAY, MARCH[:1]),
    "days": (DAY, MARCH),
    "months": (MONTH, MONTHS),
    "weeks from Sunday": (WEEK, SUNDAYS),
    "hours": (HOUR, MARCH[:2]),
}
OPEN = {
    "days with a gap": (DAY, [MARCH[0], MARCH[2]]),
    "months with a gap": (MONTH, [MONTHS[0], MONTHS[5]]),
    "weeks with a gap": (WEEK, [SUNDAYS[0], SUNDAYS[2]]),
    "hours of dates with a gap": (HOUR, [MARCH[0], MARCH[9]]),
}


@pytest.mark.parametrize(("period", "days"), CLOSED.values(), ids=CLOSED)
def test_dates_that_follow_each_other_are_looked_up_as_a_range(period, days):
    assert rows._within(period, set(days)) == {"start__range": (days[0], days[-1])}


@pytest.mark.parametrize(("period", "days"), OPEN.values(), ids=OPEN)
def test_dates_with_a_gap_are_looked_up_one_by_one(period, days):
    assert rows._within(period, set(days)) == {"start__in": set(days)}


@pytest.mark.parametrize("aggregated", [False, True])
def test_a_fold_holds_its_dates_and_nothing_between_or_beside_them(downloads, settings, aggregated):
    settings.APP_METRICS_WEEK_START = "sunday"
    with collect():
        for number in range(0, 370, 3):
            metric("downloads", 1 + number, at=at(2026, 1, 1, 3) + timedelta(days=number))
    if aggregated:
        aggregate()
    for name, (period, days) in {**CLOSED, **OPEN}.items():
        expected = {}
        for start in days:
            end = period.next(start)
            held = [n for n in range(0, 370, 3) if start <= date(2026, 1, 1) + timedelta(days=n) < end]
            if held:
                expected[start] = sum(1 + n for n in held)
        assert sums({start: [(period, start, 3 if period == HOUR else 0)] for start in days}) == expected, name
