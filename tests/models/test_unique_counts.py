"""Different values of any period and label set, of totals and of what is pending, in one statement."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.calendar import local_day
from app_metrics.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK, YEAR
from app_metrics.core.summary import UNIQUE, headline
from app_metrics.core.uniques import EXACT, STANDARD_ERROR
from app_metrics.models import Metric, Total
from app_metrics.models.queries import QuerySources, all_time, fold, fold_together, point_headline
from tests.support.scope import full_length

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
DATE = date(2026, 5, 31)
USERS = 1_000_000 if full_length else 60_000


def rms(numbers):
    return (sum(number**2 for number in numbers) / len(numbers)) ** 0.5


def counted(period, day=DATE, labels=None, slug="users"):
    return headline(UNIQUE, Metric.objects.get(slug=slug).summary(period, day, labels))


@freeze_time(NOON)
@pytest.mark.parametrize("when", ["pending", "aggregated", "half"])
def test_every_period_counts_different_values_of_totals_and_pending_items(database, when):
    with collect():
        for user in (1, 2, 2, 3):
            unique("users", user)
    if when == "half":
        aggregate()
    for user in (3, 4):
        unique("users", user)
    if when == "aggregated":
        aggregate()
    for period in PERIODS:
        found = Metric.objects.get(slug="users").summary(period)
        assert (found.uniques.count, found.uniques.error, found.count) == (4, 0, 6), period


def test_counts_of_random_users_are_those_of_sets(database):
    """Whatever the periods, label sets and moments of aggregation are."""
    chance = random.Random(5)
    seen = []
    for _ in range(4):
        with collect():
            for _ in range(40):
                at = NOON + timedelta(hours=chance.randrange(24 * 40))
                plan, user = chance.choice("abc"), chance.randrange(60)
                seen.append((local_day(at), plan, user))
                unique("users", user, labels={"plan": plan}, at=at)
        if chance.random() < 0.7:
            aggregate()
    users = Metric.objects.get(slug="users")
    for period in (DAY, WEEK, MONTH, YEAR):
        for day in {period.start_of(own) for own, _, _ in seen}:
            within = [(plan, user) for own, plan, user in seen if period.start_of(own) == day]
            assert counted(period, day) == len({user for _, user in within}), (period, day)
            for plan in "abc":
                expected = len({user for own, user in within if own == plan})
                assert counted(period, day, {"plan": plan}) == expected, (period, day, plan)
    points = users.series(DAY, DATE, DATE + timedelta(days=40))
    assert [point_headline(UNIQUE, point) for point in points] == [
        len({user for own, _, user in seen if own == point.start}) for point in points
    ]


def test_a_count_of_many_is_an_estimate_with_its_error(database):
    with collect():
        for user in range(3 * EXACT):
            unique("users", user, labels={"plan": "ab"[user % 2]}, at=NOON)
    aggregate()
    with collect():
        for user in range(3 * EXACT):
            unique("users", user, labels={"plan": "c"}, at=NOON)
    found = Metric.objects.get(slug="users").summary(DAY, DATE)
    assert found.uniques.error == STANDARD_ERROR
    assert abs(found.uniques.count - 3 * EXACT) < 3 * EXACT * 4 * STANDARD_ERROR


def test_a_value_that_comes_again_changes_no_sketch(database):
    for _ in range(2):
        with collect():
            for user in range(5):
                unique("users", user, at=NOON)
        aggregate()
    aggregate()
    total = Metric.objects.get(slug="users").summary(YEAR, DATE)
    assert (total.uniques.count, total.count) == (5, 10)


def test_a_series_with_counts_is_one_query(database):
    unique("users", 1, at=NOON)
    aggregate()
    unique("users", 2, at=NOON)
    users = Metric.objects.get(slug="users")
    with CaptureQueriesContext(connections[users._state.db]) as queries:
        points = users.series(HOUR, DATE, DATE)
    assert len(queries) == 1
    assert [point.uniques.count for point in points if point.count] == [2]


def test_readings_of_other_metrics_do_not_read_the_column(database):
    metric("visits", at=NOON)
    aggregate()
    visits = Metric.objects.get(slug="visits")
    with CaptureQueriesContext(connections[visits._state.db]) as queries:
        visits.summary(DAY, DATE)
        visits.series(DAY, DATE, DATE)
    assert "uniques" not in str(queries.captured_queries)


@pytest.mark.parametrize("sources", [QuerySources.of_slugs, None])
def test_metrics_of_several_kinds_are_read_together(database, sources):
    for place in range(3):
        unique("users", place % 2, labels={"plan": "ab"[place % 2]}, at=NOON)
        metric("visits", 5, labels={"plan": "ab"[place % 2]}, at=NOON)
        if place == 1:
            aggregate()
    metrics = [Metric.objects.get(slug="users"), Metric.objects.get(slug="visits")]
    made = QuerySources.of_slugs({"users", "visits"}) if sources else QuerySources.of(metrics)
    span = {"day": [(DAY, DATE, 0)]}
    together = fold_together(made, span)
    assert together["users", "day"].uniques.count == 2
    assert {type(found.count) for found in together.values()} == {int}
    assert (together["visits", "day"].total, together["visits", "day"].uniques) == (15, None)
    apart = fold(made, span)
    assert apart["users", '{"plan":"a"}', "day"].uniques.count == 1
    ever = all_time(made)
    assert ever["users", '{"plan":"a"}'].uniques.count == 1
    assert ever["visits", '{"plan":"a"}'].total == 10


def test_a_metric_that_is_also_counted_keeps_both_numbers(database):
    metric("users", 7, at=NOON)
    unique("users", 1, at=NOON + timedelta(seconds=1))
    aggregate()
    unique("users", 2, at=NOON)
    found = Metric.objects.get(slug="users")
    assert (found.kind, found.second_kind) == ("counter", "unique")
    assert headline(found.kind, found.summary(DAY, DATE)) == Decimal(9)
    found.kind = UNIQUE
    assert headline(found.kind, found.summary(DAY, DATE)) == 2


def test_totals_keep_only_hashes(database):
    with collect():
        unique("users", "ann@example.com", at=NOON)
    aggregate()
    stored = {bytes(total.uniques) for total in Total.objects.all()}
    assert len(stored) == 1
    assert b"ann" not in stored.pop()


def test_nothing_recorded_is_a_count_of_0(database):
    unique("users", 1, at=NOON)
    assert counted(DAY, DATE - timedelta(days=1)) == 0


@pytest.mark.only_sqlite
@pytest.mark.timeout(3600 if full_length else 120)
def test_users_who_are_active_at_random_for_long_are_counted_within_the_error(database):
    """Every day, week and month and the year, from day to day aggregated; exact up to the documented number."""
    chance, days = random.Random(1), 365 if full_length else 40
    active = {period: defaultdict(set) for period in (DAY, WEEK, MONTH, YEAR)}
    for day in (date(2026, 1, 1) + timedelta(days=number) for number in range(days)):
        today = chance.sample(range(USERS), chance.choice((USERS // 2000, USERS // 50)))
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        with collect():
            for user in today:
                unique("users", user, labels={"plan": "abc"[user % 3]}, at=at)
        aggregate()
        for period, seen in active.items():
            seen[period.start_of(day)].update(today)
    errors = []
    for period, seen in active.items():
        for start, users in seen.items():
            found = Metric.objects.get(slug="users").summary(period, start).uniques
            assert found.error == (STANDARD_ERROR if len(users) > EXACT else 0), (period, start)
            assert abs(found.count - len(users)) <= 5 * found.error * len(users), (period, start)
            errors += [(found.count - len(users)) / len(users)] if found.error else []
    assert rms(errors) < 1.3 * float(STANDARD_ERROR)
