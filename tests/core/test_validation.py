"""Arguments that cannot be counted exactly are refused when recorded, and never reach the database."""

import enum
import logging
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.db.models import TextChoices

from app_metrics import Timer, collect, gauge, metric
from app_metrics.core import dropped, validation
from app_metrics.core.labels import NO_LABELS
from app_metrics.core.numbers import LARGEST
from app_metrics.core.summary import COUNTER, GAUGE, TIMER
from app_metrics.core.validation import check_labels, check_number, check_slug, check_time
from app_metrics.models import Item
from app_metrics.testing.recorded import capture_metrics

BAD_SLUGS = {
    "empty": ("", ValueError),
    "space": ("new user", ValueError),
    "accent": ("lögin", ValueError),
    "trailing newline": ("login\n", ValueError),
    "trailing space": ("login ", ValueError),
    "NUL": ("log\0in", ValueError),
    "lone surrogate": ("log\ud800in", ValueError),
    "zero-width": ("log\u200bin", ValueError),
    "digits of another script": ("١٢٣", ValueError),
    "too long": ("x" * 101, ValueError),
    "bytes": (b"login", TypeError),
    "None": (None, TypeError),
    "number": (1, TypeError),
    "list": (["login"], TypeError),
}
BAD_NUMBERS = {
    "NaN": (Decimal("NaN"), ValueError),
    "signalling NaN": (Decimal("sNaN"), ValueError),
    "infinity": (Decimal("Infinity"), ValueError),
    "minus infinity": (Decimal("-Infinity"), ValueError),
    "10^400": (10**400, ValueError),
    "10^18": (10**18, ValueError),
    "-10^18": (-(10**18), ValueError),
    "decimal 10^400": (Decimal("1E+400"), ValueError),
    "ten decimal places": (Decimal("0.0000000001"), ValueError),
    "10^-400": (Decimal("1E-400"), ValueError),
    "True": (True, TypeError),
    "False": (False, TypeError),
    "None": (None, TypeError),
    "word": ("four", ValueError),
    "empty text": ("", ValueError),
    "NaN as text": ("NaN", ValueError),
    "10^18 as text": ("1e18", ValueError),
    "bytes": (b"4", TypeError),
    "complex": (1j, TypeError),
    "float": (1.5, TypeError),
}
BAD_FLOATS = {
    "NaN": (math.nan, ValueError),
    "infinity": (math.inf, ValueError),
    "minus infinity": (-math.inf, ValueError),
    "10^300": (1e300, ValueError),
    "10^18": (1e18, ValueError),
}
BAD_LABELS = {
    "text": ("plan", TypeError),
    "list": (["plan"], TypeError),
    "number as value": ({"plan": 1}, TypeError),
    "None as value": ({"plan": None}, TypeError),
    "True as value": ({"plan": True}, TypeError),
    "list as value": ({"plan": ["pro"]}, TypeError),
    "number as key": ({1: "pro"}, TypeError),
    "bytes": ({"plan": b"pro"}, TypeError),
    "NUL in value": ({"plan": "p\0ro"}, ValueError),
    "NUL in key": ({"pl\0an": "pro"}, ValueError),
    "lone surrogate in value": ({"plan": "\udfff"}, ValueError),
    "lone surrogate in key": ({"\ud800": "pro"}, ValueError),
    "long value": ({"plan": "x" * 101}, ValueError),
    "long key": ({"x" * 101: "pro"}, ValueError),
    "too many": ({str(number): "" for number in range(9)}, ValueError),
    "too long together": ({str(number): "x" * 100 for number in range(5)}, ValueError),
    "too long once escaped": ({"plan": "\x01" * 90}, ValueError),
}
BAD_TIMES = {
    "date": (date(2026, 1, 1), TypeError),
    "text": ("2026-01-01", TypeError),
    "number": (0, TypeError),
    "first of all": (datetime.fromisoformat("0001-01-01"), ValueError),
    "last of all": (datetime.fromisoformat("9999-12-31 23:59:59"), ValueError),
    "last of all, aware": (datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14))), ValueError),
    "year 1969": (datetime(1969, 12, 31, tzinfo=UTC), ValueError),
    "year 2101": (datetime(2101, 1, 1, tzinfo=UTC), ValueError),
}


def each_bad_call():
    for name, (slug, error) in BAD_SLUGS.items():
        yield pytest.param(lambda slug=slug: metric(slug), error, id=f"slug {name}")
    for name, (number, error) in BAD_NUMBERS.items():
        yield pytest.param(lambda number=number: metric("x", number), error, id=f"number {name}")
    for name, (number, error) in BAD_FLOATS.items():
        yield pytest.param(lambda number=number: gauge("x", number), error, id=f"gauge {name}")
    for name, (labels, error) in BAD_LABELS.items():
        yield pytest.param(lambda labels=labels: metric("x", labels=labels), error, id=f"labels {name}")
    for name, (at, error) in BAD_TIMES.items():
        yield pytest.param(lambda at=at: metric("x", at=at), error, id=f"at {name}")


BAD_CALLS = list(each_bad_call())


@pytest.mark.parametrize(("call", "error"), BAD_CALLS)
def test_a_bad_argument_raises_if_strict(call, error, settings):
    settings.APP_METRICS_STRICT = True
    with capture_metrics() as recording, pytest.raises(error) as caught:
        call()
    assert recording.slugs == []
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("call", "error"), BAD_CALLS)
def test_without_strict_a_bad_argument_is_dropped_logged_and_counted(call, error, settings, caplog):
    settings.APP_METRICS_STRICT = False
    with capture_metrics() as recording:
        call()
        call()
        assert recording.slugs == []
        metric("good")
    assert [(each.name, each.levelno) for each in caplog.records] == [("app_metrics", logging.WARNING)]
    assert recording.slugs == ["app_metrics_dropped", "good"]
    assert recording.total("app_metrics_dropped", {"reason": "bad_argument"}) == 2


