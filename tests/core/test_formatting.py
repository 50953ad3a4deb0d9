"""How numbers, changes, dates and sparklines are formatted."""

from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from app_metrics.core import formatting
from app_metrics.core.formatting import about, date_title, heights, moment_title, shown, shown_change, shown_difference
from app_metrics.core.periods import DAY, HOUR, MONTH, WEEK, YEAR
from app_metrics.core.plain_text import aligned, one_line, sparkline, width
from app_metrics.core.summary import UNIQUE
from app_metrics.core.uniques import EXACT, STANDARD_ERROR
from tests.support.sample_reports import comparison


def blank(text):
    """Replace non-breaking spaces with plain ones."""
    return text.replace("\u00a0", " ")


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (Decimal("0E-9"), "0"),
        (1234567, "1,234,567"),
        (Decimal("1234.500000000"), "1,234.5"),
        (Decimal("1200.000000000"), "1,200"),
        (Decimal("2.345678"), "2.35"),
        (Decimal("0.0123456"), "0.0123"),
        (Decimal("0.999900000"), "1"),
        (Decimal("0.000000001"), "0.000000001"),
        (-5, "−5"),
        (Decimal("-1234.25"), "−1,234.25"),
        (1.5, "1.5"),
        (None, "–"),
        (12345678901234567890123456789012345678, "12,345,678,901,234,567,890,123,456,789,012,345,678"),
    ],
)
def test_a_number_is_grouped_and_has_no_idle_zeros(number, text):
    assert shown(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("107576.8"), "107,576.80"),
        (Decimal("-4.5"), "−4.50"),
        (Decimal("1200.000000000"), "1,200"),
        (Decimal("0.5"), "0.50"),
        (Decimal("0.0125"), "0.0125"),
    ],
)
@pytest.mark.parametrize(("kind", "unit"), [("counter", ""), ("counter", "EUR"), ("gauge", "€"), ("gauge", "US$")])
def test_cents_have_two_digits_in_currencies_and_in_counters_without_a_unit(number, text, kind, unit):
    assert blank(shown(number, kind, unit)) == f"{text} {unit}".rstrip()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1001, "about 1,000 ± 1.6 %"),
        (1236, "about 1,240 ± 1.6 %"),
        (9999, "about 10,000 ± 1.6 %"),
        (48_237, "about 48,200 ± 1.6 %"),
        (61_700, "about 61,700 ± 1.6 %"),  # its error is nearly 1,000
        (1_234_567, "about 1,230,000 ± 1.6 %"),
        (2**64, "about 18,400,000,000,000,000,000 ± 1.6 %"),
    ],
)
def test_an_estimate_is_rounded_to_where_its_error_shows(number, text):
    with localcontext(prec=2):
        assert blank(about(number, STANDARD_ERROR)) == text


def test_a_unique_count_is_shown_with_its_error_if_it_is_an_estimate():
    assert blank(shown(EXACT + 1, UNIQUE, "users")) == "about 1,000 users ± 1.6 %"
    assert blank(shown(EXACT, UNIQUE, "users")) == "1,000 users"
    assert shown(EXACT + 1) == "1,001"


def test_an_exact_number_has_all_its_digits_and_no_error():
    assert about(48_237, Decimal(0)) == "48,237"


@pytest.mark.parametrize(("language", "text"), [("de", "etwa 48.200 ± 1,6 %"), ("fr", "environ 48 200 ± 1,6 %")])
def test_an_estimate_is_in_the_active_language(language, text):
    with translation.override(language):
        assert blank(about(48_237, STANDARD_ERROR)) == text


def test_whole_amounts_have_cents_beside_others():
    assert shown(1200, "counter", with_cents=True) == "1,200.00"
    assert shown(0, "counter", with_cents=True) == "0.00"
    assert shown(1200, "gauge", "kg", with_cents=True) == "1,200\u00a0kg"


