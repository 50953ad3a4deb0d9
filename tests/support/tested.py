"""A pytest plugin that writes what a run tested to the file that APP_METRICS_TEST_REPORT names, for scripts/tested.py.

That is JSON: the versions, asked from the running servers, how many tests passed, and what was missing.
"""

import json
import os
import platform
from contextlib import closing
from pathlib import Path

import django
import pytest
from django.db import connections

from tests.support import scope, services

REPORT = pytest.StashKey[Path]()
OUTCOMES = {"passed": "passed", "failed": "failed", "error": "errors", "skipped": "skipped"}


def pytest_configure(config: pytest.Config) -> None:
    # Popped, because neither the workers nor what tests start may write to the same file.
    if path := os.environ.pop("APP_METRICS_TEST_REPORT", None):
        config.stash[REPORT] = Path(path)


@pytest.hookimpl(trylast=True)  # pytest-django forbids connections until then
def pytest_unconfigure(config: pytest.Config) -> None:
    if path := config.stash.get(REPORT, None):
        content = {"versions": versions(), "tests": numbers(config), "missing": services.missing}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def versions() -> dict[str, str]:
    """Return the versions of everything by its name; those of servers are what they answer themselves."""
    found = {"Python": platform.python_version(), "Django": django.__version__}
    for connection in connections.all():
        with closing(connection):
            found[connection.display_name] = ".".join(map(str, connection.get_database_version()))
    if coordinates := os.environ.get(services.variable("redis")):
        found |= version_of_redis(json.loads(coordinates)["URL"])
    return found


def version_of_redis(url: str) -> dict[str, str]:
    import redis

    with redis.Redis.from_url(url) as client:
        answer = client.info("server")
    # Valkey names the version of Redis with which it is compatible, too.
    name = "Valkey" if "valkey_version" in answer else "Redis"
    return {name: answer[f"{name.lower()}_version"]}


def numbers(config: pytest.Config) -> dict[str, str]:
    stats = config.pluginmanager.get_plugin("terminalreporter").stats
    counts = [f"{len(stats[outcome])} {word}" for outcome, word in OUTCOMES.items() if stats.get(outcome)]
    return {"Scope": scope.scope, "Tests": ", ".join(counts) or "none ran"}
