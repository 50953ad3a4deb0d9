"""Ratios divide by how many different ones there were in the period."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import collect, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.checks.ratios import check_ratios, check_slugs_of_ratios
from app_metrics.ratios import get_ratio
from app_metrics.ratios.changes import metrics_of, operand_title, shown_division

# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
USERS = {"slug": "users", "field": "unique"}


@pytest.fixture
def noon(database, settings):
    settings.APP_METRICS_RATIOS = {
        "orders_per_user": {"of": "orders", "to": USERS},
        "pro": {"of": {**USERS, "labels": {"plan": "pro"}}, "to": USERS, "as": "percent"},
        "events": {"of": {"slug": "users", "field": "count"}, "to": "users"},
    }
    with freeze_time(NOW):
        yield


def come(users, days=0, **labels):
    with collect():
        for user in users:
            unique("users", user, labels=labels or None, at=NOW - timedelta(days=days))


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
def test_a_ratio_divides_by_the_distinct_count_of_each_period(aggregated, noon):
    come([1, 2, 2]), come([2, 3], 1), metric("orders", 6)
    if aggregated:
        aggregate()
    ratio = get_ratio("orders_per_user")
    assert (ratio.quotient("day").value, ratio.quotient("week").value) == (3, 2)


def test_labels_are_united_before_they_are_counted(noon):
    come([1, 2], plan="pro", country="DE"), come([2], plan="pro", country="FR"), come([2, 3, 4], plan="free")
    quotient = get_ratio("pro").quotient("day")
    assert (quotient.numerator, quotient.denominator, quotient.value) == (2, 4, 50)


def test_nobody_is_no_denominator(noon):
    metric("orders", 6)
    assert get_ratio("orders_per_user").quotient("day").value is None


def test_an_estimate_is_shown_with_its_error_beside_the_ratio_and_a_number_of_events_without(noon):
    come(range(1500)), come(range(1500)), metric("orders", 3000)
    found = {
        name: shown_division(get_ratio(name), get_ratio(name).quotient("day"), metrics_of([get_ratio(name)]))
        for name in ("orders_per_user", "events")
    }
    assert found["orders_per_user"].startswith("3,000 ÷ about\u00a01,")
    assert found["events"] == "3,000 ÷ 3,000"


def test_the_title_of_an_operand_says_what_is_counted(noon):
    come([1])
    ratio = get_ratio("pro")
    assert operand_title(ratio.of, metrics_of([ratio])) == "users (plan=pro, different)"


def test_a_distinct_count_of_another_kind_is_found_by_check(noon, database, settings):
    metric("orders", 1)
    aggregate()
    settings.APP_METRICS_RATIOS = {"share": {"of": {"slug": "orders", "field": "unique"}, "to": "orders"}}
    [message] = [each for each in check_slugs_of_ratios(databases=[database]) if each.id == "app_metrics.E031"]
    assert "reads unique of the counter 'orders'" in message.msg
    assert "Only unique counts count different ones" in message.hint
    assert check_ratios() == []
