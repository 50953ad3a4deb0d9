"""The long form reports each violation, and how to reproduce it."""

import subprocess
import sys
from collections import Counter

import pytest

from app_metrics.transport import circuit_breaker
from tests.soak.faults import networks
from tests.soak.faults.__main__ import report
from tests.soak.faults.checker import Verdict
from tests.soak.faults.destinations import Sqlite
from tests.soak.faults.matrix import Result
from tests.soak.faults.site import ROOT

LOST = Verdict(acknowledged=8, counted=7, undecided=0, settled=0, lost=1, doubled=0)
EXACT = Verdict(acknowledged=8, counted=8, undecided=0, settled=0, lost=0, doubled=0)


@pytest.mark.parametrize(
    "wrong",
    [Result(7, Counter(), LOST, seconds=3.5), Result(7, Counter(), error="Failed: a traceback", seconds=3.5)],
    ids=["lost", "raised"],
)
def test_a_violation_is_reported_with_its_seed(wrong, capsys):
    assert report({("disk full", Sqlite): [Result(5, Counter(), EXACT), wrong, Result(6, Counter(), EXACT)]}) == 1
    out = capsys.readouterr().out
    assert f"VIOLATION: disk full, db, SQLite: {wrong}" in out
    assert "APP_METRICS_FAULTS_SEED=7 " in out
    assert "APP_METRICS_FAULTS_SECONDS=3.5 pytest" in out
    assert "[disk full, db, SQLite]" in out


def test_a_run_without_a_violation_succeeds(capsys):
    assert report({("disk full", Sqlite): [Result(5, Counter(), EXACT)]}) == 0
    out = capsys.readouterr().out
    assert "VIOLATION" not in out
    assert "0 violations; 1 of 1 cells were met" in out


def test_the_command_of_the_faults_starts_without_settings():
    """Run as a command it has no settings, so nothing it imports may read them."""
    subprocess.run(
        [sys.executable, "-m", "tests.soak.faults", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def test_an_outage_lasts_until_a_destination_is_left_alone():
    assert networks.FAILURES == circuit_breaker.FAILURES


def test_cells_without_a_round_are_reported(capsys):
    report({("disk full", Sqlite): [Result(5, Counter(), EXACT)], ("late commits", Sqlite): []})
    assert "1 of 2 cells were met" in capsys.readouterr().out
