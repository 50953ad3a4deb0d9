"""Databases that `metrics_adopt` refuses, and what it says to do about them."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from app_metrics.models import Metric
from tests.adoption.test_adopt import run
from tests.support.old_site import FORK, SOUTH, OldSite


@pytest.fixture
def empty_file(django_db_blocker, tmp_path, monkeypatch):
    """The connection to a database of SQLite without any table."""
    connection = connections["default"]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "empty.sqlite3")
    with django_db_blocker.unblock():
        yield connection
        connection.close()


@pytest.fixture
def site_of_south(empty_file):
    """An old site of Django 1.6: its apps have tables, and there is no record of their migrations."""
    for app in ("contenttypes", "auth", "admin"):
        call_command("migrate", app, "0001", skip_checks=True, verbosity=0)
    with empty_file.cursor() as cursor:
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


def test_a_missing_migration_of_another_app_is_named(empty_file):
    with empty_file.cursor() as cursor:
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
