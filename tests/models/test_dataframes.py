"""A series as a DataFrame: its index, its columns, their types, and what is missing."""

import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from app_metrics import gauge, metric, unique
from app_metrics.core.calendar import today
from app_metrics.core.summary import TIMER, UNIQUE
from app_metrics.models import Metric
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record

DAY = date(2026, 10, 24)


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")


@pytest.fixture
def orders(db):
    create_metric("Orders", "orders")
    for amount, day in ((Decimal("19.99"), 24), (Decimal("5.01"), 24), (3, 26)):
        metric("orders", amount, labels={"plan": "pro"}, at=datetime(2026, 10, day, 9, tzinfo=UTC))
    metric("orders", 100, at=datetime(2026, 10, 26, 9, tzinfo=UTC))
    return Metric.objects.get(slug="orders")


def test_each_period_is_a_row(pandas, orders):
    frame = orders.to_dataframe("day", DAY, date(2026, 10, 26))
    assert frame.index.name == "start"
    assert list(frame.index) == [pandas.Timestamp(f"2026-10-{day}") for day in (24, 25, 26)]
    assert dict(frame.dtypes.astype(str)) == {
        "count": "int64",
        **dict.fromkeys(("total", "minimum", "maximum", "last", "value"), "float64"),
    }
    assert list(frame["count"]) == [2, 0, 2]
    assert list(frame["total"]) == list(frame["value"]) == [25.0, 0.0, 103.0]
    assert list(frame["minimum"].isna()) == [False, True, False]
    assert (frame["minimum"].iloc[0], frame["maximum"].iloc[0], frame["last"].iloc[2]) == (5.01, 19.99, 100.0)


def test_one_label_set_is_read_alone(pandas, orders):
    assert orders.to_dataframe("month", DAY, DAY, {"plan": "pro"})["total"].tolist() == [28.0]


def test_hours_are_times_in_the_metrics_time_zone_also_when_the_clock_is_set_back(pandas, orders):
    frame = orders.to_dataframe("hour", date(2026, 10, 25), date(2026, 10, 25))
    assert len(frame) == 25
    assert str(frame.index.tz) == "Europe/Berlin"
    assert [str(each) for each in frame.index[2:4]] == ["2026-10-25 02:00:00+02:00", "2026-10-25 02:00:00+01:00"]


@pytest.mark.parametrize(
    ("write", "value"),
    [
        (lambda: [gauge("x", 1.5), gauge("x", 7)], 7.0),
        (lambda: [record("x", TIMER, 1), record("x", TIMER, 2)], 1.5),
    ],
)
def test_the_value_is_the_headline_of_the_kind(pandas, db, write, value):
    write()
    found = Metric.objects.get(slug="x")
    frame = found.to_dataframe("day", date(2000, 1, 1), date(2000, 1, 2))
    assert frame["value"].isna().all()
    assert found.to_dataframe("day", today(), today())["value"].tolist() == [value]


def test_the_value_of_a_unique_count_is_how_many_different_ones_there_were(pandas, db):
    for user in (1, 1, 2):
        unique("users", user)
    found = create_metric("Users", "users", UNIQUE)
    frame = found.to_dataframe("day", date(2000, 1, 1), date(2000, 1, 1))
    assert frame["value"].tolist() == [0.0]
    frame = found.to_dataframe("day", today(), today())
    assert (frame["value"].tolist(), frame["total"].tolist()) == ([2.0], [3.0])


def test_without_pandas_it_says_what_to_install(orders, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas: run `pip install pandas`"):
        orders.to_dataframe("day", DAY, DAY)


def test_an_unknown_period_is_an_error(orders):
    with pytest.raises(ValueError, match="'days' is not a period"):
        orders.to_dataframe("days", DAY, DAY)
