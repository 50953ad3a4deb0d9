"""Export totals as lines of JSON, and the totals of the last days."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from freezegun import freeze_time

from app_metrics import collect, distribution, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.hashing import hash_of
from app_metrics.core.histogram import Histogram
from app_metrics.core.periods import PERIODS
from app_metrics.core.summary import NAMES
from app_metrics.models import Metric, Total
from app_metrics.models.percentiles import PERCENTS

# A Tuesday.
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def export(*options):
    out = StringIO()
    call_command("metrics_export", *options, "--verbosity=0", stdout=out)
    return out.getvalue()


def exported(*options):
    return list(map(json.loads, export("--format=jsonl", *options).splitlines()))


def days_of(lines, period):
    return sorted({line["start"] for line in lines if line["period"] == period})


@pytest.mark.every_database
def test_each_total_is_a_line_with_its_key_and_its_exact_numbers(transactional_database):
    metric("orders", Decimal("123456789012345678.000000001"), labels={"plan": "pro"}, at=NOW)
    metric("orders", 1, labels={"plan": "pro"}, at=NOW)
    (day,) = [line for line in exported() if line["period"] == "day"]
    assert list(day) == [
        "slug", "kind", "period", "start", "hour", "starts_at", "labels", *NAMES, "unique", "percentiles", "buckets"
    ]  # fmt: skip
    assert (day["slug"], day["kind"], day["labels"]) == ("orders", "counter", {"plan": "pro"})
    assert (day["count"], day["total"], day["last"]) == (2, "123456789012345679.000000001", "1")
    assert (day["unique"], day["percentiles"], day["buckets"]) == (None, {}, {})


def test_a_line_has_the_stored_hour_and_the_time_at_which_it_begins(database, settings):
    settings.APP_METRICS_TIME_ZONE = "Europe/Berlin"
    hours = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]  # 2:30 twice, as clocks are set back
    with collect():
        for at in hours:
            metric("orders", at=at)
    found = [line for line in exported() if line["period"] == "hour"]
    assert [(line["start"], line["hour"]) for line in found] == [("2026-10-25", 2), ("2026-10-25", 3)]
    assert [line["starts_at"] for line in found] == [(at - timedelta(minutes=30)).timestamp() for at in hours]


@pytest.mark.every_database
def test_a_line_has_percentiles_and_the_counts_by_bucket_in_place_of_a_histogram(transactional_database):
    numbers = [Decimal("-2.5"), 0, 1, 2, 2, 3]
    for number in numbers:
        distribution("price", number, at=NOW)
        aggregate()  # which appends to the stored histograms
    (day,) = [line for line in exported() if line["period"] == "day"]
    price = Metric.objects.get(slug="price")
    assert {name: Decimal(number) for name, number in day["percentiles"].items()} == {
        f"p{percent}": price.percentile("day", percent, NOW.date()) for percent in PERCENTS
    }
    assert day["buckets"] == {str(bucket): count for bucket, count in Histogram(numbers).counts.items()}


def test_a_total_whose_histogram_lacks_numbers_has_no_percentiles(database):
    distribution("price", 1, at=NOW)
    aggregate()
    Total.objects.update(count=2)  # as if the first number was counted before there were histograms
    assert {json.dumps(line["percentiles"]) for line in exported()} == {"{}"}


def test_a_unique_count_is_a_number_and_its_hashes_stay_here(database):
    for user in (1, 2, 2):
        unique("users", user, at=NOW)
    text = export("--format=jsonl")
    assert {json.loads(line)["unique"] for line in text.splitlines()} == {2}
    assert str(hash_of(1)) not in text
    assert "uniques" not in text


def test_a_damaged_sketch_is_exported_as_unknown_and_is_named(database):
    distribution("price", 1, at=NOW)
    aggregate()
    Total.objects.filter(period="week").update(histogram=b"\xff")
    out = StringIO()
    with pytest.raises(CommandError, match="Sketches that could not be read: 1"):
        call_command("metrics_export", "--format=jsonl", "--verbosity=0", stdout=out, stderr=StringIO())
    (week,) = [line for line in map(json.loads, out.getvalue().splitlines()) if line["period"] == "week"]
    assert (week["count"], week["percentiles"], week["buckets"]) == (1, {}, {})


@pytest.fixture
def year(database):
    """An event on each of the last 400 days."""
    with freeze_time(NOW), collect():
        for days in range(400):
            metric("orders", at=NOW - timedelta(days))


@pytest.mark.every_database
@freeze_time(NOW)
def test_the_last_days_are_exported_with_the_periods_that_contain_them(year):
    lines = exported("--days=3")
    assert {period: days_of(lines, period) for period in PERIODS} == {
        "hour": ["2026-11-22", "2026-11-23", "2026-11-24"],
        "day": ["2026-11-22", "2026-11-23", "2026-11-24"],
        "week": ["2026-11-16", "2026-11-23"],
        "month": ["2026-11-01"],
        "year": ["2026-01-01"],
    }


@freeze_time(NOW)
def test_one_day_is_today_in_the_time_zone_of_metrics(year, settings):
    settings.APP_METRICS_TIME_ZONE = "Pacific/Kiritimati"  # where the next day has begun
    metric("orders")
    assert days_of(exported("--days=1"), "day") == ["2026-11-25"]


@freeze_time(NOW)
def test_a_week_that_begins_on_sunday_contains_its_last_days(year, settings):
    settings.APP_METRICS_WEEK_START = "sunday"
    Total.objects.all().delete()
    metric("orders")
    assert days_of(exported("--days=2"), "week") == ["2026-11-22"]


@freeze_time(NOW)
def test_the_last_days_can_be_exported_as_csv_and_filtered_by_labels(year):
    metric("orders", labels={"plan": "pro"})
    assert export("--days=1", "--where=plan=pro").count("\n") == 1 + len(PERIODS)


@pytest.mark.parametrize("days", ["0", "-1", "three", "100001"])
def test_a_number_of_days_that_is_none_is_an_error(database, days):
    with pytest.raises(CommandError, match=f"'{days}' is not a whole number of days from 1 to 100,000"):
        export(f"--days={days}")


def test_either_days_or_a_date_can_be_given(database):
    with pytest.raises(CommandError, match="not allowed with argument"):
        export("--days=1", f"--since={date(2026, 1, 1)}")
