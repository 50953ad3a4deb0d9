"""Deleting totals of short periods, and keeping the others."""

from datetime import date, datetime, timedelta
from io import StringIO
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from freezegun import freeze_time

from app_metrics import collect, metric
from app_metrics.aggregation import retention
from app_metrics.aggregation.retention import compile_retention
from app_metrics.aggregation.run import aggregate
from app_metrics.checks import check_rules
from app_metrics.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK, YEAR
from app_metrics.models import LedgerRow, Total

NOON = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture
def history(database):
    """Two metrics with one event a day over the last 100 days; now is noon on 23 November."""
    with freeze_time(NOON):
        with collect():
            for days in range(100):
                metric("orders", at=NOON - timedelta(days=days))
                metric("visits", 10, labels={"plan": "pro"}, at=NOON - timedelta(days=days))
        aggregate()
        yield database


def prune(*options):
    out = StringIO()
    call_command("metrics_prune", *options, stdout=out)
    return out.getvalue().splitlines()


def starts(period):
    return sorted(set(Total.objects.filter(period=period).values_list("start", flat=True)))


def sums():
    return {period: sum(Total.objects.filter(period=period).values_list("count", flat=True)) for period in PERIODS}


def test_totals_older_than_their_limit_are_deleted(history, settings):
    settings.APP_METRICS_RETENTION = {"hour": 60, "day": 90}
    before = sums()
    assert prune("--verbosity=2") == [
        "39 of 78 totals by hour deleted",
        "78 of 78 totals by hour deleted",
        "Deleted 78 totals by hour from before 2026-09-24.",
        "9 of 18 totals by day deleted",
        "18 of 18 totals by day deleted",
        "Deleted 18 totals by day from before 2026-08-25.",
    ]
    assert starts(HOUR)[0] == date(2026, 9, 24)
    assert starts(DAY)[0] == date(2026, 8, 25)
    assert sums() == before | {HOUR: 200 - 78, DAY: 200 - 18}


def test_nothing_is_deleted_without_the_setting_and_the_command_says_what_to_set(history):
    before = sums()
    said = 'No totals are deleted, because APP_METRICS_RETENTION is empty; set it to {"hour": 60, "day": 1100}.'
    assert prune() == prune("--dry-run") == [said]
    assert prune("--verbosity=0") == []
    assert sums() == before


def test_a_dry_run_names_the_old_totals_and_deletes_nothing(history, settings):
    settings.APP_METRICS_RETENTION = {"month": 60}
    before = sums()
    assert prune("--dry-run") == ["4 totals by month from before 2026-09-24 would be deleted."]
    assert sums() == before


def test_a_second_run_finds_nothing(history, settings):
    settings.APP_METRICS_RETENTION = {"week": 30}
    prune()
    assert prune("--dry-run") == ["0 totals by week from before 2026-10-24 would be deleted."]


def test_old_totals_are_deleted_in_small_statements(history, settings, monkeypatch):
    monkeypatch.setattr(retention, "CHUNK_SIZE", 7)
    settings.APP_METRICS_RETENTION = {"hour": 60}
    with CaptureQueriesContext(connections[history]) as queries:
        prune("--verbosity=0")
    deletes = [each["sql"] for each in queries if each["sql"].startswith("DELETE")]
    assert len(deletes) == 2 * 6
    assert sums()[HOUR] == 200 - 78


def test_verbosity_0_prints_nothing(history, settings):
    settings.APP_METRICS_RETENTION = {"hour": 60}
    assert prune("--verbosity=0") == []


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ([], "APP_METRICS_RETENTION is [], which is not a mapping.", "Write it like this"),
        ({"hours": 1}, "APP_METRICS_RETENTION['hours'] is not a period that can be pruned.", "Did you mean 'hour'?"),
        (
            {"year": 1},
            "APP_METRICS_RETENTION['year'] is not a period that can be pruned.",
            "Choose one of day, hour, month, week.",
        ),
        ({"day": 0}, "APP_METRICS_RETENTION['day'] is 0.", "Give a whole number of days from 1 to 100000."),
        ({"day": True}, "APP_METRICS_RETENTION['day'] is True.", "Give a whole number of days from 1 to 100000."),
        ({"day": "9"}, "APP_METRICS_RETENTION['day'] is '9'.", "Give a whole number of days from 1 to 100000."),
        ({"day": 10**6}, "APP_METRICS_RETENTION['day'] is 1000000.", "Give a whole number of days from 1 to 100000."),
    ],
)
def test_a_mistake_is_found_by_check_and_deletes_nothing(value, message, hint, database, settings):
    settings.APP_METRICS_RETENTION = value
    (error,) = [each for each in check_rules() if each.id == "app_metrics.E020"]
    assert (error.msg, hint in error.hint) == (message, True)
    with pytest.raises(CommandError, match="APP_METRICS_RETENTION"):
        prune()


def test_correct_entries_beside_a_mistake_are_used():
    days, errors = compile_retention({"day": 400, "moon": 1})
    assert (days, len(errors)) == ({"day": 400}, 1)


def test_the_week_and_month_of_a_limit_stay_whole(history, settings):
    settings.APP_METRICS_RETENTION = {"week": 7, "month": 31}
    prune("--verbosity=0")
    assert starts(WEEK) == [date(2026, 11, 16), date(2026, 11, 23)]
    assert starts(MONTH) == [date(2026, 11, 1)]
    assert starts(YEAR) == [date(2026, 1, 1)]


def test_the_ledger_forgets_batches_of_more_than_a_week_ago(database, capsys):
    now = timezone.now()
    for number, days in enumerate((1, 8, 9)):
        LedgerRow.objects.create(id=UUID(int=number), written_at=now - timedelta(days=days))
    call_command("metrics_prune", "--dry-run")
    out = capsys.readouterr().out
    assert out.endswith("\n2 ledger rows of batches that were written more than 7 days ago would be deleted.\n")
    assert LedgerRow.objects.count() == 3
    call_command("metrics_prune")
    out = capsys.readouterr().out
    assert out.endswith("\n2 ledger rows of batches that were written more than 7 days ago deleted.\n")
    assert [row.id.int for row in LedgerRow.objects.all()] == [0]
