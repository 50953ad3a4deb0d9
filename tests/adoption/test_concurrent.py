"""Other sessions do not cost rows: a second run is kept out, and a site that still writes is waited for."""

import pytest
from django.core.management import CommandError

from app_metrics.adoption import schema
from app_metrics.adoption.alone import alone
from app_metrics.adoption.old_tables import aside
from app_metrics.models import Item, Metric
from tests.adoption.test_adopt import run
from tests.support.old_site import execute
from tests.support.threads import in_thread, while_another
from tests.support.waiting import wait_until

DAYS = "app_metrics_metricday"
WAITING = {
    "postgresql": "SELECT 1 FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT 1 FROM information_schema.processlist WHERE state = 'Waiting for table metadata lock'",
}


@pytest.fixture
def other(site):
    """A second session on the same database, in a transaction."""
    if site.connection.vendor == "sqlite":
        pytest.skip("has one writer")
    connection = site.connection.copy()
    connection.set_autocommit(False)
    yield connection
    connection.close()


@pytest.mark.every_database
def test_a_second_run_is_kept_out(site):
    if site.connection.vendor == "sqlite":
        pytest.skip("the transaction keeps it out")
    with alone(site.connection), pytest.raises(CommandError, match="Another metrics_adopt is at work"):
        in_thread(run)
    run()


@pytest.mark.every_database
def test_events_that_another_session_has_not_committed_yet_count(site, other):
    connection, metric = site.connection, site.ids["signups"]
    expected = 1000 + sum(num for _, num, _ in site.rows["metricitem"])
    values = f"{metric}, 1000, '2024-01-02 12:00:00'"
    execute(other, f"INSERT INTO app_metrics_metricitem (metric_id, num, created) VALUES ({values})")
    working = while_another(run)
    next(working)
    wait_until(lambda: execute(connection, WAITING[connection.vendor]))
    other.commit()
    for _ in working:
        pass
    assert sum(Item.objects.filter(kind="counter").values_list("total", flat=True)) == expected


@pytest.mark.every_database
def test_rows_aside_are_kept_by_a_run_that_finds_their_table_too(site):
    connection = site.connection
    execute(connection, f"CREATE TABLE {aside(DAYS)} AS SELECT * FROM {DAYS}")
    execute(connection, f"DELETE FROM {DAYS}")
    with pytest.raises(CommandError, match=f"both {DAYS} and {aside(DAYS)}"):
        run()
    assert execute(connection, f"SELECT 1 FROM {aside(DAYS)}")


def test_a_table_of_days_that_is_gone_is_an_error(site):
    execute(site.connection, f"DROP TABLE {DAYS}")
    with pytest.raises(CommandError, match=f"{DAYS} is missing"):
        run("--dry-run")


def test_a_metric_that_appears_after_the_plan_stops_the_adoption(site, monkeypatch):
    set_aside = schema.set_aside

    def late(connection):
        execute(connection, "INSERT INTO app_metrics_metric (id, name, slug, points) VALUES (99, 'New', 'new', 0)")
        set_aside(connection)

    monkeypatch.setattr(schema, "set_aside", late)
    with pytest.raises(CommandError, match="changed while metrics_adopt ran"):
        run()


def test_an_old_database_without_gauges_is_adopted(site):
    execute(site.connection, "DROP TABLE app_metrics_gauge")
    run()
    assert Metric.objects.filter(slug="signups").exists()


def test_drop_says_that_there_is_nothing_to_drop(old_database):
    with pytest.raises(CommandError, match=r"There is nothing to drop\."):
        run("--drop")