@pytest.mark.parametrize(
    ("numbers", "kind", "unit", "expected"),
    [
        ([3, None, Decimal("-4.5")], "counter", "", True),
        ([3, Decimal("4.5")], "gauge", "EUR", True),
        ([3, Decimal("4.5")], "gauge", "", False),
        ([3, Decimal("4.5")], "timer", "", False),
        ([3, Decimal("4.0"), Decimal("0.0125")], "counter", "", False),
        ([], "counter", "", False),
    ],
)
def test_numbers_have_cents_if_one_of_them_does(numbers, kind, unit, expected):
    assert formatting.have_cents(numbers, kind, unit) is expected


@pytest.mark.parametrize(("kind", "unit"), [("gauge", ""), ("gauge", "GB"), ("counter", "kg"), ("", "")])
def test_numbers_that_are_no_money_have_no_idle_zeros(kind, unit):
    assert blank(shown(Decimal("21.5"), kind, unit)) == f"21.5 {unit}".rstrip()


def test_a_number_is_exact_for_any_precision_of_the_thread():
    with localcontext(prec=3):
        assert shown(Decimal("123456789.25")) == "123,456,789.25"
        assert blank(shown_change(comparison(123456, 100))) == "+123,356 %"
        assert blank(shown(Decimal("93784.5"), "timer")) == "26 h 3 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("0", "0 s"),
        ("0.000000012", "12 ns"),
        ("0.0000005", "500 ns"),
        ("0.00025", "250 µs"),
        ("0.38", "380 ms"),
        ("0.99949", "999 ms"),
        ("0.9996", "1 s"),
        ("1.2412345", "1.24 s"),
        ("42.06", "42.1 s"),
        ("59.97", "1 min"),
        ("125.4", "2 min 5 s"),
        ("3599.7", "1 h"),
        ("4127.5", "1 h 9 min"),
        ("7199.9", "2 h"),
        ("360000000", "100,000 h"),
        ("-0.25", "−250 ms"),
    ],
)
def test_a_timers_seconds_are_shown_in_the_unit_that_suits_them(seconds, text):
    assert blank(shown(Decimal(seconds), "timer", "ignored")) == text


def test_a_unit_stands_behind_a_space_at_which_no_line_breaks():
    assert shown(1999, unit="EUR") == "1,999\u00a0EUR"
    assert shown(3, "gauge", "open\r\njobs") == "3\u00a0open jobs"


def test_numbers_follow_the_language():
    with translation.override("de"):
        assert shown(Decimal("1234.5")) == "1.234,5"
        assert blank(shown_change(comparison(1045, 1000))) == "+4,5 %"
    with translation.override("fr"):
        assert blank(shown(Decimal("1234.5"))) == "1 234,5"


def test_a_sign_stays_before_its_number_in_right_to_left_text():
    with translation.override("he"):
        assert shown(Decimal("-0.25"), "timer") == "\u200e−250\u00a0ms\u200e"
        assert shown_change(comparison(90, 100)) == "\u200e−10\u00a0%\u200e"
        assert shown_difference(comparison(90, 100)) == "\u200e−10\u200e"


@pytest.mark.parametrize(
    ("now", "then", "text"),
    [
        (123, 100, "+23 %"),
        (955, 1000, "−4.5 %"),
        (2, 1, "+100 %"),
        (1234567, 1000, "+123,357 %"),
        (100, 100, "±0 %"),
        (10001, 10000, "+<0.1 %"),
        (9999, 10000, "−<0.1 %"),
        (10005, 10000, "+0.1 %"),
        (1097, 1000, "+9.7 %"),
        (10996, 10000, "+10 %"),
        (19997, 10000, "+100 %"),
        (0, 7, "−100 %"),
        (3, 10000, "−99.9 %"),
        (1, 10**9, "−99.9 %"),
        (-30, -50, "+40 %"),
        (5, 0, "new"),
        (-5, 0, "new"),
        (0, 0, "n/a"),
    ],
)
def test_a_change_is_a_signed_percentage_or_a_word(now, then, text):
    assert blank(shown_change(comparison(now, then))) == text


