"""The servers of a test run share no directories with other servers."""

import os
from pathlib import Path

import pytest
from django.db import connections

from tests.conftest import every_database


@pytest.mark.skipif("APP_METRICS_TEST_DIRECTORY" not in os.environ, reason="nobody starts it: all servers were given")
@pytest.mark.parametrize("alias", [each for each in every_database() if each.id == "mariadb"])
def test_mariadb_has_a_folder_of_its_own_for_temporary_tables(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT @@tmpdir, @@datadir")
        temporary, data = cursor.fetchone()
    assert Path(temporary) == Path(data).parent
