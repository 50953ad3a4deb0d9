"""Databases merge the label sets of totals exactly."""

from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from app_metrics.core.periods import DAY
from app_metrics.core.summary import merge_all, plain_summary
from app_metrics.models import Total
from app_metrics.models.creation import create_metric
from app_metrics.models.queries import QuerySources, fold_together
from tests.support.summaries import summary_of

pytestmark = pytest.mark.every_database

START = date(2026, 11, 23)
AT = 1_795_000_000_000_000
NUMBERS = {
    "whole": [0, 1, 17, 10**9, 123_456_789_012],
    "with decimal places": [Decimal(each) for each in ("0.1", "0.2", "19.99", "0.000000001", "1234.999999999", "7")],
    "with zeros after the point": [Decimal("1.01"), Decimal("2.005")],
    "negative": [Decimal("-0.5"), -3, Decimal("2.25"), Decimal("-17.000000001")],
    "large": [10**12, 10**17, Decimal("999999999999999999.999999999"), Decimal("123456789012.123456789"), 5],
}


def stored(numbers: list[Any], at: int = AT) -> list[Any]:
    """Store a total with a label set of its own for each number, and return their summaries."""
    metric = create_metric(name="Orders", slug="orders")
    summaries = [summary_of(number, number, at=at + place) for place, number in enumerate(numbers)]
    Total.objects.bulk_create(
        Total(metric=metric, period=DAY, start=START, hour=0, labels=f'{{"plan":"{place}"}}', **summary._asdict())
        for place, summary in enumerate(summaries)
    )
    return summaries


def read() -> tuple[Any, int]:
    """Return the summary of all label sets, and how many rows the database returned for it."""
    piece, sources = (DAY, START, 0), QuerySources.of_slug("orders")
    rows = sources.rows.of_pieces({piece: ["day"]}, apart=False, sketches=False)
    return fold_together(sources, {"day": [piece]})["orders", "day"], len(rows)


@pytest.mark.parametrize("name", NUMBERS)
def test_label_sets_are_added_exactly(name: str, database: str) -> None:
    summaries = stored(NUMBERS[name])
    merged, _ = read()
    assert merged == plain_summary(merge_all(summaries))


def test_many_random_numbers_are_added_exactly(database: str) -> None:
    random = Random(1)
    numbers = [
        Decimal(random.randrange(10 ** random.randrange(1, 18))).scaleb(-random.randrange(10)) for _ in range(500)
    ]
    summaries = stored(numbers)
    merged, _ = read()
    assert merged == plain_summary(merge_all(summaries))


@pytest.mark.parametrize("number", [17, 10**9, Decimal("1.01"), Decimal("1234.999999999")])
def test_usual_numbers_are_merged_by_the_database(number: Any, database: str) -> None:
    stored([number, 3])
    assert read()[1] == 1


def test_a_time_outside_of_the_usual_years_is_compared_as_a_number(database: str) -> None:
    summaries = stored([1, 2, 3], at=999_999_999_999_999)
    assert read()[0] == plain_summary(merge_all(summaries))
