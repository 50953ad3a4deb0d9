"""`migrate` stops at the tables of the predecessor, before it changes anything."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from app_metrics.checks.databases import check_adoption
from tests.support.old_site import dump


@pytest.mark.every_database
def test_migrate_names_the_command_and_touches_nothing(old_site):
    connection = old_site.connection
    before = dump(connection)
    with pytest.raises(SystemCheckError, match=r"app_metrics\.E029") as caught:
        call_command("migrate", database=connection.alias, verbosity=0, skip_checks=False)
    assert "manage.py metrics_adopt" in str(caught.value)
    assert dump(connection) == before


def test_a_database_of_ours_passes(old_database):
    call_command("migrate", "app_metrics", database=old_database.alias, verbosity=0)
    assert check_adoption(databases=[old_database.alias]) == []


def test_an_empty_database_passes(old_database):
    assert check_adoption(databases=[old_database.alias]) == []


def test_another_database_is_not_looked_at(old_site):
    assert check_adoption(databases=["another"]) == []


def test_it_asks_only_for_the_names_of_the_tables(old_database, django_assert_num_queries):
    with django_assert_num_queries(1, connection=old_database):
        check_adoption(databases=[old_database.alias])
