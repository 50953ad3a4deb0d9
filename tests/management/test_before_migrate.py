"""Commands and pages that run before `manage.py migrate`, or meet another failure of the database."""

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands
from django.db import OperationalError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.urls import reverse

from app_metrics.adoption import missing_tables

SIGNUPS = ["signups", "--model=auth.User", "--field=date_joined"]
COMMANDS = [
    ["metrics_aggregate"],
    ["metrics_aggregate", "--dry-run"],
    ["metrics_aggregate", "--then-alerts"],
    ["metrics_annotate", "Release 4.2"],
    ["metrics_backfill", *SIGNUPS],
    ["metrics_check_alerts"],
    ["metrics_export"],
    ["metrics_import", __file__],
    ["metrics_prune"],
    ["metrics_prune", "--dry-run"],
    ["metrics_send_mail"],
    ["metrics_send_mail", "--dry-run"],
    ["metrics_send_mail", "--preview", "Shop"],
    ["metrics_show", "signups"],
    ["metrics_verify", *SIGNUPS],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_says_to_run_migrate(command, empty_database):
    with pytest.raises(CommandError, match=r"^The database lacks tables of app_metrics; run manage\.py migrate\.$"):
        call_command(*command)


@pytest.mark.parametrize("retention", [{}, {"hour": 60}])
def test_pruning_says_to_run_migrate_with_any_retention_setting(retention, empty_database, settings):
    settings.APP_METRICS_RETENTION = retention
    with pytest.raises(CommandError, match=r"run manage\.py migrate"):
        call_command("metrics_prune")


def test_a_command_says_to_adopt_the_tables_of_the_old_version(empty_database):
    with connections["default"].cursor() as cursor:
        cursor.execute("CREATE TABLE app_metrics_metricitem (id integer)")
    with pytest.raises(CommandError, match=r"run manage\.py metrics_adopt\.$"):
        call_command("metrics_aggregate")


def test_another_failure_of_the_database_is_shown_as_it_is_and_no_traceback(database):
    def fail(execute, sql, *arguments):
        if "app_metrics_metric" in sql:
            raise OperationalError("gone")
        return execute(sql, *arguments)

    with connections[database].execute_wrapper(fail), pytest.raises(CommandError, match=r"^The database failed: gone$"):
        call_command("metrics_show", "signups")


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["dashboard_changelist", "dashboard_health", "metric_changelist", "total_changelist"])
def test_the_dashboard_and_the_lists_say_to_run_migrate(page, client):
    client.force_login(User.objects.create_superuser("ada"))
    MigrationRecorder(connections["default"]).migration_qs.filter(app="app_metrics").delete()
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE app_metrics_metric RENAME TO app_metrics_missing")
    answer = client.get(reverse(f"admin:app_metrics_{page}"))
    assert answer.status_code == 503
    assert "The database lacks tables of app_metrics; run manage.py migrate." in answer.content.decode()


@pytest.mark.every_database
@pytest.mark.parametrize("page", ["dashboard_changelist", "metric_changelist"])
def test_they_say_so_in_the_transaction_of_a_request_too(page, transactional_database, client, monkeypatch):
    client.force_login(User.objects.create_superuser("ada"))
    connection = connections[transactional_database]
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(missing_tables, "_lacks_migrations", lambda connection: connection.introspection.table_names())
    connection.cursor().execute("ALTER TABLE app_metrics_metric RENAME TO app_metrics_missing")
    try:
        answer = client.get(reverse(f"admin:app_metrics_{page}"))
    finally:
        connection.cursor().execute("ALTER TABLE app_metrics_missing RENAME TO app_metrics_metric")
    assert answer.status_code == 503


@pytest.mark.django_db
def test_another_failure_of_the_dashboard_is_no_question_of_migrations(client):
    client.force_login(User.objects.create_superuser("ada"))
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE app_metrics_metric RENAME TO app_metrics_missing")
    with pytest.raises(OperationalError):
        client.get(reverse("admin:app_metrics_dashboard_changelist"))


def test_the_adoption_comes_before_migrate(empty_database):
    with pytest.raises(CommandError, match=r"^There is nothing to adopt"):
        call_command("metrics_adopt")


def test_suggestions_need_no_tables(empty_database, capsys):
    call_command("metrics_suggest")
    assert "APP_METRICS_" in capsys.readouterr().out


def test_the_list_of_commands_is_complete():
    ours = {name for name, app in get_commands().items() if app == "app_metrics"}
    # These come before `migrate`, need no tables, or migrate themselves.
    others = {"metrics_adopt", "metrics_suggest", "metrics_start"}
    assert {name for name, *_ in COMMANDS} == ours - others
