"""The progress of commands: on a terminal, or if somebody asks for it."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from tests.testapp.models import Order

NOW = datetime.now(UTC)
# Command → its arguments, and what its progress counts.
COMMANDS = {
    "metrics_aggregate": (["--chunk-size=1"], "items aggregated"),
    "metrics_backfill": (["orders"], "rows read"),
    "metrics_export": ([], "totals written"),
    "metrics_import": (["lines.csv"], "lines imported"),
    "metrics_prune": ([], "totals by hour deleted"),
    "metrics_verify": (["orders"], "rows read"),
}


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.fixture
def work(transactional_database, settings, tmp_path, monkeypatch):
    """Give each command something to do."""
    monkeypatch.chdir(tmp_path)
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    settings.APP_METRICS_RETENTION = {"hour": 60}
    Order.objects.bulk_create([Order(placed_at=NOW - timedelta(days=days)) for days in (3, 2)])
    (tmp_path / "lines.csv").write_text("2026-11-23,downloads,1\n2026-11-22,downloads,1\n")
    for days in (100, 101):
        metric("visits", at=NOW - timedelta(days=days))
    aggregate()
    metric("visits")
    metric("orders", at=NOW)


def shown(command, verbosity, stream):
    """Return the lines of progress that a command writes to such streams."""
    arguments, counts = COMMANDS[command]
    out, err = stream(), stream()
    with suppress(CommandError):  # the totals differ
        call_command(command, *arguments, verbosity=verbosity, stdout=out, stderr=err)
    return re.findall(rf"^\d+ of \d+ {counts}$", out.getvalue() + err.getvalue(), re.MULTILINE)


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("verbosity", "stream", "is_shown"),
    [(0, Terminal, False), (1, Terminal, True), (1, StringIO, False), (2, StringIO, True)],
)
def test_progress_is_shown_on_a_terminal_or_with_verbosity_2(command, verbosity, stream, is_shown, monkeypatch):
    monkeypatch.setattr("app_metrics.management.progress._bar", lambda *arguments: None)
    monkeypatch.setattr("app_metrics.management.progress.WORTH_SHOWING", 1)
    assert bool(shown(command, verbosity, stream)) == is_shown


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(("verbosity", "is_shown"), [(1, False), (2, True)])
def test_progress_over_a_few_rows_is_shown_only_if_asked_for(verbosity, is_shown, monkeypatch):
    monkeypatch.setattr("app_metrics.management.progress._bar", lambda *arguments: None)
    assert bool(shown("metrics_export", verbosity, Terminal)) == is_shown
