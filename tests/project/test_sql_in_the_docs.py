"""The statements of docs/howto/sql.md read on each database what the models read."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.summary import TIMER
from app_metrics.models import Metric
from app_metrics.models.creation import create_annotation
from app_metrics.recording.metrics import record
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "howto" / "sql.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
# Sphinx does not know the macros of Grafana, so those blocks are text.
BLOCK = re.compile(r"^```(?:sql|text)\n-- ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Around the day on which clocks are set back.
FIRST, LAST = date(2026, 10, 24), date(2026, 10, 26)
# What Grafana makes of its macro.
TIME_FILTER = re.compile(r"\$__timeFilter\((.+?)\)")
BETWEEN = r"\1 BETWEEN '2026-10-24T10:00:00Z' AND '2026-10-26T10:00:00Z'"

pytestmark = pytest.mark.every_database


def statements(section, alias):
    """Return the statements of a section for a database; skip the test if there are none."""
    connection = connections[alias]
    named = [(vendors.split(", "), text) for vendors, text in BLOCK.findall(SECTIONS[section])]
    found = [TIME_FILTER.sub(BETWEEN, text) for vendors, text in named if connection.display_name in vendors]
    if not found:
        pytest.skip(f"the page has no statement for {connection.display_name}")
    return found


def rows(statement, alias):
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return [tuple(map(plain, row)) for row in cursor.fetchall()]


def plain(value):
    """Return a value as Python has it: SQLite has dates as text and numbers as floats."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        return Decimal(value).normalize()
    return Decimal(str(value)).normalize() if isinstance(value, (float, Decimal)) else value


def at(day, hour, minute=0):
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def recorded(database):
    with collect():
        for day, hour, amount, labels in (
            (24, 9, Decimal("19.99"), {"plan": "pro", "country": "DE"}),
            (24, 9, Decimal("5.01"), {"plan": "pro"}),
            (24, 10, 7, {"plan": "free"}),
            (25, 0, 1, {"plan": "pro"}),  # the hour from 2 o'clock that comes first,
            (25, 1, 2, {"plan": "pro"}),  # and the one that comes next
            (26, 9, 3, None),
        ):
            metric("orders", amount, labels=labels, at=at(day, hour))
        for minute, value, queue in ((1, 5, "a"), (3, 7, "b"), (2, 9, "a")):
            gauge("queue_length", value, labels={"queue": queue}, at=at(24, 9, minute))
        record("export", TIMER, Decimal("0.5"), at=at(24, 9))
        record("export", TIMER, Decimal("1.5"), {"format": "csv"}, at=at(24, 9))
    aggregate()
    return database


def series(slug, period="day"):
    return [point for point in Metric.objects.get(slug=slug).series(period, FIRST, LAST) if point.count]


def expected_days(slug="orders"):
    return [(point.start, point.count, Decimal(point.total).normalize()) for point in series(slug)]


def test_days(recorded):
    (statement,) = statements("Days", recorded)
    assert rows(statement, recorded) == expected_days()


def test_by_label(recorded):
    (statement,) = statements("By label", recorded)
    found = {(day, plan): total for day, plan, total in rows(statement, recorded)}
    assert found == {
        (date(2026, 10, 24), "pro"): 25,
        (date(2026, 10, 24), "free"): 7,
        (date(2026, 10, 25), "pro"): 3,
        (date(2026, 10, 26), None): 3,
    }


def test_gauges_and_timers(recorded):
    last, mean = statements("Gauges and timers", recorded)
    assert rows(last, recorded) == [(point.start, point.last) for point in series("queue_length")] == [(FIRST, 7)]
    assert rows(mean, recorded) == [(FIRST, 1)]


def test_hours(recorded):
    (statement,) = statements("Hours", recorded)
    found = rows(statement, recorded)
    if (None, 1) in found:
        pytest.skip("the database server has no time zone tables")
    times = [(time.replace(tzinfo=time.tzinfo or UTC), total) for time, total in found]
    # In UTC, because times in an hour that comes twice are never equal.
    assert times == [(point.start.astimezone(UTC), point.total) for point in series("orders", "hour")]
    assert times[3][0] - times[2][0] == timedelta(hours=1)


def test_with_pending_items(recorded):
    metric("orders", 100, at=at(24, 9))
    metric("orders", 200, at=at(23, 9))
    (statement,) = statements("With pending items", recorded)
    assert rows(statement, recorded) == [(date(2026, 10, 23), 1, 200), *expected_days()]
    assert rows(statements("Days", recorded)[0], recorded) == [(FIRST, 3, 32), *expected_days()[1:]]


def test_grafana(recorded):
    create_annotation("Release 4.2", at(25, 9))
    create_annotation("Release 4.1", at(1, 9))
    lines, annotations = statements("Grafana", recorded)
    assert [(str(time.astimezone(UTC)), plan, total) for time, plan, total in rows(lines, recorded)] == [
        ("2026-10-24 22:00:00+00:00", "pro", 3),
        ("2026-10-25 23:00:00+00:00", "none", 3),
    ]
    assert rows(annotations, recorded) == [(at(25, 9), "Release 4.2")]


def test_a_reader_of_its_own_may_read_and_not_write(recorded):
    (statement,) = statements("Access", recorded)
    expected = expected_days()
    with connections[recorded].cursor() as cursor:
        cursor.execute(statement)
        cursor.execute("SET ROLE metrics_reader")
        assert rows(statements("Days", recorded)[0], recorded) == expected
        cursor.execute("SELECT has_table_privilege('metrics_reader', 'app_metrics_total', 'INSERT')")
        assert cursor.fetchone() == (False,)
        cursor.execute("RESET ROLE")


def test_every_statement_names_its_databases():
    names = {"PostgreSQL", "MariaDB", "MySQL", "SQLite"}
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) == PAGE.count("```") / 2
    assert {name for vendors, _ in blocks for name in vendors.split(", ")} == names
