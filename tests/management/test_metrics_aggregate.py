"""`manage.py metrics_aggregate`: its output under cron and at a terminal."""

import os
import pty
import re
import subprocess
import termios
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.core.summary import Summary, single
from app_metrics.models import AggregationRun, Item, Total
from tests.support.filling import fill
from tests.support.processes import start

SUMMARY = re.compile(r"Aggregated (\d+) items? in \d+\.\d\d s, (\d+) quarantined, (\d+) pending\.\n")


def run(*arguments, **options):
    """Return what the command writes to stdout and stderr without a terminal."""
    out, errors = StringIO(), StringIO()
    call_command("metrics_aggregate", *arguments, stdout=out, stderr=errors, **options)
    return out.getvalue(), errors.getvalue()


def counted():
    return sum(Total.objects.filter(period="year").values_list("count", flat=True))


def test_it_aggregates_and_says_so_in_one_line(database):
    for number in range(3):
        metric(f"slug-{number}")
    out, errors = run()
    assert SUMMARY.fullmatch(out).groups() == ("3", "0", "0")
    assert errors == ""
    assert (counted(), Item.objects.count()) == (3, 0)


def test_it_says_how_many_items_were_quarantined(database):
    metric("orders")
    Item.objects.create(
        id=UUID(int=1), slug="orders", kind="nonsense", labels="{}", day="2026-05-31", hour=1,
        **Summary(*single(1, at=0))._asdict(),
    )  # fmt: skip
    out, errors = run()
    assert SUMMARY.fullmatch(out).groups() == ("2", "1", "0")
    assert errors.startswith("1 item could not be counted")


def test_a_dry_run_shows_pending_items_and_changes_nothing(database):
    assert run("--dry-run")[0] == "0 items are pending. Nothing was changed.\n"
    with freeze_time(datetime.now(UTC) - timedelta(days=3)):
        metric("orders")
    metric("orders")
    said = r"2 items are pending, the oldest for 72 h( 1 min)?\. Nothing was changed\.\n"
    assert re.fullmatch(said, run("--dry-run")[0])
    assert Item.objects.count() == 2
    assert not Total.objects.exists()
    assert not AggregationRun.objects.exists()


def test_a_dry_run_shows_the_size_of_the_spool(database, settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path
    (tmp_path / "1.batches").write_bytes(b"\n")
    assert (
        run("--dry-run")[0] == "0 items are pending. Nothing was changed.\nThe spool holds 1 byte of pending batches.\n"
    )
    assert run()[0].startswith("Aggregated 0 items")
    assert run("--dry-run")[0] == "0 items are pending. Nothing was changed.\n"


def test_a_damaged_spool_file_fails_the_command(database, settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path
    (tmp_path / "1.batches").write_bytes(b"\n00000000 nonsense\n")
    with pytest.raises(CommandError):
        run()
    assert (tmp_path / "1.damaged").exists()


@pytest.mark.parametrize("size", ["0", "-5", "100001"])
def test_a_chunk_size_out_of_range_is_an_error_that_names_the_range(database, size):
    metric("orders")
    with pytest.raises(CommandError, match=f"chunk size is {size}; give a number from 1 to 100000"):
        run("--chunk-size", size)
    assert Item.objects.count() == 1


@pytest.mark.parametrize("size", ["many", "1.5", ""])
def test_a_chunk_size_that_is_not_a_number_is_an_error(database, size):
    with pytest.raises(CommandError, match="--chunk-size: invalid int value"):
        run("--chunk-size", size)


@pytest.mark.parametrize("size", ["many", 0, None])
def test_a_bad_chunk_size_in_the_settings_is_an_error_too(database, settings, size):
    settings.APP_METRICS_CHUNK_SIZE = size
    with pytest.raises(CommandError, match="chunk size is"):
        run()
    settings.APP_METRICS_CHUNK_SIZE = 10
    assert SUMMARY.fullmatch(run()[0])


def test_verbosity_0_is_silent(database):
    fill(database, 50)
    assert run("--chunk-size", "10", verbosity=0) == ("", "")
    assert counted() == 50


def test_a_long_backlog_prints_at_most_ten_lines_of_progress(database):
    fill(database, 200)
    out, errors = run("--chunk-size", "2", verbosity=2)
    *lines, summary = out.splitlines(keepends=True)
    assert lines == [f"{done} of 200 items aggregated\n" for done in range(20, 201, 20)]
    assert SUMMARY.fullmatch(summary).groups() == ("200", "0", "0")
    assert errors == ""


def start_command(alias, *arguments, **options):
    return start("tests.support.manage", alias, "metrics_aggregate", *arguments, **options)


def on_terminal(alias, *arguments):
    """Return what the command writes to a pseudo-terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = start_command(alias, *arguments, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # Linux raises this once the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def test_a_long_backlog_shows_a_bar_on_one_line_of_a_terminal(transactional_database):
    fill(transactional_database, 2_000)
    *bar, summary = on_terminal(transactional_database, "--chunk-size", "20").splitlines(keepends=True)
    bar = "".join(bar)
    assert "100%" in bar
    assert "2000/2000" in bar
    assert bar.count("\n") == 1
    assert SUMMARY.fullmatch(summary.replace("\r\n", "\n")).groups() == ("2000", "0", "0")
    assert counted() == 2_000


def test_a_short_backlog_shows_no_bar(transactional_database):
    fill(transactional_database, 20)
    assert SUMMARY.fullmatch(on_terminal(transactional_database).replace("\r\n", "\n"))


def test_its_exit_code_is_0_after_a_run(transactional_database):
    fill(transactional_database, 5)
    process = start_command(transactional_database, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = process.communicate()
    assert process.returncode == 0
    assert SUMMARY.fullmatch(out)
    assert errors == ""


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--verbosity", "0")], ids=" ".join)
def test_a_database_that_is_gone_is_an_error(database, arguments):
    def fail(*_):
        raise OperationalError("gone")

    failed = "^Aggregation failed; items aggregated before stay counted: gone$"
    with connections[database].execute_wrapper(fail), pytest.raises(CommandError, match=failed):
        run(*arguments)


def test_its_exit_code_is_1_when_the_database_is_gone(transactional_database):
    gone = "/nowhere/gone.sqlite3" if connections[transactional_database].vendor == "sqlite" else "gone"
    process = start_command(transactional_database, name=gone, stdout=-1, stderr=-1)
    out, errors = process.communicate()
    assert process.returncode == 1
    assert out == ""
    assert errors.startswith("CommandError: Aggregation failed; items aggregated before stay counted: ")
    assert "Traceback" not in errors