def test_a_change_without_two_numbers_is_a_word():
    assert shown_change(comparison(3, None, kind="gauge")) == "new"
    assert shown_change(comparison(None, 3, kind="gauge")) == "n/a"
    assert shown_change(comparison(3, 3, start=None)) == "n/a"


def test_an_absolute_change_has_a_sign_and_the_metrics_unit():
    assert shown_difference(comparison(123, 100)) == "+23"
    assert blank(shown_difference(comparison(1, Decimal("2.5")), unit="EUR")) == "−1.50 EUR"
    assert blank(shown_difference(comparison(Decimal("0.5"), Decimal("0.12"), "timer"), "timer")) == "+380 ms"
    assert shown_difference(comparison(7, 7)) == "±0"
    assert shown_difference(comparison(None, 3, kind="gauge")) == "–"


def test_a_sparkline_starts_at_zero_and_leaves_unknown_periods_out():
    assert sparkline([0, 1, 2, None, 7, 1000]) == "▁▂▂ ▂█"
    assert sparkline([900, 1000]) == "▇█"
    assert sparkline([]) == ""


def test_a_sparkline_of_equal_numbers_stays_on_one_level():
    assert sparkline([5, None, 5]) == "▄ ▄"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([-2, -2]) == "▄▄"
    assert sparkline([None, None]) == "  "


def test_a_sparkline_has_the_lowest_negative_number_at_the_bottom():
    assert sparkline([-5, 0, 5]) == "▁▅█"
    assert sparkline([-8, -1]) == "▁▇"


def test_bars_are_scaled_and_go_below_zero():
    assert heights([0, 50, 100], 40) == [0, 20, 40]
    assert heights([1, None, 10**6], 40) == [1, None, 40]
    assert heights([100, -50, -1], 60) == [40, -20, -1]
    assert heights([-4, -2], 10) == [-10, -5]
    assert heights([0, None], 10) == [0, None]


MONDAY = date(2026, 11, 16)


@pytest.mark.parametrize(
    ("language", "day", "week", "longer_week", "month"),
    [
        (
            "en",
            "Monday, 16 November 2026",
            "16–22 November 2026",
            "30 November – 6 December 2026",
            "November 2026",
        ),
        (
            "de",
            "Montag, 16. November 2026",
            "16.–22. November 2026",
            "30. November – 6. Dezember 2026",
            "November 2026",
        ),
        (
            "fr",
            "lundi 16 novembre 2026",
            "16–22 novembre 2026",
            "30 novembre – 6 décembre 2026",
            "novembre 2026",
        ),
        (
            "hu",
            "hétfő, 2026. november 16.",
            "2026. november 16. – 2026. november 22.",
            "2026. november 30. – 2026. december 6.",
            "2026. november",
        ),
    ],
)
def test_a_period_is_named_as_its_language_has_it(language, day, week, longer_week, month):
    with translation.override(language):
        assert formatting.period_title(DAY, MONDAY) == day
        assert formatting.period_title(WEEK, MONDAY).endswith(f" 47, {week}")
        assert formatting.period_title(WEEK, date(2026, 11, 30)).endswith(f" 49, {longer_week}")
        assert formatting.period_title(MONTH, date(2026, 11, 1)) == month


def test_only_a_week_from_monday_has_its_iso_number():
    assert formatting.period_title(WEEK, date(2026, 12, 28)) == "Week 53, 28 December 2026 – 3 January 2027"
    assert formatting.period_title(WEEK, date(2026, 11, 15)) == "15–21 November 2026"


def test_a_range_of_one_date_is_that_date():
    assert formatting.dates(date(2026, 11, 3), date(2026, 11, 3)) == "3 November 2026"


def test_the_dates_of_a_picture_are_short():
    assert formatting.short_title(DAY, MONDAY) == formatting.short_title(WEEK, MONDAY) == "16 November"
    assert formatting.short_title(MONTH, date(2026, 11, 1)) == "November 2026"
    assert formatting.day_title(MONDAY) == "Monday, 16 November"


