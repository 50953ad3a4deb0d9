"""The same thing has the same hash, whose key is secret, and no message shows what was hashed."""

from decimal import Decimal
from enum import Enum, IntEnum
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from app_metrics.core.hashing import hash_of
from app_metrics.core.uniques import STANDARD_ERROR, Uniques

KEY = "a secret of its own, long enough"
IDENTIFIER = "12345678-1234-5678-9234-567812345678"


class Colour(str, Enum):  # noqa: UP042  # unlike a StrEnum, it has another text
    RED = "red"


class Size(int, Enum):
    LARGE = 7


class Level(IntEnum):
    HIGH = 7


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (7, "7"),
        (7, Decimal(7)),
        (7, Decimal("7.00")),
        (7, Size.LARGE),
        (7, Level.HIGH),
        (-7, "-7"),
        (0, Decimal("-0")),
        (10**20, Decimal("1E+20")),
        (UUID(IDENTIFIER), IDENTIFIER),
        ("red", Colour.RED),
    ],
)
def test_values_with_the_same_text_are_the_same_thing(value, same):
    assert hash_of(value) == hash_of(same)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (7, 8),
        (7, -7),
        (7, "07"),
        (7, " 7"),
        ("7", "7 "),
        ("7", "7\0"),
        ("ann", "Ann"),
        ("\u00e9", "e\u0301"),
        ("\ud800", "\ud801"),
        (UUID(IDENTIFIER), UUID(IDENTIFIER).hex),
        (UUID(IDENTIFIER), UUID(IDENTIFIER).int),
    ],
)
def test_other_texts_are_other_things(value, other):
    assert hash_of(value) != hash_of(other)


@given(st.integers() | st.text(min_size=1) | st.uuids())
def test_a_hash_has_64_bits_and_is_always_the_same(value):
    assert 0 <= hash_of(value) == hash_of(value) < 2**64


def test_ids_in_a_row_are_estimated_as_well_as_random_hashes():
    errors = [Uniques(map(hash_of, range(first, first + 5000))).count / 5000 - 1 for first in range(0, 50_000, 5000)]
    assert all(abs(error) < 3 * STANDARD_ERROR for error in errors)
    assert abs(sum(errors)) / 10 < STANDARD_ERROR


@pytest.mark.parametrize("value", [None, True, False, 7.0, b"7", (1, 7), [7], object()])
def test_a_value_of_another_type_is_refused(value):
    with pytest.raises(TypeError, match=f"such as user.pk, not {type(value).__name__}."):
        hash_of(value)


def test_a_model_instance_is_refused_without_naming_it():
    with pytest.raises(TypeError) as caught:
        hash_of(User(pk=7, username="hunter2"))
    assert "such as user.pk, not User" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "An empty text stands for nobody"),
        (Decimal("4711.5"), "must be a whole one"),
        (Decimal("1E+1000000"), "must be a whole one"),
        (Decimal("-1E+100"), "must be a whole one"),
        (Decimal("4711E-1000000"), "must be a whole one"),
        (Decimal("NaN4711"), "must be a whole one"),
        (Decimal("sNaN"), "must be a whole one"),
        (Decimal("-Infinity"), "must be a whole one"),
        (4711 * 10**99, "at most 100 digits"),
    ],
)
def test_an_impossible_value_is_refused_without_naming_it(value, message):
    with pytest.raises(ValueError, match=message) as caught:
        hash_of(value)
    assert "4711" not in str(caught.value)


def test_hashes_are_the_same_in_every_version_as_long_as_the_key_is(settings):
    settings.APP_METRICS_UNIQUE_KEY = KEY
    hashes = [f"{hash_of(value):016x}" for value in (7, "Ann", UUID(IDENTIFIER))]
    assert hashes == ["e6d4e07198568900", "ea4fe16a69e95e90", "1c5807d7f66fc07a"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "APP_METRICS_UNIQUE_KEY"])
def test_with_another_key_everybody_has_another_hash(settings, name):
    before = hash_of(7)
    setattr(settings, name, KEY)
    assert hash_of(7) != before


def test_a_key_of_its_own_makes_hashes_independent_of_the_secret_key(settings):
    settings.APP_METRICS_UNIQUE_KEY = KEY
    before = hash_of(7)
    settings.SECRET_KEY = "a new one"
    assert hash_of(7) == before


@pytest.mark.parametrize("old", [KEY, KEY.encode()])
def test_the_old_secret_key_as_a_key_of_its_own_keeps_the_hashes(settings, old):
    settings.SECRET_KEY = old
    before = hash_of(7)
    settings.SECRET_KEY = "a new one"
    settings.APP_METRICS_UNIQUE_KEY = old
    assert hash_of(7) == before


def test_the_fallbacks_of_the_secret_key_change_no_hash(settings):
    before = hash_of(7)
    settings.SECRET_KEY_FALLBACKS = [KEY]
    assert hash_of(7) == before


@pytest.mark.parametrize("bad", ["", "too short", b"too short", 7])
def test_a_bad_key_counts_as_none(settings, bad):
    before = hash_of(7)
    settings.APP_METRICS_UNIQUE_KEY = bad
    assert hash_of(7) == before
