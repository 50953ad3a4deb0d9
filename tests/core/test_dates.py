"""Dates and times that users write."""

from datetime import UTC, date, datetime

import pytest

from app_metrics.core.dates import check_year, read_day, read_moment
from app_metrics.core.validation import check_time

# The same moment in milliseconds, seconds, microseconds and nanoseconds of Unix time.
NUMBERS = ["1790120511230", "1790120511", "1790120511230000", "1790120511230000000", "1790120511.23", "17901205112:30"]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_no_time_though_python_reads_some_as_one(text):
    hint = "give a time in ISO format, such as 2026-11-23T09:00, not seconds or milliseconds since 1970"
    with pytest.raises(ValueError, match=f"'{text}' is a number; {hint}"):
        read_moment(text)


@pytest.mark.parametrize("text", ["2026-11-23T09:00", "20261123T0900", "20261123 09:00", "2026-W48-1T09"])
def test_a_time_is_read_in_every_iso_format(text):
    assert read_moment(text) == datetime.fromisoformat("2026-11-23T09:00")


@pytest.mark.parametrize("text", ["2026-11-23", "20261123"])
def test_a_date_is_read_in_both_iso_formats(text):
    assert read_day(text) == date(2026, 11, 23)
    assert read_moment(text) == datetime.fromisoformat("2026-11-23")


@pytest.mark.parametrize("text", ["", "yesterday", "1790120511230", "2026-13-01", "23.11.2026"])
def test_an_invalid_date_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a date; give one such as 2026-11-23"):
        read_day(text)


@pytest.mark.parametrize("year", [1790, 1969, 2101])
def test_a_date_outside_the_years_of_the_setting_is_refused(year):
    reason = rf"`at` is in the year {year}; APP_METRICS_YEARS allows 1970 to 2100\."
    with pytest.raises(ValueError, match=reason):
        check_time(datetime(year, 6, 1, tzinfo=UTC))


def test_the_setting_allows_other_years(settings):
    settings.APP_METRICS_YEARS = (1700, 1800)
    assert check_time(datetime(1790, 12, 5, tzinfo=UTC)) < 0
    for year in (1699, 1801):
        with pytest.raises(ValueError, match="allows 1700 to 1800"):
            check_year(date(year, 6, 1), "it")


@pytest.mark.parametrize("value", [None, 1970, (1970,), (2100, 1970), (1000, 2100), (1970, 9998), ("1970", "2100")])
def test_years_that_are_no_range_count_as_the_default(value, settings):
    settings.APP_METRICS_YEARS = value
    check_year(date(1970, 1, 1), "it")
    with pytest.raises(ValueError, match="allows 1970 to 2100"):
        check_year(date(1969, 12, 31), "it")
