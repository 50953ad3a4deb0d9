"""Commands that aggregate where pending batches cannot be drained: each says so, does its work, and fails."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from app_metrics import metric
from app_metrics.management.commands import metrics_import
from app_metrics.models import Total

UNDRAINED = "Some pending batches could not be drained; the next run tries again."


@pytest.fixture
def undrained(database, settings, tmp_path):
    """The path of a file of the spool that cannot be read."""
    settings.APP_METRICS_SPOOL_DIR = tmp_path / "spool"
    path = tmp_path / "spool" / "1.batches"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def run(tmp_path):
    """Run a command; return its output, its error output, and the message with which it failed."""

    def run(name, **options):
        lines = tmp_path / "lines.csv"
        lines.write_text(options.pop("lines", "2026-11-23,downloads,1\n"))
        out, errors = StringIO(), StringIO()
        arguments = {"metrics_import": [str(lines)], "metrics_backfill": ["signups"]}.get(name, [])
        try:
            call_command(name, *arguments, **options, stdout=out, stderr=errors)
        except CommandError as error:
            return out.getvalue(), errors.getvalue(), str(error)
        return out.getvalue(), errors.getvalue(), None

    return run


@pytest.mark.parametrize(
    ("name", "done"),
    [
        ("metrics_aggregate", "Aggregated 1 item"),
        ("metrics_send_mail", "Sent 0 reports"),
        ("metrics_export", "signups,counter,year"),
        ("metrics_import", "Imported 1 of 1 line."),
    ],
)
def test_a_command_does_its_work_and_fails_if_batches_cannot_be_drained(name, done, undrained, run):
    metric("signups")
    out, errors, failed = run(name)
    assert done in out
    assert f"{undrained} could not be drained" in errors
    assert failed == UNDRAINED
    undrained.rmdir()
    assert run(name)[2] is None


def test_a_backfill_fills_nothing_if_pending_batches_cannot_be_drained(undrained, run, settings):
    settings.APP_METRICS_MODELS = {"auth.User": {"created": {"slug": "signups", "backfill": "date_joined"}}}
    assert run("metrics_backfill")[2].startswith(f"Nothing was filled. {undrained} could not be drained")


def test_an_import_names_rejected_lines_too(undrained, run, tmp_path):
    failed = run("metrics_import", lines="2026-11-23,downloads,1\n2026-11-23,downloads,x\n")[2]
    assert failed == f"1 line was rejected. Fix and import {tmp_path / 'lines.csv.rejected'}. {UNDRAINED}"


@pytest.mark.parametrize("error", [OperationalError("gone"), ValueError("The chunk size is 0")])
def test_an_import_says_that_its_lines_are_stored_if_only_the_aggregation_failed(error, database, run, monkeypatch):
    def fail():
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(metrics_import, "aggregate", fail)
        out, _, failed = run("metrics_import")
    assert out == "Imported 1 of 1 line.\n"
    assert failed == f"The lines were imported, but not aggregated; run metrics_aggregate: {error}"
    run("metrics_aggregate")
    assert Total.objects.get(period="year").count == 1


@pytest.mark.parametrize("name", ["metrics_aggregate", "metrics_send_mail", "metrics_export", "metrics_backfill"])
def test_a_bad_chunk_size_in_the_settings_is_an_error_and_no_traceback(name, database, run, settings):
    settings.APP_METRICS_MODELS = {"auth.User": {"created": {"slug": "signups", "backfill": "date_joined"}}}
    settings.APP_METRICS_CHUNK_SIZE = 0
    assert "The chunk size is 0; give a number from 1" in run(name)[2]
