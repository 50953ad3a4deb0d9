"""On SQLite an import counts a file in several transactions: others write in between, and each line counts once."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from django.test import Client
from django.urls import reverse

from app_metrics.models import ImportedFile, Metric, Total
from app_metrics.storage import turns
from app_metrics.transfer import csv_import
from app_metrics.transfer.csv_export import COLUMNS
from tests.support.threads import in_thread
from tests.support.transferring import IMPORTED_BEFORE, load, saved, stored
from tests.testapp.models import Order

pytestmark = pytest.mark.only_sqlite

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINES = 10
PLAIN = "".join(f"2026-11-{day:02},orders,1\n" for day in range(1, LINES + 1))
EXPORT = "\n".join([
    ",".join(COLUMNS),
    *(f"{slug},counter,day,2026-11-{day:02},{{}},1,1,1,1,1,1790000000000000"
      for slug in ("orders", "visits") for day in range(1, LINES // 2 + 1)),
])  # fmt: skip
IMPORTED = f"Imported {LINES} of {LINES} lines.\n"


class Crash(BaseException):
    """As deadly as a kill."""


@pytest.fixture
def pauses(transactional_database, monkeypatch):
    """Count two lines in each transaction; call what is in this list at the pause after each, in another thread."""
    called = []

    def pause(seconds):
        if called:
            in_thread(called.pop(0))

    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))
    for name, value in (("LONGEST", 0), ("LONGEST_TRANSACTION", 0), ("FEWEST", 2)):
        monkeypatch.setattr(turns, name, value)
    return called


def crash():
    raise Crash


def interrupt(path, pauses, after=1):
    """Stop an import of a file after some of its transactions."""
    pauses[:] = [*[lambda: None] * (after - 1), crash]
    with pytest.raises(Crash):
        load(path)
    pauses.clear()


def count_of(slug):
    return sum(Total.objects.filter(metric__slug=slug, period="day").values_list("count", flat=True))


def crash_at(number):
    """Return an execute wrapper that raises instead of statement `number`."""
    seen = []

    def wrapper(execute, *details):
        seen.append(details)
        if len(seen) == number:
            raise Crash
        return execute(*details)

    return wrapper


@pytest.mark.parametrize("text", [PLAIN, EXPORT])
def test_others_write_between_the_transactions_of_an_import(text, pauses, tmp_path):
    def write():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")
        Metric.objects.create(slug=f"written-{Metric.objects.count()}")

    pauses[:] = [write] * (LINES // 2)
    out, _, error = load(saved(tmp_path, text))
    assert (out, error) == (IMPORTED, None)
    assert pauses == []


@pytest.mark.parametrize("text", [PLAIN, EXPORT])
def test_an_import_that_crashes_at_any_statement_goes_on_and_counts_each_line_once(text, pauses, tmp_path):
    path = saved(tmp_path, text)
    number, crashes = 0, 0
    while not csv_import.former_import(path):
        number += 1
        with connection.execute_wrapper(crash_at(number)):
            try:
                csv_import.import_file(csv_import.check_file(path, print))
            except Crash:
                crashes += 1
    assert crashes > LINES
    call_command("metrics_aggregate", verbosity=0)
    assert Total.objects.filter(period="day").count() == LINES
    assert {total.count for total in Total.objects.filter(period="day")} == {1}
    assert IMPORTED_BEFORE.fullmatch(load(path)[0])


def test_an_interrupted_import_ends_with_the_usual_message(pauses, tmp_path):
    path = saved(tmp_path, EXPORT)
    interrupt(path, pauses, after=3)
    assert Total.objects.count() == 6
    assert load(path)[0] == IMPORTED
    assert IMPORTED_BEFORE.fullmatch(load(path)[0])
    assert Total.objects.count() == LINES


def test_bad_lines_of_an_import_that_was_interrupted_are_set_aside_once(pauses, tmp_path):
    path = saved(tmp_path, PLAIN + "bad line\n")
    interrupt(path, pauses)
    assert load(path)[0] == f"Imported {LINES} of {LINES + 1} lines.\n"
    assert [each.name for each in tmp_path.iterdir() if each != path] == ["file.csv.rejected"]


def test_an_import_beside_one_of_the_same_file_counts_each_line_once(pauses, tmp_path):
    path = saved(tmp_path, EXPORT)
    pauses[:] = [lambda: load(path)]
    assert load(path)[0] == "Another process has imported this file meanwhile; each line is counted once.\n"
    assert (Total.objects.count(), count_of("orders"), count_of("visits")) == (LINES, LINES // 2, LINES // 2)


def test_an_import_leaves_the_rest_to_another_one_of_the_same_file(pauses, tmp_path):
    path = saved(tmp_path, EXPORT)

    def count_a_part():
        with suppress(Crash):
            csv_import.import_file(csv_import.check_file(path, print), on_progress=lambda lines: pauses.append(crash))

    pauses[:] = [count_a_part]
    assert load(path)[2] == "Another process imports file.csv, and counts its other lines."
    pauses.clear()
    assert load(path)[2] is None
    assert Total.objects.count() == LINES


def test_while_an_import_is_not_complete_another_export_is_only_added_if_that_is_asked_for(pauses, tmp_path):
    interrupt(saved(tmp_path, EXPORT, "first.csv"), pauses)
    other = saved(tmp_path, EXPORT.replace("orders", "others").replace("11-01", "10-01"), "other.csv")
    before = stored()
    out, _, error = load(other)
    assert (out, stored()) == ("", before)
    assert error.startswith("Nothing was imported: The import of first.csv is under way, or was interrupted.")
    assert load(other, "--add")[2] is None


def test_a_backfill_adds_nothing_while_an_import_is_not_complete(pauses, settings, tmp_path):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    Order.objects.bulk_create([Order(placed_at=NOON + timedelta(days=day)) for day in range(-29, 0)])
    interrupt(saved(tmp_path, EXPORT), pauses)
    before = stored()
    with pytest.raises(CommandError, match=r"The import of file\.csv is under way, or was interrupted"):
        call_command("metrics_backfill", "orders", verbosity=0)
    assert stored() == before


def test_a_file_that_is_lost_before_its_import_is_complete_can_be_deleted_in_the_admin(pauses, tmp_path):
    interrupt(saved(tmp_path, EXPORT), pauses)
    client, incomplete = Client(), ImportedFile.objects.get()
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "secret"))
    page = reverse("admin:app_metrics_importedfile_delete", args=[incomplete.pk])
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert not ImportedFile.objects.exists()
    assert load(saved(tmp_path, PLAIN))[2] is None
    page = reverse("admin:app_metrics_importedfile_delete", args=[ImportedFile.objects.get().pk])
    assert client.post(page, {"post": "yes"}).status_code == 403


def test_a_file_that_changes_after_some_lines_were_counted_is_to_be_restored(pauses, tmp_path):
    path = saved(tmp_path, PLAIN)
    pauses[:] = [partial(path.write_text, PLAIN * 2)]
    reason = f"file.csv is counted up to line 2; import the same file again: {path} changed while it was read"
    assert load(path)[2].startswith(reason)
    path.write_text(PLAIN)
    assert load(path)[0] == IMPORTED
    assert count_of("orders") == LINES


def test_plain_lines_of_a_file_that_was_changed_after_an_interruption_do_not_count_again(pauses, tmp_path):
    path = saved(tmp_path, PLAIN)
    interrupt(path, pauses)
    saved(tmp_path, PLAIN + "2026-11-20,orders,1\n")
    _, _, error = load(path)
    assert "was interrupted" in error
    saved(tmp_path, PLAIN)
    assert load(path)[0] == IMPORTED
    assert count_of("orders") == LINES


def test_an_import_whose_database_fails_goes_on_the_next_time(pauses, tmp_path):
    path = saved(tmp_path, PLAIN)

    def fail(execute, sql, *details):
        if 'UPDATE "app_metrics_importedfile"' in sql:
            raise OperationalError("disk I/O error")
        return execute(sql, *details)

    with connections["default"].execute_wrapper(fail):
        assert load(path)[2] == "The import stopped; run it again: disk I/O error"
    assert load(path)[0] == IMPORTED
    assert count_of("orders") == LINES
