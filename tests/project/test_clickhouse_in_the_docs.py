"""The job and the statements of docs/howto/clickhouse.md read in ClickHouse what the models read."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from freezegun import freeze_time

from app_metrics import collect, distribution, gauge, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Metric, Total
from tests.support.clickhouse import ClickHouse
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "howto" / "clickhouse.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
EXPORT = re.search(r"manage\.py (metrics_export .+?) --output (\S+)", PAGE)
INSERT = re.search(r'clickhouse-client --query "(.+?)"', PAGE)[1]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 20), date(2026, 11, 24)

pytestmark = [pytest.mark.slow, pytest.mark.only_sqlite]


def statements(section: str) -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)


@pytest.fixture
def clickhouse(database: str, tmp_path: Path) -> Any:
    """ClickHouse with the page's table, which has no rows yet."""
    engine = ClickHouse(tmp_path / "clickhouse")
    engine.run("CREATE DATABASE IF NOT EXISTS default", *statements("The table"))
    with freeze_time(NOW):
        yield engine


def export(path: Path, *, everything: bool = False) -> str:
    """Do the first half of the job, and return the second half as a statement."""
    name, *options = EXPORT[1].split()
    if everything:
        place = options.index("--days")
        del options[place : place + 2]
    call_command(name, *options, output=path)
    before, _, form = INSERT.partition(" FORMAT ")
    return f"{before} FROM INFILE '{path}' FORMAT {form}"


def record() -> None:
    with collect():
        for day in (20, 23, 24):
            at = datetime(2026, 11, day, 9, tzinfo=UTC)
            for user, (plan, number) in enumerate((("pro", Decimal("19.99")), ("pro", 5), ("free", -7))):
                metric("orders", number, labels={"plan": plan}, at=at)
                unique("active_users", user, labels={"plan": plan}, at=at)
            for seconds in range(40):
                distribution("checkout", Decimal(seconds * seconds - 50) / 8, labels={"n": str(seconds % 3)}, at=at)
            for minute, queue, length in ((1, "a", 5), (3, "b", 8), (2, "a", 7)):
                gauge("queue_length", length, labels={"queue": queue}, at=at.replace(minute=minute))


def points(slug: str) -> list[Any]:
    return [point for point in Metric.objects.get(slug=slug).series("day", FIRST, LAST) if point.count]


def plain(row: list[Any]) -> list[Any]:
    """Return a row with dates and exact numbers, which JSON has as texts or floats."""
    return [
        date.fromisoformat(cell) if re.fullmatch(r"\d{4}-\d\d-\d\d", str(cell))
        else Decimal(str(cell)) if re.fullmatch(r"-?\d+(\.\d+)?", str(cell))
        else cell
        for cell in row
    ]  # fmt: skip


def days(clickhouse: ClickHouse) -> list[Any]:
    return [plain(row) for row in clickhouse.run(statements("Days and labels")[0])]


def expected_days() -> list[Any]:
    return [[point.start, point.count, point.total] for point in points("orders")]


def test_the_statements_read_what_the_models_read(clickhouse: ClickHouse, tmp_path: Path) -> None:
    record()
    clickhouse.run(export(tmp_path / "totals.jsonl", everything=True))
    assert days(clickhouse) == expected_days()
    _, by_label, gauges = statements("Days and labels")
    assert [plain(row)[1:] for row in clickhouse.run(by_label)] == [["free", -7], ["pro", Decimal("24.99")]] * 3
    assert [plain(row) for row in clickhouse.run(gauges)] == [
        [point.start, point.last] for point in points("queue_length")
    ]
    assert [row[1:] for row in clickhouse.run(*statements("Unique counts"))] == [["free", 1], ["pro", 2]]


def test_the_percentile_of_several_rows_is_that_of_the_models(clickhouse: ClickHouse, tmp_path: Path) -> None:
    record()
    clickhouse.run(export(tmp_path / "totals.jsonl", everything=True))
    checkout = Metric.objects.get(slug="checkout")
    (statement,) = statements("Percentiles of several rows")
    for percent in (1, 10, 50, 95, 99):
        rows = clickhouse.run(statement.replace("95 *", f"{percent} *"))
        expected = checkout.percentile("day", percent, LAST)
        assert [float(row[1]) for row in rows] == [pytest.approx(float(expected), rel=0.011)] * 3


def test_a_total_that_grew_replaces_the_former_one_and_files_may_come_twice_and_late(
    clickhouse: ClickHouse, tmp_path: Path
) -> None:
    record()
    first = export(tmp_path / "first.jsonl", everything=True)
    clickhouse.run(first, first)
    assert days(clickhouse) == expected_days()
    metric("orders", 100, labels={"plan": "pro"})
    metric("orders", 1000, labels={"plan": "new"}, at=datetime(2026, 11, 23, 9, tzinfo=UTC))
    second = export(tmp_path / "second.jsonl")
    clickhouse.run(second, first, "OPTIMIZE TABLE app_metrics_totals FINAL", first)
    assert days(clickhouse) == expected_days()
    assert days(clickhouse)[-1] == [LAST, 4, Decimal("117.99")]


def test_an_hour_that_was_deleted_and_begins_anew_keeps_what_it_had(clickhouse: ClickHouse, tmp_path: Path) -> None:
    record()
    clickhouse.run(export(tmp_path / "first.jsonl", everything=True))
    Total.objects.filter(period="hour").delete()
    metric("orders", 100, labels={"plan": "pro"}, at=datetime(2026, 11, 24, 9, tzinfo=UTC))
    aggregate()
    clickhouse.run(export(tmp_path / "second.jsonl"))
    hours = "SELECT sum(count) FROM app_metrics_totals FINAL WHERE slug = 'orders' AND period = 'hour'"
    assert clickhouse.run(hours) == [[9]]
    assert days(clickhouse) == expected_days()
