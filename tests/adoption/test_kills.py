"""A killed adoption changes nothing where the database can undo it; elsewhere the next run goes on."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from app_metrics import gauge, metric
from app_metrics.models import Item, Metric, MetricSet, Total
from tests.support import scope
from tests.support.old_site import FORK, OldSite, drop_everything, dump

pytestmark = pytest.mark.every_database
# Kills between two of these leave the same behind.
WRITES = ("CREATE", "ALTER", "DROP", "RENAME", "INSERT", "UPDATE", "DELETE")

# All kills take longer than one test may.
PARTS = 40


class Killed(BaseException):
    pass


class Killer:
    """Raise before the statement that writes with a certain number; count the statements."""

    def __init__(self, at=None):
        self.at, self.seen = at, 0

    def __call__(self, execute, sql, *arguments):
        if sql.lstrip().startswith(WRITES):
            self.seen += 1
            if self.seen == self.at:
                raise Killed
        return execute(sql, *arguments)


def adopt():
    call_command("metrics_adopt", stdout=StringIO())


def killed_at(connection, number):
    with connection.execute_wrapper(Killer(number)), pytest.raises(Killed):
        adopt()
    connection.close()


def outcome(connection):
    """Return the tables as they are, and what they hold, without ids that a killed run has used up."""
    # Without the width that MariaDB and MySQL report, which is that of the first row.
    shape = {
        table: ([column[:2] + column[3:] for column in columns], constraints)
        for table, (columns, constraints, _) in dump(connection).items()
        if table.startswith(("app_metrics_", "shop"))
    }
    rows = {
        model: sorted(map(str, model.objects.values_list(*columns)))
        for model, columns in (
            (Metric, ("name", "slug", "kind")),
            (MetricSet, ("pk", "name", "send_daily", "send_weekly", "send_monthly")),
            (Total, ("metric", "period", "start", "count", "total", "last_at")),
            (Item, ("slug", "day", "hour", "count", "total")),
        )
    }
    return {**shape, **rows}


def test_a_kill_leaves_a_database_that_can_undo_it_as_it_was(old_site):
    connection = old_site.connection
    if not connection.features.can_rollback_ddl:
        pytest.skip("cannot undo changes of tables")
    before = dump(connection)
    for number in (1, 20, 50, 90):
        killed_at(connection, number)
        assert dump(connection) == before


def numbers_of(part, statements):
    """Return before which statements a test kills: three by default, and all of them in the parts together."""
    if scope.everything:
        return range(part + 1, statements + 1, PARTS)
    return [statements * quarter // 4 for quarter in (1, 2, 3)]


@pytest.mark.parametrize("part", range(PARTS if scope.everything else 1))
def test_the_next_run_continues_a_killed_one(part, old_database):
    if old_database.features.can_rollback_ddl:
        pytest.skip("undoes a killed run")
    OldSite(old_database.alias, FORK, small=True).build()
    with old_database.execute_wrapper(killer := Killer()):
        adopt()
    expected = outcome(old_database)
    for number in numbers_of(part, killer.seen):
        drop_everything(old_database)
        OldSite(old_database.alias, FORK, small=True).build()
        killed_at(old_database, number)
        adopt()
        found = outcome(old_database)
        different = {name: (found.get(name), each) for name, each in expected.items() if found.get(name) != each}
        assert different == {}, f"killed before statement {number} of {killer.seen}"
        assert found.keys() == expected.keys()


def test_migrate_waits_for_a_killed_adoption(old_site):
    connection = old_site.connection
    killed_at(connection, 60)
    with pytest.raises(SystemCheckError, match=r"app_metrics\.E029"):
        call_command("migrate", database=connection.alias, verbosity=0, skip_checks=False)
    if not connection.features.can_rollback_ddl:
        with pytest.raises(CommandError, match="not finished"):
            call_command("metrics_adopt", "--drop")


def killed_before_the_history(connection):
    def killer(execute, sql, *arguments):
        if sql.startswith("INSERT") and "app_metrics_total" in sql:
            raise Killed
        return execute(sql, *arguments)

    with connection.execute_wrapper(killer), pytest.raises(Killed):
        adopt()
    connection.close()


def test_what_the_site_counts_after_a_kill_is_kept(old_database):
    if old_database.features.can_rollback_ddl:
        pytest.skip("undoes a killed run")
    site = OldSite(old_database.alias, FORK, small=True).build()
    killed_before_the_history(old_database)
    metric("signups", 3)
    gauge("queue", 7)
    call_command("metrics_aggregate", verbosity=0)
    metric("signups", 4)
    adopt()
    call_command("metrics_aggregate", verbosity=0)
    years = Total.objects.filter(metric__slug="signups", period="year").values_list("total", flat=True)
    assert sum(years) == site.sum("signups", "metricday") + site.sum("signups", "metricitem") + 3 + 4
    assert Metric.objects.get(slug="queue").name == "Queue"
