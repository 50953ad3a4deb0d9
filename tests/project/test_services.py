"""The servers of a test run share no directories with others; a run says what it tested, and what it lacked."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import django
import pytest
from django.db import connections

from tests.conftest import every_database
from tests.support import scope, services
from tests.support.paths import ROOT


@pytest.mark.skipif("APP_METRICS_TEST_DIRECTORY" not in os.environ, reason="nobody starts it: all servers were given")
@pytest.mark.parametrize("alias", [each for each in every_database() if each.id == "mariadb"])
def test_mariadb_has_a_folder_of_its_own_for_temporary_tables(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT @@tmpdir, @@datadir")
        temporary, data = cursor.fetchone()
    assert Path(temporary) == Path(data).parent


@pytest.mark.parametrize(
    ("ci", "variable", "required"),
    [("true", None, True), ("true", "0", False), (None, "1", True), (None, None, False)],
)
def test_a_missing_server_ends_a_run_under_ci_unless_a_variable_says_otherwise(monkeypatch, ci, variable, required):
    for name, value in {"CI": ci, "APP_METRICS_REQUIRE_SERVERS": variable}.items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(services, "missing", {"redis": "it is not installed", "mysql": "Debian has none"})
    if not required:
        services.require()
        return
    with pytest.raises(pytest.UsageError, match="redis: it is not installed"):
        services.require()


def test_a_run_reports_its_versions_and_numbers(tmp_path):
    report = tmp_path / "new" / "report.json"
    command = [sys.executable, "-m", "pytest", "-p", "no:tests.support.services", "tests/core/test_dates.py"]
    environ = {**os.environ, "APP_METRICS_TEST_REPORT": str(report)}
    subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True)
    content = json.loads(report.read_text())
    versions = content["versions"]
    assert versions["Python"] == platform.python_version()
    assert versions["Django"] == django.__version__
    running = [name for name in services.SERVERS if services.variable(name) in os.environ]
    assert {"sqlite", *running} <= {label.lower().replace("valkey", "redis") for label in versions}
    assert content["tests"]["Scope"] == scope.scope
    assert content["tests"]["Tests"].endswith(" passed")
