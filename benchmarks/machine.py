"""The machine and the versions that results depend on, and its processor time."""

import os
import platform
import re
import sqlite3
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tests.support.servers import Unavailable, find

PACKAGES = (
    "django", "prometheus_client", "django-prometheus", "opentelemetry-sdk", "opentelemetry-instrumentation-django",
    "datadog", "psycopg", "mysqlclient", "redis", "celery", "gunicorn",
)  # fmt: skip
PROGRAMS = {
    "PostgreSQL": "postgres", "MariaDB": "mariadbd", "MySQL": "mysqld", "Redis": "redis-server", "wrk": "wrk",
}  # fmt: skip


def facts():
    """Return the hardware, the operating system and the versions as text, without the machine's name."""
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.machine()}"
    numbers = ", ".join(f"{name} {number}" for name, number in versions())
    return f"{processor()}, {os.cpu_count()} cores, {gib:.0f} GiB, {system}; {numbers}."


def processor():
    with suppress(OSError):  # without /proc, or on processors that it does not name
        if found := re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return platform.processor() or "unknown processor"


def cpu_seconds(*pids):
    """Return the processor time that processes and their descendants have used."""
    roots = map(psutil.Process, pids)
    return sum(sum(each.cpu_times()[:4]) for root in roots for each in [root, *root.children(recursive=True)])


def versions():
    """Yield the versions of Python and of the installed packages and programs."""
    yield "python", platform.python_version()
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            yield "redis-py" if package == "redis" else package, version(package)
    yield "SQLite", sqlite3.sqlite_version
    for name, program in PROGRAMS.items():
        with suppress(Unavailable):
            command = [find(program), "--version"]
            printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            number = re.search(r"\d+\.[\d.]*\d", printed)
            if name == "MariaDB" or "MariaDB" not in printed:  # it has a link with the name of MySQL's program
                yield name, number[0] if number else "unknown"
