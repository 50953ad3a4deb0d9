"""`unique()` hashes a value before anything is gathered, and no error or log quotes it."""

import logging
import traceback
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import transaction

from app_metrics import collect, unique
from app_metrics.core.hashing import hash_of
from app_metrics.core.summary import UNIQUE
from app_metrics.core.uniques import Uniques
from app_metrics.definitions import Unique
from app_metrics.recording.metrics import record
from app_metrics.testing import capture_metrics

SECRET = "ann@example.com"


def test_an_entry_has_the_hash_of_the_value_and_not_the_value():
    with capture_metrics(), collect() as scope:
        unique("users", SECRET, labels={"plan": "pro"})
        record("users", UNIQUE, SECRET)
        assert [entry[3] for entry in scope.entries] == [hash_of(SECRET)] * 2
        assert SECRET not in repr(scope.entries)


def test_values_of_the_same_text_count_once():
    with capture_metrics() as recording, collect():
        for value in (7, "7", Decimal("7.00"), UUID(int=7), str(UUID(int=7))):
            unique("users", value)
    found = recording.summary("users")
    assert found.uniques == Uniques([hash_of(7), hash_of(UUID(int=7))])
    assert (found.count, found.total) == (5, 5)


@pytest.mark.parametrize("value", [None, "", True, 1.5, b"ann", Decimal("0.5"), object()])
def test_what_stands_for_nobody_is_dropped(value, settings, caplog):
    settings.APP_METRICS_STRICT = False
    with capture_metrics() as recording:
        unique("users", value)
    assert "users" not in recording.slugs


@pytest.mark.parametrize("value", [Decimal("0.123456789"), b"ann@example.com", 987654.321])
def test_no_error_or_log_quotes_the_value(value, settings, caplog):
    settings.APP_METRICS_STRICT = True
    with capture_metrics(), pytest.raises((TypeError, ValueError)) as error:
        unique("users", value)
    settings.APP_METRICS_STRICT = False
    with caplog.at_level(logging.DEBUG), capture_metrics():
        unique("users", value)
    digits = value.decode() if isinstance(value, bytes) else str(value)
    assert digits not in f"{error.value}{caplog.text}"


@pytest.mark.parametrize("call", [unique, lambda slug, value, **options: Unique(slug)(value, **options)])
@pytest.mark.parametrize("options", [{}, {"labels": {"plan": 1}}], ids=["value", "labels"])
def test_no_function_of_a_traceback_has_the_value(call, options, settings):
    settings.APP_METRICS_STRICT = True
    with capture_metrics(), pytest.raises((TypeError, ValueError)) as raised:
        call("users", [SECRET], **options)
    frames = [frame for error in (raised.value, raised.value.__context__) for frame in frames_of(error)]
    ours = [frame for frame in frames if frame.f_globals["__name__"].startswith("app_metrics.")]
    assert len(ours) > 1
    assert [frame for frame in ours if SECRET in repr(frame.f_locals)] == []


def frames_of(error):
    return [frame for frame, _ in traceback.walk_tb(error and error.__traceback__)]


@pytest.mark.django_db(transaction=True)
def test_a_value_counts_only_if_the_transaction_commits():
    with capture_metrics() as recording:
        with transaction.atomic():
            unique("users", 1, on_commit=True)
            assert recording.slugs == []
        assert recording.summary("users").uniques == Uniques([hash_of(1)])
