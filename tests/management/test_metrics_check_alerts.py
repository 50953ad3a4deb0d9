"""`manage.py metrics_check_alerts` and `metrics_aggregate --then-alerts`: their output under cron."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from app_metrics import metric
from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Alert
from app_metrics.models.creation import create_metric
from app_metrics.notifications import alerts
from tests.support.clock import noon_of_yesterday
from tests.support.processes import start

RULE = {"metric": "signups", "period": "day", "below": 1}
MISTAKEN = {**RULE, "period": "year"}
THEN_ALERTS = ("metrics_aggregate", "--then-alerts")

every_command = pytest.mark.parametrize("command", [("metrics_check_alerts",), THEN_ALERTS], ids=" ".join)


@pytest.fixture(autouse=True)
def _signups_are_counted(request):
    for name in {"database", "transactional_database"} & set(request.fixturenames):
        request.getfixturevalue(name)
        create_metric(name="Signups", slug="signups")
        metric("signups", 0, at=timezone.now() - timedelta(days=1000))
        aggregate()


def run(*arguments, **options):
    """Return the lines of stdout without the aggregation's, those of stderr, and the error message or None."""
    out, errors, raised = StringIO(), StringIO(), None
    try:
        call_command(*arguments, stdout=out, stderr=errors, **options)
    except CommandError as error:
        raised = str(error)
    lines = [line for line in out.getvalue().splitlines() if not line.startswith("Aggregated ")]
    return lines, errors.getvalue().splitlines(), raised


@every_command
def test_it_names_alerts_that_a_wrong_clock_reported_in_the_future(command, database, settings):
    settings.APP_METRICS_ALERTS = {"No signups": RULE}
    Alert.objects.create(name="No signups", reported_at=timezone.now() + timedelta(days=365))
    _, errors, raised = run(*command)
    assert len(errors) == 1
    assert errors[0].startswith("No signups: the last notification, ")
    assert "is in the future and counts as unknown; check the clocks" in errors[0]
    assert raised is None
    assert run(*command)[1:] == ([], None)


@every_command
def test_fired_and_recovered_alerts_are_printed(command, database, settings):
    settings.APP_METRICS_ALERTS = {"No\r\nsignups": {**RULE, "quiet": 0}, "Fine": {**RULE, "below": 0}}
    assert run(*command) == (["Fired: No signups", "Evaluated 2 alerts, 1 fired, 0 recovered, 0 failed."], [], None)
    assert run(*command) == (["Evaluated 2 alerts, 0 fired, 0 recovered, 0 failed."], [], None)
    metric("signups", at=noon_of_yesterday())
    lines = ["Recovered: No signups", "Evaluated 2 alerts, 0 fired, 1 recovered, 0 failed."]
    assert run(*command) == (lines, [], None)


@every_command
def test_failed_alerts_are_printed_once_and_fail_the_command(command, database, settings, caplog):
    settings.APP_METRICS_ALERTS = {
        "Mistaken": MISTAKEN,
        "Bad\nslug": {**RULE, "metric": "sign ups"},
        "No signups": RULE,
    }
    lines, errors, raised = run(*command)
    assert lines == ["Fired: No signups", "Evaluated 1 alert, 1 fired, 0 recovered, 2 failed."]
    assert [error.partition(":")[0] for error in errors] == ["Mistaken", "Bad slug"]
    assert caplog.records == []  # without a handler, Python prints these, too
    assert "Choose one of day, hour, month, week." in errors[0]
    assert "Use a slug such as 'sign-ups'." in errors[1]
    assert raised == "Alerts that could not be evaluated: 2."


@every_command
def test_an_alert_whose_metric_has_no_numbers_yet_is_named_and_is_no_failure(command, database, settings):
    settings.APP_METRICS_ALERTS = {"No\norders": {**RULE, "metric": "orders"}, "No signups": RULE}
    named = "No orders: The metric 'orders' has no numbers yet; if it should have, check the slug."
    summary = "Evaluated 1 alert, 1 fired, 0 recovered, 0 failed."
    assert run(*command) == ([named, "Fired: No signups", summary], [], None)
    assert run(*command, verbosity=0) == ([], [], None)


@every_command
def test_with_verbosity_0_it_writes_only_failures(command, database, settings):
    settings.APP_METRICS_ALERTS = {"No signups": RULE}
    assert run(*command, verbosity=0) == ([], [], None)
    assert Alert.objects.get().state == "fired"
    settings.APP_METRICS_ALERTS = {"Mistaken": MISTAKEN}
    lines, errors, raised = run(*command, verbosity=0)
    assert (lines, len(errors)) == ([], 1)
    assert raised


@every_command
def test_without_alerts_the_command_evaluates_none_and_succeeds(command, database, settings):
    settings.APP_METRICS_ALERTS = {}
    assert run(*command) == (["Evaluated 0 alerts, 0 fired, 0 recovered, 0 failed."], [], None)


def test_then_alerts_sees_the_items_just_aggregated(database, settings):
    settings.APP_METRICS_ALERTS = {"New": {"metric": "new", "period": "day", "above": 5}}
    metric("new", at=noon_of_yesterday())
    out = StringIO()
    call_command(*THEN_ALERTS, stdout=out)
    assert re.match(r"Aggregated 1 item .*\nEvaluated 1 alert, 0 fired", out.getvalue())


def test_without_the_option_the_aggregation_evaluates_no_alert(database, settings):
    settings.APP_METRICS_ALERTS = {"No signups": RULE}
    assert run("metrics_aggregate") == ([], [], None)
    assert not Alert.objects.exists()


def test_a_dry_run_evaluates_no_alert(database, settings):
    settings.APP_METRICS_ALERTS = {"No signups": RULE}
    assert run(*THEN_ALERTS, "--dry-run") == (["0 items are pending. Nothing was changed."], [], None)
    assert not Alert.objects.exists()


def test_aggregated_totals_stay_if_an_alert_fails(database, settings):
    settings.APP_METRICS_ALERTS = {"Mistaken": MISTAKEN}
    metric("signups")
    assert run(*THEN_ALERTS)[2] == "Alerts that could not be evaluated: 1."
    assert backlog().items == 0


def test_its_exit_code_is_0_after_a_run(transactional_database):
    process = start("tests.support.manage", transactional_database, "metrics_check_alerts", stdout=-1, stderr=-1)
    assert process.communicate() == ("Evaluated 0 alerts, 0 fired, 0 recovered, 0 failed.\n", "")
    assert process.returncode == 0


def test_a_database_error_is_one_line_without_a_traceback(database, settings, monkeypatch):
    def fail(names):
        raise OperationalError("gone")

    settings.APP_METRICS_ALERTS = {"No signups": RULE}
    monkeypatch.setattr(alerts, "_alerts", fail)
    assert run("metrics_check_alerts") == ([], [], "The alerts could not be evaluated: gone")
