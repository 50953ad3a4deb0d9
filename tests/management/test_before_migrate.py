"""Commands and pages that run before `manage.py migrate`, or meet another failure of the database."""

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.core.cache import cache
from django.core.management import CommandError, call_command, get_commands
from django.db import OperationalError, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.template import Context, Template
from django.urls import reverse

from app_metrics.adoption import missing_tables
from app_metrics.core import dropped
from app_metrics.reports.recipients import SALT

RUN_MIGRATE = "The database lacks tables of app_metrics; run manage.py migrate."
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


def miss(table):
    """Let the database look as it did before `migrate`, as far as one table is concerned."""
    MigrationRecorder(connections["default"]).migration_qs.filter(app="app_metrics").delete()
    with connections["default"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO app_metrics_missing")


@pytest.fixture
def ada(client, db):
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.mark.parametrize("page", ["dashboard_changelist", "dashboard_health", "metric_changelist", "total_changelist"])
def test_the_dashboard_and_the_lists_say_to_run_migrate(page, ada):
    miss("app_metrics_metric")
    answer = ada.get(reverse(f"admin:app_metrics_{page}"))
    assert answer.status_code == 503
    assert RUN_MIGRATE in answer.content.decode()


@pytest.mark.parametrize("page", ["annotation_add", "metricset_add"])
def test_a_form_with_metrics_to_choose_from_says_to_run_migrate(page, ada):
    miss("app_metrics_metric")
    answer = ada.get(reverse(f"admin:app_metrics_{page}"))
    assert answer.status_code == 503
    assert RUN_MIGRATE in answer.content.decode()


def test_so_does_the_form_of_a_metric_when_it_is_opened_or_saved(ada):
    miss("app_metrics_metric")
    opened = ada.get(reverse("admin:app_metrics_metric_change", args=[1]))
    saved = ada.post(reverse("admin:app_metrics_metric_add"), {"name": "Orders", "slug": "orders", "kind": "counter"})
    assert [opened.status_code, saved.status_code] == [503, 503]


@pytest.mark.parametrize("page", ["delete", "history"])
def test_so_do_the_other_pages_of_a_metric(page, ada):
    miss("app_metrics_metric")
    answer = ada.get(reverse(f"admin:app_metrics_metric_{page}", args=[1]))
    assert answer.status_code == 503
    assert RUN_MIGRATE in answer.content.decode()


@pytest.mark.urls("tests.support.api_urls")
def test_the_api_says_to_run_migrate(ada):
    miss("app_metrics_metric")
    for page, arguments in (("metrics", []), ("series", ["orders"]), ("totals", ["orders"])):
        answer = ada.get(reverse(f"app_metrics:api-{page}", args=arguments))
        assert (answer.status_code, answer.json()) == (503, {"error": RUN_MIGRATE})


@pytest.mark.urls("tests.support.api_urls")
def test_the_endpoint_for_prometheus_says_to_run_migrate(ada):
    pytest.importorskip("prometheus_client")
    miss("app_metrics_metric")
    answer = ada.get(reverse("app_metrics:prometheus"))
    assert (answer.status_code, answer.content.decode()) == (503, f"{RUN_MIGRATE}\n")


@pytest.mark.django_db
@pytest.mark.urls("tests.support.unsubscribe_urls")
def test_who_cannot_unsubscribe_yet_is_asked_to_try_later(client, caplog, monkeypatch):
    monkeypatch.setattr(dropped, "_causes", {})
    miss("app_metrics_metricset")
    answer = client.post(reverse("app_metrics:unsubscribe", args=[signing.dumps([1, "user:1"], salt=SALT)]))
    assert answer.status_code == 503
    assert "Please try again later." in answer.content.decode()
    assert f"Nobody can unsubscribe: {RUN_MIGRATE}" in caplog.messages


@pytest.mark.every_database
def test_a_page_of_the_project_shows_no_numbers_and_the_log_says_why(transactional_database, caplog, monkeypatch):
    cache.clear()
    monkeypatch.setattr(dropped, "_causes", {})
    template = Template('{% load app_metrics %}{% metric_total "orders" %}{% metric_sparkline "orders" %}.')
    connection = connections[transactional_database]
    connection.cursor().execute("ALTER TABLE app_metrics_metric RENAME TO app_metrics_missing")
    try:
        with transaction.atomic(using=transactional_database):
            pages = [template.render(Context()) for _ in range(2)]
            User.objects.using(transactional_database).exists()  # the transaction of the request is still usable
    finally:
        connection.cursor().execute("ALTER TABLE app_metrics_missing RENAME TO app_metrics_metric")
    assert pages == [".", "."]
    assert [text.split(" shows")[0] for text in caplog.messages] == ["{% metric_total %}", "{% metric_sparkline %}"]
    assert all("run manage.py migrate" in text for text in caplog.messages)


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


def test_another_failure_of_the_dashboard_is_no_question_of_migrations(ada):
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE app_metrics_metric RENAME TO app_metrics_missing")
    with pytest.raises(OperationalError):
        ada.get(reverse("admin:app_metrics_dashboard_changelist"))


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
