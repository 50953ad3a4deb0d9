"""Aggregations of many transactions: items that arrive meanwhile are counted."""

from datetime import UTC, date, datetime
from functools import partial
from uuid import UUID

import pytest
from django.db import connections

from app_metrics import collect, distribution, gauge, metric
from app_metrics.aggregation import chunks
from app_metrics.aggregation.run import aggregate
from app_metrics.core.histogram import Histogram
from app_metrics.core.summary import MICROSECONDS
from app_metrics.models import Item, Total
from app_metrics.storage.dialects import dialect_for
from app_metrics.storage.dialects.mysql import LONGEST_TEXT
from tests.support.summaries import summary_of
from tests.support.threads import at_once
from tests.support.totals import year_counts

pytestmark = pytest.mark.every_database

AT_THE_BEGINNING = "00000000-0000-7000-8000-000000000001"


def write_before_all_others(slug="early", kind="counter", value=1, at=1_790_000_000_000_000, item_id=AT_THE_BEGINNING):
    """Write an item, by default of a batch older than all others, as a transaction that commits late does."""
    key = {"id": item_id, "slug": slug, "kind": kind, "labels": "{}", "day": date(2026, 9, 21), "hour": 16}
    summary = summary_of(value, at=at)
    Item.objects.bulk_create([Item(**key, **summary._asdict())])


def aggregate_while_one_commits_late(commit, look):
    """Aggregate two items at a time; call `commit` after the first two, and return what `look` returns each time."""
    seen = []

    def after_each(items):
        if not seen:
            commit()
        seen.append(look(items))

    aggregate(chunk_size=2, on_progress=after_each)
    return seen


def test_a_late_commit_of_earlier_items_is_counted_by_the_same_run(transactional_database):
    for _ in range(6):
        metric("late")
    seen = aggregate_while_one_commits_late(write_before_all_others, lambda items: items)
    assert year_counts() == {"late": 6, "early": 1}
    assert sum(seen) == 7


def test_at_equal_times_a_late_commit_does_not_replace_the_last_value(transactional_database):
    moment = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    with collect():
        metric("first")
        metric("second")
        gauge("level", 5, at=moment)
    late = partial(write_before_all_others, "level", "gauge", 3, int(moment.timestamp() * MICROSECONDS))
    aggregate_while_one_commits_late(late, lambda items: items)
    hour = Total.objects.get(metric__slug="level", period="hour")
    assert (hour.count, hour.last) == (2, 5)


def test_on_postgresql_an_item_committed_between_two_parts_of_a_claim_stays_newer(transactional_database):
    if connections[transactional_database].vendor != "postgresql":
        pytest.skip("the other databases claim in one part")
    moment = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    with collect():
        metric("first")
        metric("second")
        gauge("level", 5, at=moment)
    begun = []

    def commit_meanwhile(execute, sql, *arguments):
        if "WHERE id <= " in sql:
            begun.extend(at_once(1, lambda: gauge("level", 7, at=moment)))
        return execute(sql, *arguments)

    with connections[transactional_database].execute_wrapper(commit_meanwhile):
        aggregate(chunk_size=2)
    aggregate()
    assert len(begun) == 1
    assert Total.objects.get(metric__slug="level", period="hour").last == 7


@pytest.mark.parametrize(
    ("look_back", "expected"),
    [
        (100, [{"late": 2}, {"late": 4}, {"late": 6}, {"late": 6, "early": 1}]),
        (2, [{"late": 2}, {"late": 4}, {"late": 5, "early": 1}, {"late": 6, "early": 1}]),
    ],
)
def test_on_postgresql_a_run_returns_to_the_oldest_item_from_time_to_time(
    transactional_database, monkeypatch, look_back, expected
):
    if connections[transactional_database].vendor != "postgresql":
        pytest.skip("the other databases begin at the oldest item each time")
    monkeypatch.setattr(chunks, "LOOK_BACK", look_back)
    for _ in range(6):
        metric("late")
    assert aggregate_while_one_commits_late(write_before_all_others, lambda items: year_counts()) == expected


def test_on_mariadb_and_mysql_a_late_commit_between_reading_and_deleting_is_counted(transactional_database):
    alias = transactional_database
    if connections[alias].vendor != "mysql":
        pytest.skip("the other databases read and delete with one statement, or have one writer")
    for _ in range(3):
        metric("late")
    between = UUID(int=Item.objects.order_by("pk").first().pk.int + 1)
    begun = []

    def commit_meanwhile(execute, sql, *arguments):
        if sql.startswith("DELETE") and "BETWEEN" in sql and not begun:
            begun.extend(at_once(1, partial(write_before_all_others, item_id=between)))
        return execute(sql, *arguments)

    with connections[alias].execute_wrapper(commit_meanwhile):
        aggregate()
    assert len(begun) == 1
    assert year_counts() == {"late": 3, "early": 1}


def test_on_mariadb_and_mysql_numbers_that_a_text_has_no_room_for_stay_in_the_histogram(
    transactional_database, monkeypatch
):
    connection = connections[transactional_database]
    if connection.vendor != "mysql":
        pytest.skip("the texts of the other databases have no limit")
    narrow = dialect_for(connection).select.replace(str(LONGEST_TEXT), "20")
    monkeypatch.setattr(type(dialect_for(connection)), "select", narrow)
    for seconds in (1, 2, 300):
        distribution("export", seconds)
    aggregate()
    total = Total.objects.get(metric__slug="export", period="year")
    assert Histogram.decode(total.histogram) == Histogram([1, 2, 300])
