"""What `metrics_adopt` refuses before it changes anything, and what it says to do; and what only looks impossible."""

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.db.migrations.state import ProjectState
from django.test.utils import isolate_apps

from app_metrics.adoption import schema
from app_metrics.checks.databases import check_adoption
from app_metrics.models import Metric
from tests.adoption.test_adopt import run
from tests.support.old_site import FORK, SOUTH, OldSite, dump, execute

DATES = [
    ("metricitem", "9999-12-31 23:59:59"),
    ("metricday", "0001-01-01"),
    ("metricweek", "9999-12-27"),
    ("metricmonth", "9999-12-01"),
    ("metricyear", "9999-12-31"),
]


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
@pytest.mark.parametrize(("table", "moment"), DATES)
def test_a_date_at_the_edge_of_the_calendar_names_metric_and_row(site, table, moment, arguments):
    connection, metric = site.connection, site.ids["signups"]
    values = f"9876, {metric}, 5, '{moment}'"
    execute(connection, f"INSERT INTO app_metrics_{table} (id, metric_id, num, created) VALUES ({values})")
    before = dump(connection)
    with pytest.raises(CommandError, match=f"Row 9876 of app_metrics_{table}, of the metric signups, has the date"):
        run(*arguments)
    assert dump(connection) == before


@pytest.mark.every_database
def test_a_gauge_at_the_edge_of_the_calendar_is_named(site):
    connection = site.connection
    execute(connection, "UPDATE app_metrics_gauge SET updated = '9999-12-31 12:00:00' WHERE slug = 'queue'")
    before = dump(connection)
    with pytest.raises(CommandError, match="The gauge queue in app_metrics_gauge has the date 9999-12-31"):
        run()
    assert dump(connection) == before


@isolate_apps("tests.testapp")
def test_a_user_model_may_inherit_from_another_one(monkeypatch):
    class Base(models.Model):  # noqa: DJ008
        number = models.BigAutoField(primary_key=True)

        class Meta:
            app_label = "testapp"

    class Child(Base):  # noqa: DJ008
        class Meta:
            app_label = "testapp"

    monkeypatch.setattr(schema, "get_user_model", lambda: Child)
    state = ProjectState()
    state.add_model(schema._users())
    key = state.apps.get_model("testapp", "Child")._meta.pk
    assert (key.get_internal_type(), key.column) == ("BigAutoField", "base_ptr_id")


def test_migrate_stops_at_old_tables_in_another_database_than_ours(site, settings):
    alias = site.connection.alias
    settings.APP_METRICS_DATABASE = "default" if alias == "postgresql" else "postgresql"
    (error,) = check_adoption(databases=[alias])
    assert error.id == "app_metrics.E029"
    assert f"Set APP_METRICS_DATABASE to '{alias}'" in error.hint


def test_migrate_passes_old_tables_where_it_creates_none_of_ours(site, settings, monkeypatch):
    monkeypatch.setattr("tests.support.routers.EverywhereRouter.allow_migrate", lambda *args, **hints: False)
    assert check_adoption(databases=[site.connection.alias]) == []


@pytest.fixture
def site_of_south(empty_database):
    """An old site of Django 1.6: its apps have tables, and there is no record of their migrations."""
    for app in ("contenttypes", "auth", "admin"):
        call_command("migrate", app, "0001", skip_checks=True, verbosity=0)
    with empty_database.cursor() as cursor:
        cursor.execute("DROP TABLE django_migrations")
    site = OldSite("default", SOUTH, small=True)
    site.users = ()  # others than those of today's table
    return site.build()


def test_a_foreign_key_to_a_table_that_goes_away_is_named(old_database):
    OldSite(old_database.alias, FORK, small=True).build()
    with old_database.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE shop_load (id integer NOT NULL PRIMARY KEY, gauge_id integer, "
            "FOREIGN KEY (gauge_id) REFERENCES app_metrics_gauge (id))"
        )
    with pytest.raises(CommandError, match=r"shop_load\.gauge_id"):
        run("--dry-run")


@pytest.mark.every_database
def test_tables_without_foreign_keys_are_named(old_database):
    if old_database.vendor != "mysql":
        pytest.skip("has one kind of table")
    OldSite(old_database.alias, FORK, small=True).build()
    with old_database.cursor() as cursor:
        cursor.execute("DROP TABLE app_metrics_metricset_metrics")
        cursor.execute(
            "CREATE TABLE app_metrics_metricset_metrics (id integer NOT NULL PRIMARY KEY AUTO_INCREMENT, "
            "metricset_id integer NOT NULL, metric_id integer NOT NULL) ENGINE = MyISAM"
        )
    with pytest.raises(CommandError, match=r"ALTER TABLE app_metrics_metricset_metrics ENGINE = InnoDB;$"):
        run("--dry-run")


def test_tables_of_both_versions_are_refused(old_database):
    call_command("migrate", "app_metrics", database=old_database.alias, verbosity=0)
    with old_database.cursor() as cursor:
        cursor.execute("CREATE TABLE app_metrics_metricitem (id integer NOT NULL PRIMARY KEY)")
    with pytest.raises(CommandError, match="tables of both versions"):
        run()


def test_a_missing_migration_of_another_app_is_named(empty_database):
    with empty_database.cursor() as cursor:
        cursor.execute("CREATE TABLE app_metrics_metricitem (id integer)")
    with pytest.raises(CommandError, match=r"run manage\.py migrate auth --skip-checks first"):
        run()


def test_a_second_run_finds_nothing(old_site):
    run()
    with pytest.raises(CommandError, match="nothing to adopt"):
        run()


def test_a_missing_migration_is_to_be_faked_if_its_tables_exist(site_of_south):
    with pytest.raises(CommandError, match=r"run manage\.py migrate auth --fake-initial --skip-checks first"):
        run()


def test_a_database_of_south_is_adopted_after_what_the_error_says(site_of_south):
    call_command("migrate", "auth", fake_initial=True, skip_checks=True, verbosity=0)
    run()
    call_command("migrate", fake_initial=True, skip_checks=False, verbosity=0)
    assert Metric.objects.filter(slug="signups").exists()


MIGRATION = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("app_metrics", "0001_initial")]
"""


def test_a_migration_that_depends_on_one_of_a_fork_is_named(old_database, settings, tmp_path, monkeypatch):
    OldSite(old_database.alias, FORK, small=True).build()
    (tmp_path / "depending_on_a_fork").mkdir()
    (tmp_path / "depending_on_a_fork" / "__init__.py").touch()
    (tmp_path / "depending_on_a_fork" / "0001_goal.py").write_text(MIGRATION)
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"testapp": "depending_on_a_fork"}
    with pytest.raises(CommandError) as caught:
        run("--dry-run")
    assert str(caught.value) == (
        "A migration of the project depends on one of the old version. In depending_on_a_fork/0001_goal.py, change the "
        'dependency ("app_metrics", "0001_initial") to ("app_metrics", "0001_app_metrics").'
    )
