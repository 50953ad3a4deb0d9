"""What an adoption cannot do, it says before it changes anything; and what looks impossible, but is not."""

import pytest
from django.core.management import CommandError
from django.db import models
from django.db.migrations.state import ProjectState
from django.test.utils import isolate_apps

from app_metrics.adoption import schema
from app_metrics.checks.databases import check_adoption
from tests.adoption.test_adopt import run
from tests.support.old_site import FORK, OldSite, dump

DATES = [
    ("metricitem", "9999-12-31 23:59:59"),
    ("metricday", "0001-01-01"),
    ("metricweek", "9999-12-27"),
    ("metricmonth", "9999-12-01"),
    ("metricyear", "9999-12-31"),
]


@pytest.fixture
def site(old_database):
    return OldSite(old_database.alias, FORK, small=True).build()


def execute(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


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
    settings.APP_METRICS_DATABASE = "postgresql"
    (error,) = check_adoption(databases=[alias])
    assert error.id == "app_metrics.E029"
    assert f"Set APP_METRICS_DATABASE to '{alias}'" in error.hint


def test_migrate_passes_old_tables_where_it_creates_none_of_ours(site, settings, monkeypatch):
    monkeypatch.setattr("tests.support.routers.EverywhereRouter.allow_migrate", lambda *args, **hints: False)
    assert check_adoption(databases=[site.connection.alias]) == []