@pytest.mark.parametrize(
    ("text", "number"), [("30", 30), ("3.14", Decimal("3.14")), (" -4 ", -4), (TextChoices("Four", {"A": "4"}).A, 4)]
)
@pytest.mark.parametrize("record", [metric, gauge])
def test_a_number_may_be_given_as_text(record, text, number):
    with capture_metrics() as recording:
        record("fuel", text)
    assert recording.total("fuel") == number


def test_bad_arguments_never_reach_the_database(database, settings):
    settings.APP_METRICS_STRICT = False
    for parameters in BAD_CALLS:
        parameters.values[0]()
    assert not Item.objects.exists()
    metric("good")
    items = Item.objects.order_by("slug").values_list("slug", "labels", "total")
    assert list(items) == [("app_metrics_dropped", '{"reason":"bad_argument"}', len(BAD_CALLS)), ("good", "{}", 1)]


@pytest.mark.parametrize(
    ("debug", "strict", "raises"), [(True, None, True), (False, None, False), (True, False, False)]
)
def test_strictness_follows_debug_unless_it_is_set(settings, debug, strict, raises):
    settings.DEBUG, settings.APP_METRICS_STRICT = debug, strict
    try:
        metric("not a slug")
    except ValueError:
        assert raises
    else:
        assert not raises


def test_unhashable_arguments_are_refused_with_the_reason(settings):
    settings.APP_METRICS_STRICT = True
    with pytest.raises(TypeError, match="A slug must be a str, not list"):
        metric(["login"])
    with pytest.raises(TypeError, match=r"Labels must map str to str; \['pro'\] is of type list"):
        metric("logins", labels={"plan": ["pro"]})


def test_slugs_and_labels_are_remembered_up_to_a_limit():
    with collect():
        for number in range(validation.MOST_REMEMBERED + 10):
            metric(f"slug-{number}", labels={"number": str(number)})
    assert 0 < len(validation.good_slugs) <= validation.MOST_REMEMBERED
    assert 0 < len(validation.good_labels) <= validation.MOST_REMEMBERED


def test_a_strict_timer_refuses_a_bad_slug_before_the_block(settings):
    settings.APP_METRICS_STRICT = True
    with pytest.raises(ValueError, match="is not a slug"):
        Timer("not a slug")
    with pytest.raises(TypeError, match="Labels must map str to str"):
        Timer("x", labels={"plan": 1})


def test_a_lenient_timer_with_a_bad_slug_counts_every_block_as_dropped(settings):
    settings.APP_METRICS_STRICT = False
    timer = Timer("not a slug")
    for _ in range(3):
        with timer:
            pass
    assert [(slug, number) for slug, _, _, number, _ in dropped.take_entries()] == [("app_metrics_dropped", 3)]


@pytest.mark.parametrize("slug", ["a", "A-b_9", "-", "x" * 100])
def test_a_slug_is_ascii_letters_digits_hyphens_and_underscores(slug):
    assert check_slug(slug) == slug


def test_members_of_enumerations_are_slugs_numbers_and_labels(database):
    slug = TextChoices("Slug", {"SIGNUP": "sign-up"}).SIGNUP
    metric(slug, enum.IntEnum("Number", {"FOUR": 4}).FOUR, labels={"via": slug})
    assert list(Item.objects.values_list("slug", "labels", "total")) == [("sign-up", '{"via":"sign-up"}', 4)]


@pytest.mark.parametrize(
    "labels",
    [
        {"plan": "pro", "country": "DE"},
        {"": ""},
        {"k": "\N{GRINNING FACE}" * 100},
        {"control": "\x01\n\x7f", "quote": "\"'\\", "separator": "\u2028", "last": "\uffff"},
    ],
)
def test_good_labels_come_back_from_every_database_as_they_were(database, labels):
    metric("x", labels=dict(reversed(labels.items())))
    item = Item.objects.get()
    assert item.labels == check_labels(labels)


def test_a_list_as_a_label_is_refused_with_an_explanation():
    with pytest.raises(TypeError, match=r"Labels must map str to str; \['pro'\] is of type list"):
        check_labels({"plan": ["pro"]})


@pytest.mark.parametrize("labels", [None, {}])
def test_no_labels_are_the_empty_label_set(labels):
    assert check_labels(labels) == NO_LABELS


@pytest.mark.parametrize("kind", [COUNTER, GAUGE, TIMER])
@pytest.mark.parametrize("number", [0, -3, LARGEST - 1, 1 - LARGEST, Decimal("0.000000001"), Decimal("-1E+17")])
def test_every_kind_takes_ints_and_decimals_as_they_are(kind, number):
    assert check_number(number, kind) == number


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC)),
        (datetime.fromisoformat("2026-06-01 12:00"), datetime(2026, 6, 1, 6, 15, tzinfo=UTC)),
        (datetime(1001, 1, 1, tzinfo=UTC), datetime(1001, 1, 1, tzinfo=UTC)),
        (datetime(9997, 12, 31, tzinfo=UTC), datetime(9997, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_naive_time_is_in_the_metrics_time_zone(settings, at, expected):
    settings.APP_METRICS_TIME_ZONE = "Asia/Kathmandu"
    settings.APP_METRICS_YEARS = (1001, 9997)
    assert check_time(at) == expected.timestamp()


def test_fold_distinguishes_repeated_naive_times(settings):
    settings.APP_METRICS_TIME_ZONE = "Europe/Berlin"
    twice = datetime.fromisoformat("2026-10-25 02:30")
    assert check_time(twice.replace(fold=1)) - check_time(twice) == 3600