@pytest.mark.parametrize(
    ("language", "hour", "day", "month"),
    [
        ("en", "Monday, 16 November 2026, 9:30 p.m.", "Monday, 16 November 2026", "November 2026"),
        ("de", "Montag, 16. November 2026, 21:30", "Montag, 16. November 2026", "November 2026"),
        ("fr", "lundi 16 novembre 2026, 21:30", "lundi 16 novembre 2026", "novembre 2026"),
    ],
)
def test_every_period_of_a_chart_has_a_name(language, hour, day, month):
    with translation.override(language):
        assert formatting.period_title(HOUR, datetime(2026, 11, 16, 21, 30, tzinfo=UTC)) == hour
        assert formatting.period_title(DAY, MONDAY) == day
        assert formatting.period_title(MONTH, date(2026, 11, 1)) == month
        assert formatting.period_title(YEAR, date(2026, 1, 1)) == "2026"


def test_repeated_hours_have_different_titles():
    first, second = (datetime(2026, 10, 25, 2, fold=fold, tzinfo=ZoneInfo("Europe/Berlin")) for fold in (0, 1))
    titles = [formatting.period_title(HOUR, start) for start in (first, second)]
    assert [title.rpartition(" ")[2] for title in titles] == ["CEST", "CET"]
    assert titles[0].removesuffix(" CEST") == titles[1].removesuffix(" CET")


@pytest.mark.parametrize(
    ("language", "hour", "midnight", "day", "month"),
    [
        ("en", "9 p.m.", "16 November", "16 November", "November 2026"),
        ("de", "21:00", "16. November", "16. November", "November 2026"),
    ],
)
def test_an_axis_names_the_time_and_at_midnight_the_date(language, hour, midnight, day, month):
    with translation.override(language):
        assert formatting.short_title(HOUR, datetime(2026, 11, 16, 21, tzinfo=UTC)) == hour
        assert formatting.short_title(HOUR, datetime(2026, 11, 16, tzinfo=UTC)) == midnight
        assert formatting.short_title(DAY, MONDAY) == formatting.short_title(WEEK, MONDAY) == day
        assert formatting.short_title(MONTH, date(2026, 11, 1)) == month
        assert formatting.short_title(YEAR, date(2026, 1, 1)) == "2026"


def test_a_name_is_brought_into_one_line_of_visible_characters():
    assert (
        one_line("  Sign\r\nBcc: all@example.org\t\x00\x1b[31m \u2028end\u202e ")
        == "Sign Bcc: all@example.org [31m end"
    )


def test_wide_characters_take_two_columns_and_combining_ones_none():
    assert width("abc") == 3
    assert width("登録") == 4
    assert width("e\u0301\u200d") == 1


def test_columns_are_aligned_for_any_characters():
    rows = [["Signups", "1"], ["登録数", "23"], ["Cafe\u0301", "456"], ["a " * 50, "7"], ["x" * 200, "8"]]
    lines = aligned(rows)
    assert {width(each[-1]) for each in lines} == {80}
    assert max(width(text) for each in lines for text in each) == 80
    assert "".join(lines[4]).replace(" ", "") == "x" * 200 + "8"
    assert aligned([]) == []


def test_the_first_column_keeps_some_room_beside_long_numbers():
    lines = aligned([["Signups of the year", "9" * 90]])
    assert lines[0][0] == "Signups of the"
    assert lines[0][1].startswith("year" + " " * 14 + "9")


@pytest.mark.parametrize(
    ("language", "day", "moment"),
    [
        ("en", "29 November 2026", "29 November 2026, 3:05 p.m."),
        ("de", "29. November 2026", "29. November 2026 15:05"),
        ("fr", "29 novembre 2026", "29 novembre 2026 15:05"),
    ],
)
def test_dates_and_times_have_one_form_in_a_language(language, day, moment):
    with translation.override(language):
        assert date_title(date(2026, 11, 29)) == day
        assert moment_title(datetime(2026, 11, 29, 15, 5, tzinfo=UTC)) == moment
