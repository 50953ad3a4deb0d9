"""A model rule's key `backfill`: a row is counted at its own date."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from freezegun import freeze_time

from app_metrics.checks import check_rules
from app_metrics.contrib.model_rules import compile_models
from app_metrics.contrib.row_dates import compile_row_date
from app_metrics.core.periods import bucket
from app_metrics.core.setting_rules import SettingReader
from app_metrics.transfer.source_tables import given_source
from tests.testapp.models import Order

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, tzinfo=BERLIN)

pytestmark = pytest.mark.django_db


@pytest.fixture
def count(settings, recorded, django_capture_on_commit_callbacks):
    """Create an order at noon of 23 November; return the hours that were counted."""

    def create(field="placed_at", **values):
        settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": field}}}
        recorded.batches.clear()
        with freeze_time(NOON), django_capture_on_commit_callbacks(execute=True):
            Order.objects.create(**values)
        return [(key.day, key.hour) for batch in recorded.batches for key in batch.summaries]

    return create


def test_a_row_counts_in_the_hour_of_its_own_date(count):
    assert count(placed_at=datetime(2026, 11, 20, 9, 59, 59, 999_999, tzinfo=BERLIN)) == [(date(2026, 11, 20), 9)]


def test_a_date_without_a_time_counts_at_midnight_of_the_metrics_time_zone(count, settings):
    settings.APP_METRICS_TIME_ZONE = "America/New_York"
    assert count("day", day=date(2026, 11, 20)) == [(date(2026, 11, 20), 0)]


def test_a_text_counts_as_the_date_that_is_saved(count):
    assert count(placed_at="2026-11-20T09:30:00Z") == [(date(2026, 11, 20), 10)]


@pytest.mark.parametrize("value", [None, datetime(900, 1, 1, tzinfo=BERLIN)])
def test_a_row_without_a_usable_date_counts_now(value, count, settings):
    settings.APP_METRICS_STRICT = True
    assert count(placed_at=value) == [(NOON.date(), 12)]


def test_a_value_that_the_database_computes_is_not_a_date():
    assert compile_row_date(Order, "created", SettingReader("E001", "x"), "placed_at").moment(Now()) is None


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("fold", [0, 1])
def test_a_naive_time_counts_in_the_hour_in_which_its_row_is_found(use_tz, fold, count, settings):
    """This covers ambiguous times when clocks go back, and metrics in another time zone."""
    settings.USE_TZ = use_tz
    settings.APP_METRICS_TIME_ZONE = "Asia/Kolkata"
    naive = datetime(2026, 10, 25, 2, 30, fold=fold)  # noqa: DTZ001 - it is what is tested
    with pytest.warns(RuntimeWarning) if use_tz else freeze_time(NOON):
        counted = count(placed_at=naive)
    (entry,) = (
        given_source("orders", "testapp.Order", "placed_at").tables[0].entries(date(2026, 10, 24), date(2026, 10, 27))
    )
    moment = naive.replace(tzinfo=BERLIN, fold=fold if use_tz else 0)
    assert counted == [entry[:2]] == [bucket(int(moment.timestamp()), ZoneInfo("Asia/Kolkata"))]


@pytest.mark.parametrize(
    ("rules", "code", "message", "hint"),
    [
        (
            {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed"}}},
            "E008",
            "APP_METRICS_MODELS['testapp.Order']['created'] refers to 'placed', which testapp.Order does not have.",
            "Did you mean 'placed_at'?",
        ),
        (
            {"testapp.Order": {"created": {"slug": "orders", "backfill": "plan"}}},
            "E008",
            "APP_METRICS_MODELS['testapp.Order']['created'] refers to 'plan', which is not a date field.",
            "Choose one of day, placed_at.",
        ),
        (
            {"testapp.Order": {"created": {"slug": "orders", "backfill": 5}}},
            "E008",
            "APP_METRICS_MODELS['testapp.Order']['created'] refers to 5, which testapp.Order does not have.",
            "Choose one of day, placed_at.",
        ),
        (
            {"testapp.Order": {"deleted": {"slug": "orders", "backfill": "placed_at"}}},
            "E001",
            "APP_METRICS_MODELS['testapp.Order']['deleted'] has the key 'backfill' on the event 'deleted'.",
            "Move the key to a rule of 'created', or remove it.",
        ),
        (
            {"testapp.Draft": {"created": {"slug": "orders", "backfill": "placed_at"}}},
            "E001",
            (
                "APP_METRICS_MODELS['testapp.Draft']['created'] has the key 'backfill', "
                "but rows do not show which proxy model created them."
            ),
            "Move the rule to testapp.Document, or remove the key.",
        ),
        (
            {"testapp.Order": {"created": {"slug": "orders", "backfil": "placed_at"}}},
            "E006",
            "APP_METRICS_MODELS['testapp.Order']['created'] has the unknown key 'backfil'.",
            "Did you mean 'backfill'?",
        ),
    ],
)
def test_a_mistake_is_found_by_check_with_a_hint(rules, code, message, hint, settings):
    settings.APP_METRICS_MODELS = rules
    (error,) = [each for each in check_rules() if "APP_METRICS_MODELS" in each.msg]
    assert (error.id, error.msg, error.hint) == (f"app_metrics.{code}", message, hint)


def test_backfill_accepts_a_date_field_of_the_parent_model():
    rules, errors = compile_models({"testapp.Subscription": {"created": {"slug": "new", "backfill": "placed_at"}}})
    assert (len(rules), errors) == (1, [])


def test_a_signup_of_the_switch_counts_when_the_user_joined(settings, recorded, django_capture_on_commit_callbacks):
    settings.APP_METRICS_AUTH = True
    with django_capture_on_commit_callbacks(execute=True):
        User.objects.create(username="ann", date_joined=datetime(2026, 11, 20, 9, tzinfo=BERLIN))
    assert [(key.slug, key.day) for batch in recorded.batches for key in batch.summaries] == [
        ("signups", date(2026, 11, 20))
    ]
